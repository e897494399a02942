//! model/drfm
