//! Models: random features, DRFM, RF and NN baselines, model files.
pub mod features;
pub mod drfm;
pub mod baselines;
pub mod file;
