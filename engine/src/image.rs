//! Images: the paper's Fashion-MNIST experiments (Section 4.1) as an offline mode of the same engine.
//!
//! `x_0` is a whole image, its pixels shifted and scaled by two numbers of the training set to mean 0 and deviation 1;

pub mod augment;
pub mod baselines;
pub mod class;
pub mod error;
pub mod evaluation;
pub mod idx;
pub mod model;
pub mod picture;
pub mod rows;
pub mod set;
pub mod source;
pub mod statistics;
pub mod training;

pub use error::ImageError;
pub use set::ImageSet;
