//! Sound: files, spectra, noise, the streaming denoiser.
pub mod augment;
pub mod chain;
pub mod context;
pub mod delay;
pub mod denoiser;
pub mod kernel;
pub mod model;
pub mod node;
pub mod noise;
pub mod recipe;
pub mod step;
pub mod stft;
pub mod training_set;
pub mod wav;
pub mod waveform;
