//! train/batch
