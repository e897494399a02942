//! What both trainers share: progress, stopping, and checked numbers.

use super::error::TrainError;

/// Progress of a training run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TrainEvent {
    /// Statistics: parts of the training set read so far.
    PartsRead {
        /// Parts read.
        done: usize,
        /// Parts in all.
        total: usize,
        /// Training rows (both folds) read.
        rows: u64,
    },
    /// Dual: features whose products have been summed so far.
    Features {
        /// Features done.
        done: usize,
        /// Features in all.
        total: usize,
    },
    /// Closed form: one alternation of the two ridge solves is done.
    Round {
        /// Relative ridge of this solve.
        ridge: f64,
        /// Alternations done.
        round: usize,
        /// Alternations in all.
        rounds: usize,
        /// Mean squared error per output on the fold solved for.
        loss: f64,
    },
    /// Closed form: a ridge has been judged.
    Ridge {
        /// The relative ridge.
        ridge: f64,
        /// Mean squared error per output on the validation fold.
        validation_loss: f64,
    },
    /// Adam: steps so far.
    Step {
        /// Steps done.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// Mean squared error per output, averaged over the steps since the last event.
        loss: f64,
    },
}

/// The observer's answer to a [`TrainEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// Stop as soon as possible.
    Stop,
}

/// Sees progress and decides whether to go on: progress bars, time limits and cancelling all live behind it,
/// because the engine has no clock and no terminal.
pub type Observer<'a> = &'a mut dyn FnMut(&TrainEvent) -> Control;

/// Tells the observer, and turns its answer into a result.
pub(crate) fn tell(observer: Observer<'_>, event: &TrainEvent) -> Result<(), TrainError> {
    match observer(event) {
        Control::Continue => Ok(()),
        Control::Stop => Err(TrainError::Stopped),
    }
}

/// `Ok` if `possible`, else a [`TrainError::Parameter`].
pub(crate) fn require(
    possible: bool,
    name: &'static str,
    value: impl std::fmt::Display,
    allowed: &'static str,
) -> Result<(), TrainError> {
    if possible {
        Ok(())
    } else {
        Err(TrainError::Parameter {
            name,
            value: value.to_string(),
            allowed,
        })
    }
}

/// That every ridge of a grid can be used.
pub(crate) fn require_ridges(grid: &[f64]) -> Result<(), TrainError> {
    grid.iter().try_for_each(|ridge| {
        require(
            ridge.is_finite() && *ridge > 0.0,
            "ridge",
            ridge,
            "use a number above 0, such as 0.001",
        )
    })
}
