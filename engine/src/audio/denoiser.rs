//! audio/denoiser
