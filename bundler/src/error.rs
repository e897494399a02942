//! What can go wrong, and what to do then.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Why there is no bundle, or it is not where it should be.
#[derive(Debug, thiserror::Error)]
pub enum BundlerError {
    /// The command line.
    #[error("{0}; see cargo xtask help")]
    Usage(String),
    /// Cargo does not answer.
    #[error("cargo metadata failed ({0}): run this inside the repository, with Cargo on the PATH")]
    Metadata(String),
    /// Building or bundling failed.
    #[error("{0}")]
    Bundle(String),
    /// The bundle that was just made is not there.
    #[error("{} was not made: does bundler.toml name the plugin \"{}\"?", .0.display(), crate::NAME)]
    Missing(PathBuf),
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The archive.
    #[error("the archive cannot be written: {0}")]
    Archive(#[from] zip::result::ZipError),
    /// The home folder is unknown.
    #[error("{0} is not set, so the folder for plugins is unknown: say --to DIR")]
    NoHome(&'static str),
}

impl BundlerError {
    /// Something went wrong with a file.
    pub fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

impl BundlerError {
    /// 2 for a wrong command line, 1 for everything else.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}
