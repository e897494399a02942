//! Measures of quality.
pub mod align;
pub mod audio;
pub mod image;
pub mod musical_noise;
