//! Recordings from files, as training and evaluation want them.

use std::path::Path;

use super::file_error::AudioFileError;
use super::reader::{AudioClip, read_all};
use super::resample::{ResampleError, resample};
use super::trainer::TRAINING_RATE_HZ;
use super::training_set::Clip;

/// Most samples of a recording, all channels together: three hours of stereo at 96 kHz.
pub const MOST_SAMPLES: u64 = 2 * 3 * 3600 * 96_000;

/// Why a recording cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClipFileError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] AudioFileError),
    /// It cannot be resampled.
    #[error(transparent)]
    Resample(#[from] ResampleError),
}

/// A recording for training.
pub struct LoadedClip {
    /// The recording: mono, at the training rate.
    pub clip: Clip,
    /// The file is cut short or damaged: this is what could be read.
    pub incomplete: bool,
}

/// Reads a file for training.
///
/// # Errors
/// As [`read_all`], and if its rate cannot be changed.
pub fn read_clip(path: &Path) -> Result<LoadedClip, ClipFileError> {
    let audio = read_mono(path)?;
    let samples = resample(&audio.samples, audio.rate_hz, TRAINING_RATE_HZ)?;
    Ok(LoadedClip {
        clip: Clip::new(samples),
        incomplete: audio.incomplete,
    })
}

/// A mono recording at its own rate.
pub struct MonoClip {
    /// Sample rate in Hz.
    pub rate_hz: u32,
    /// Samples; broken ones are 0.
    pub samples: Vec<f32>,
    /// The file is cut short or damaged: this is what could be read.
    pub incomplete: bool,
}

/// Reads a file as mono.
///
/// # Errors
/// As [`read_all`].
pub fn read_mono(path: &Path) -> Result<MonoClip, ClipFileError> {
    let audio: AudioClip = read_all(path, MOST_SAMPLES)?;
    let mut samples = audio.mono();
    for sample in &mut samples {
        if !sample.is_finite() {
            *sample = 0.0;
        }
    }
    Ok(MonoClip {
        rate_hz: audio.rate_hz,
        samples,
        incomplete: audio.truncated || audio.damaged,
    })
}

/// Seconds of sound in clips.
#[must_use]
pub fn seconds_of(clips: &[Clip]) -> f64 {
    clips.iter().map(|c| c.samples().len()).sum::<usize>() as f64 / f64::from(TRAINING_RATE_HZ)
}
