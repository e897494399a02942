//! train/adam
