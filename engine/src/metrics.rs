//! Measures of quality.
pub mod audio;
