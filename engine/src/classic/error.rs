//! What can go wrong in a classical denoiser.

use thiserror::Error;

/// Why a classical denoiser could not run; every text says what to change.
#[derive(Debug, Error, PartialEq)]
pub enum ClassicError {
    /// The window and hop do not allow perfect reconstruction.
    #[error(
        "a window of {window} samples with a hop of {hop} cannot be put together again: \
         use a window of 4 to 1048576 samples and a hop of 1 up to half the window"
    )]
    BadWindow {
        /// Window length in samples.
        window: usize,
        /// Hop in samples.
        hop: usize,
    },
    /// The noise recording does not fill one window.
    #[error(
        "the noise recording has {have} samples but one window needs {need}: give a longer stretch of noise"
    )]
    NoiseTooShort {
        /// Samples in the recording.
        have: usize,
        /// Samples in one window.
        need: usize,
    },
    /// The noise spectrum was measured with another window length.
    #[error(
        "the noise spectrum belongs to a window of {psd} samples but the filter uses {window}: \
         measure the noise with the filter's own window"
    )]
    PsdMismatch {
        /// Window of the noise spectrum in samples.
        psd: usize,
        /// Window of the filter in samples.
        window: usize,
    },
    /// The oracle was asked to work without the clean signal.
    #[error("the oracle filter needs the clean signal: give it, or leave the oracle out")]
    MissingClean,
    /// Clean and noisy signal differ in length.
    #[error(
        "the clean signal has {clean} samples and the noisy one {noisy}: they must be the same stretch"
    )]
    LengthMismatch {
        /// Samples of the clean signal.
        clean: usize,
        /// Samples of the noisy signal.
        noisy: usize,
    },
    /// The Fourier transform refused its buffers.
    #[error("the Fourier transform failed ({0}): please report this")]
    Transform(String),
}

impl From<realfft::FftError> for ClassicError {
    fn from(e: realfft::FftError) -> Self {
        Self::Transform(e.to_string())
    }
}
