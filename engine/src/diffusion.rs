//! Diffusion: schedules, the noise predictor trait, samplers.
pub mod predictor;
pub mod sampler;
pub mod schedule;

pub use predictor::NoisePredictor;
pub use schedule::{Schedule, ScheduleError, ScheduleRecipe};
