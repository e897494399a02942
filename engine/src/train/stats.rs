//! train/stats
