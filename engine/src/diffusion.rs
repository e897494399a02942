//! Diffusion: schedules, the noise predictor trait, samplers.
pub mod predictor;
pub mod sampler;
pub mod schedule;

pub use predictor::NoisePredictor;
pub use sampler::{Sampler, SamplerError, StartVariance, denoise_into, generate_into};
pub use schedule::{Schedule, ScheduleError, ScheduleRecipe};
