//! How commands fail: exit code 2 for wrong usage, 130 for Ctrl-C, 1 for everything else.

use std::process::ExitCode;

use drfm_engine::audio::file_denoise::FileDenoiseError;
use drfm_engine::audio::trainer::TrainerError;
use drfm_engine::train::TrainError;

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The options do not make sense (together).
    #[error("{0}")]
    Usage(String),
    /// It did not work out.
    #[error("{0}")]
    Failed(String),
    /// It did not work out, and the user has been told already.
    #[error("")]
    Told,
    /// Ctrl-C.
    #[error("stopped; nothing half done is left behind")]
    Interrupted,
}

impl Failure {
    /// A failure in the words of an error.
    pub fn of(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// Tells the user; the exit code.
    #[must_use]
    pub fn tell(&self) -> ExitCode {
        if !matches!(self, Self::Told) {
            eprintln!("error: {self}");
        }
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Failed(_) | Self::Told => 1,
            Self::Interrupted => 130,
        })
    }
}

impl From<FileDenoiseError> for Failure {
    fn from(error: FileDenoiseError) -> Self {
        match error {
            FileDenoiseError::Stopped => Self::Interrupted,
            other => Self::of(other),
        }
    }
}

impl From<TrainerError> for Failure {
    fn from(error: TrainerError) -> Self {
        match error {
            TrainerError::Train(TrainError::Stopped) => Self::Interrupted,
            other => Self::of(other),
        }
    }
}
