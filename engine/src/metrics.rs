//! Measures of quality.
pub mod align;
pub mod audio;
