//! What can go wrong in training.

use crate::model::ModelError;

/// Why training, or reading and writing its files, stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The observer answered [`Control::Stop`](super::Control::Stop).
    #[error("training was stopped")]
    Stopped,
    /// A parameter is out of range.
    #[error("{name} cannot be {value}: {allowed}")]
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// What was asked for.
        value: String,
        /// What is possible.
        allowed: &'static str,
    },
    /// A batch row does not fit or is not finite.
    #[error("training row {row} was refused: {reason}")]
    Row {
        /// Number of the row in its batch, from 0.
        row: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// Batches, features or statistics of different shapes.
    #[error("{what} is {found} where {expected} is needed: these do not belong together")]
    Mismatch {
        /// What differs.
        what: &'static str,
        /// Value found.
        found: String,
        /// Value needed.
        expected: String,
    },
    /// No training rows at all.
    #[error("there is nothing to train on: give more or longer recordings")]
    NoData,
    /// The ridge has to be chosen, but no data is set aside for it.
    #[error(
        "no validation data to choose the ridge with: give more files, so that some can be set aside, or fix a single ridge"
    )]
    NoValidation,
    /// The equations could not be solved even with a very large ridge.
    #[error(
        "the equations of {0} cannot be solved: the training data is degenerate (all zero, or huge numbers)"
    )]
    Unsolvable(&'static str),
    /// Gradient descent has left the finite numbers.
    #[error("training diverged before step {0}: use a smaller learning rate")]
    Diverged(u64),
    /// A checkpoint of a run with other options.
    #[error("the checkpoint of step {0} is of a run with other options")]
    OtherRun(String),
    /// The training data could not be produced.
    #[error("training data: {0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The model could not be built.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A statistics or checkpoint file is damaged or of another kind.
    #[error("{kind} file: {reason}")]
    File {
        /// Kind of file that was expected.
        kind: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("reading or writing training data failed: {0}")]
    Io(#[from] std::io::Error),
}
