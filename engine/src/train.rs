//! Training: closed form and Adam.
pub mod adam;
pub mod adam_run;
mod adam_step;
mod alternating;
pub mod batch;
pub mod closed_form;
mod codec;
pub mod dual;
pub mod error;
pub mod exact;
pub mod params;
pub mod stats;
mod symmetric;

pub use adam::{AdamParams, AdamState};
pub use batch::{Batch, Fold, MemorySet, TrainingSet, read_fold};
pub use closed_form::{ClosedFormParams, TimestepReport, TimestepWeights, TrainReport};
pub use error::TrainError;
pub use params::{Control, Observer, TrainEvent};
pub use stats::{Stats, Sums};
