//! Models: random features, DRFM, RF and NN baselines, model files.
pub mod baselines;
pub mod drfm;
pub mod features;
pub mod file;
