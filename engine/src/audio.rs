//! Sound: files, spectra, noise, the streaming denoiser.
pub mod analyser;
pub mod augment;
pub mod chain;
pub mod clip_file;
pub mod context;
pub mod delay;
pub mod denoiser;
#[cfg(test)]
mod denoiser_tests;
pub mod embedded;
pub mod file_denoise;
pub mod file_error;
#[cfg(test)]
mod file_tests;
pub mod find;
pub mod kernel;
pub mod method;
pub mod mix;
pub mod model;
pub mod node;
pub mod noise;
pub mod noise_learner;
pub mod noise_profile;
pub mod normalisation;
mod packets;
pub mod reader;
pub mod recipe;
pub mod resample;
pub mod spectrogram;
pub mod stages;
pub mod step;
pub mod stft;
pub mod swappable;
pub mod tracking;
pub mod trainer;
pub mod trainer_adam;
pub mod training_record;
pub mod training_set;
mod wav_source;
pub mod waveform;
pub mod waveform_generate;
pub mod waveform_kernel;
pub mod waveform_linear;
pub mod waveform_stream;
#[cfg(test)]
mod waveform_stream_tests;
pub mod waveform_training;
pub mod writer;
