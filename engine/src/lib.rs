//! The DRFM engine: a diffusion model of random features, and a denoiser for musical instruments made of it.
//!
//! The engine knows no host, no sound card, no terminal and no clock. Files, plugin and live programs are thin callers
//! of one streaming core, [`audio::denoiser::StreamDenoiser`].
//!
//! | paper (arXiv 2310.04417v2) | item |
//! |---|---|
//! | Eq. 1, one forward step | [`diffusion::Schedule::step_into`] |
//! | Eq. 2-4, x_k from x_0 | [`diffusion::Schedule::forward_into`] |
//! | Eq. 20, p(x_k, k) | [`model::Drfm`]; on the audio thread [`audio::kernel::Kernel`] |
//! | Algorithm 1, training with Adam | [`train::adam`] |
//! | the same loss in closed form | [`train::closed_form`] on the sums of [`train::stats`] |
//! | Algorithm 1, sampling to the letter | [`diffusion::sampler::Sampler::Paper`] |
//! | Section 2.2, DDPM sampling | [`diffusion::sampler::Sampler::Ddpm`] |
//! | RF and NN of Section 4 | [`model::baselines`] |
//! | Section 4.1, images | [`image`] |
//! | figures 2 to 7, the bound of Eq. 25 and 30 | [`paper`] |
//!
//! Before anything else, [`audio::hum`] takes mains hum and other steady combs of tones out of the samples. Two channels of a
//! picture are turned into what they share and the rest by [`audio::pair`].
//! Noise is found or followed by [`audio::noise_tracker`], and where it is louder for a moment by [`audio::surge`].
//! How sound becomes x_k: [`audio::step`] picks a bin's timestep by its local SNR, turns and scales its patch, and takes
//! the predicted noise away; [`audio::recipe`] holds every tuned number of it.
//!
//! Dependencies point one way: `diffusion` <- `model` <- `train`; `audio` and `image` use all three, `paper` uses both.

pub mod audio;
pub mod classic;
pub mod diffusion;
pub mod eval;
pub mod image;
pub mod metrics;
pub mod model;
pub mod paper;
pub mod realtime;
pub mod rng;
pub mod train;
