//! Sound: files, spectra, noise, the streaming denoiser.
pub mod kernel;
pub mod noise;
pub mod step;
pub mod denoiser;
pub mod training_set;
pub mod wav;
pub mod stft;
pub mod waveform;
