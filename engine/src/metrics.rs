//! Measures of quality.
pub mod align;
pub mod audio;
pub mod image;
