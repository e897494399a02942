//! The plugin: nothing but a name yet. Its sound will be `drfm_engine::audio::denoiser::StreamDenoiser`, called from a
//! CLAP and VST3 shell that only translates.
