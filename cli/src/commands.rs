//! The verbs, one a file.
pub mod completions;
pub mod denoise;
pub mod eval;
pub mod generate;
pub mod image;
pub mod inspect;
pub mod merge;
pub mod paper;
pub mod train;
pub mod train_noise;
pub mod training;
