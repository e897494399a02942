//! What can go wrong with images and their models.

use std::path::{Path, PathBuf};

use crate::diffusion::{SamplerError, ScheduleError};
use crate::model::ModelError;
use crate::model::file::{Domain, ModelFileError};
use crate::train::TrainError;

/// Why images cannot be read, or a model of images cannot be trained or used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file system refuses.
    #[error("{path}: {source}")]
    Io {
        /// Path as given.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not what its kind promises.
    #[error("{path}: {reason}")]
    File {
        /// Path as given.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Labels and images do not belong together.
    #[error(
        "{labels} has {label_count} labels and {images} has {image_count} images: give the label file of the same data set"
    )]
    Labels {
        /// Label file.
        labels: PathBuf,
        /// Its number of labels.
        label_count: usize,
        /// Image file.
        images: PathBuf,
        /// Its number of images.
        image_count: usize,
    },
    /// No class of that name.
    #[error("there is no class {asked}: give {known}, or a label from 0 to 255")]
    NoClass {
        /// What was asked for.
        asked: String,
        /// The names there are.
        known: String,
    },
    /// Fewer images than wanted.
    #[error(
        "there are only {found} {what}, {wanted} were asked for: give more data or a smaller --count"
    )]
    TooFew {
        /// What kind of images.
        what: String,
        /// How many there are.
        found: usize,
        /// How many are needed.
        wanted: usize,
    },
    /// A parameter is out of range.
    #[error("{0}")]
    Parameter(String),
    /// The model is of another domain.
    #[error(
        "the model works on {0:?} data, but an image model is needed: train one with drfm image train"
    )]
    Domain(Domain),
    /// The recipe does not make sense.
    #[error("the model's recipe is not usable ({0}): train the model again")]
    Recipe(String),
    /// The schedule is impossible.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Sampling is impossible.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// Not a model file.
    #[error(transparent)]
    ModelFile(#[from] ModelFileError),
    /// The model cannot be built.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Training fails or was stopped.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl ImageError {
    /// The file system refuses.
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    /// A file is not what it should be.
    pub fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File {
            path: path.to_path_buf(),
            reason: reason.into(),
        }
    }
}
