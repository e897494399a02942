//! train/params
