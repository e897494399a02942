//! Sound: files, spectra, noise, the streaming denoiser.
pub mod denoiser;
pub mod kernel;
pub mod noise;
pub mod step;
pub mod stft;
pub mod training_set;
pub mod wav;
pub mod waveform;
