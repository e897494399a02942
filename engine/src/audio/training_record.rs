//! What a spectral model file tells about its training, read back.

use super::trainer::{SpectralTraining, TrainerError};
use crate::model::file::ModelFile;
use crate::train::TrainReport;

/// Keys of the stages in the training record.
const STAGES: [&str; 2] = ["first_stage", "second_stage"];

/// The options that a model's first stage was trained with, to train its second with the same.
///
/// # Errors
/// If the model does not tell.
pub fn options_of(model: &ModelFile) -> Result<SpectralTraining, TrainerError> {
    model
        .training
        .pointer("/first_stage/options")
        .cloned()
        .and_then(|options| serde_json::from_value(options).ok())
        .ok_or_else(|| {
            TrainerError::Model(
                "the base model does not tell how it was trained: give one that drfm has made"
                    .to_owned(),
            )
        })
}

/// How well each step was learned, the first stage first; empty if the model does not tell.
#[must_use]
pub fn reports_of(training: &serde_json::Value) -> Vec<(String, TrainReport)> {
    STAGES
        .iter()
        .filter_map(|stage| training.get(stage)?.get("steps")?.as_object())
        .flatten()
        .filter_map(|(name, report)| {
            Some((name.clone(), serde_json::from_value(report.clone()).ok()?))
        })
        .collect()
}
