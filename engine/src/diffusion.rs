//! Diffusion: schedules, the noise predictor trait, samplers.
pub mod schedule;
pub mod predictor;
pub mod sampler;
