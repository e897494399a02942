//! What can go wrong with audio files, in sentences for the person who owns them.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why an audio file could not be read or written; every text says what to do.
#[derive(Debug, Error)]
pub enum AudioFileError {
    /// Nothing lies at the path.
    #[error("there is no file {}: check the name", .0.display())]
    Missing(PathBuf),
    /// The path is a folder.
    #[error("{} is a folder: give a file inside it", .0.display())]
    IsFolder(PathBuf),
    /// The user may not read the file.
    #[error("no permission to read {}: change its permissions or copy it", .0.display())]
    NoReadPermission(PathBuf),
    /// The file has 0 bytes.
    #[error("{} is empty (0 bytes): record or copy it again", .0.display())]
    Empty(PathBuf),
    /// The contents are not sound in a known format.
    #[error(
        "{} is not a sound file that can be read ({detail}): give WAV, FLAC, AIFF, OGG Vorbis or MP3",
        path.display()
    )]
    NotAudio {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        detail: String,
    },
    /// The file has a correct header but no samples.
    #[error("{} holds no samples: record or copy it again", .0.display())]
    NoSamples(PathBuf),
    /// The sample rate lies outside 1 kHz to 768 kHz.
    #[error(
        "{} says its sample rate is {rate_hz} Hz, but only 1000 to 768000 Hz can be used: \
         resample it or repair its header",
        path.display()
    )]
    Rate {
        /// The file.
        path: PathBuf,
        /// The rate it states, in Hz.
        rate_hz: u32,
    },
    /// The channel count lies outside 1 to 64.
    #[error(
        "{} says it has {channels} channels, but only 1 to 64 can be used: split it or repair its header",
        path.display()
    )]
    Channels {
        /// The file.
        path: PathBuf,
        /// The channel count it states.
        channels: usize,
    },
    /// The file has more samples than the caller allows in memory.
    #[error(
        "{} has more than {limit} samples, which is too much to hold in memory at once: cut it into parts",
        path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Greatest number of samples allowed, all channels together.
        limit: u64,
    },
    /// The system failed while reading.
    #[error("reading {} failed ({source}): check the disk or copy the file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The folder to write into does not exist.
    #[error("there is no folder {}: create it first", .0.display())]
    FolderMissing(PathBuf),
    /// The user may not write there.
    #[error("no permission to write {}: choose another folder", .0.display())]
    NoWritePermission(PathBuf),
    /// The disk has no room left.
    #[error("the disk is full while writing {}: make room and start again", .0.display())]
    DiskFull(PathBuf),
    /// More data than a WAV file can describe.
    #[error(
        "{} would grow beyond 4 GiB, the most a WAV file can hold: write shorter parts or fewer bits",
        .0.display()
    )]
    TooBigForWav(PathBuf),
    /// A block to write does not consist of whole frames.
    #[error(
        "a block of {samples} samples does not divide into {channels} channels: pass whole frames"
    )]
    PartialFrame {
        /// Samples in the block.
        samples: usize,
        /// Channels of the file.
        channels: usize,
    },
    /// The system failed while writing.
    #[error("writing {} failed ({source}): check the disk and the folder", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A search found no sound.
    #[error("there are no sound files in {}: give a folder with WAV, FLAC, AIFF, OGG or MP3 files", .0.display())]
    NoAudioFiles(PathBuf),
}

impl AudioFileError {
    /// The sentence for a failed read or open of `path`.
    pub(crate) fn reading(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing(path),
            io::ErrorKind::PermissionDenied => Self::NoReadPermission(path),
            io::ErrorKind::IsADirectory => Self::IsFolder(path),
            _ => Self::Read { path, source },
        }
    }

    /// The sentence for a failed write of `path`.
    pub(crate) fn writing(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(path),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NoWritePermission(path)
            }
            _ => Self::Write { path, source },
        }
    }
}
