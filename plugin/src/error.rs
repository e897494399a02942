//! What can go wrong, said so that a player knows what to do.

use std::path::PathBuf;

use drfm_engine::audio::clip_file::ClipFileError;
use drfm_engine::audio::model::DenoiserModelError;
use drfm_engine::audio::trainer::TrainerError;

/// Why something the player asked for did not happen; the sound stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// A model file cannot be used.
    #[error("{name}: {source}")]
    Model {
        /// The file.
        name: String,
        /// What is wrong.
        source: DenoiserModelError,
    },
    /// A file cannot be read.
    #[error("{} cannot be read ({source}): check that it is still there", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("{} cannot be written ({source}): choose another place", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is far too long for what it should be.
    #[error("{} is too large ({bytes} bytes): choose a model made by drfm train", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// Something else than a file.
    #[error("{} is not a file: choose a model made by drfm train", .0.display())]
    NoFile(PathBuf),
    /// A preset is not one.
    #[error("{} is not a DRFM preset ({source}): choose another file", path.display())]
    Preset {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A preset needs a name that can be a file's.
    #[error("give the preset a name of letters, digits, spaces, - or _")]
    PresetName,
    /// The system does not say where presets belong.
    #[error("the system names no home folder: set HOME to keep presets")]
    NoFolder,
    /// A preset cannot be deleted.
    #[error("the preset {name} cannot be deleted ({source})")]
    Delete {
        /// Its name.
        name: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Training did not come to an end.
    #[error(transparent)]
    Training(#[from] TrainerError),
    /// A clean take cannot be read.
    #[error(transparent)]
    Take(#[from] ClipFileError),
    /// A trained model cannot be put into a file.
    #[error("the trained model cannot be kept ({0}): train again")]
    Trained(String),
}
