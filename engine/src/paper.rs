//! The experiments of the paper's Section 4, as data; whoever calls draws them.
//!
//! Deterministic: same data, seed and sizes give the same numbers, whatever the number of threads.

pub mod audio;
pub mod bound;
pub mod images;
