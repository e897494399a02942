//! model/features
