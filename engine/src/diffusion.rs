//! Diffusion: schedules, the noise predictor trait, samplers.
pub mod predictor;
pub mod sampler;
pub mod schedule;
