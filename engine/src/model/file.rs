//! model/file
