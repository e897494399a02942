//! The DRFM engine.
pub mod audio;
pub mod classic;
pub mod diffusion;
pub mod eval;
pub mod metrics;
pub mod model;
pub mod rng;
pub mod train;
