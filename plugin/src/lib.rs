//! The DRFM denoiser as a plugin for audio hosts, in the formats CLAP and VST3.
//!
//! A shell around [`drfm_engine::audio::swappable::SwappableDenoiser`]: it translates parameters, sessions and the host's
//! calls, and draws. Threads:
//!
//! - the audio thread runs [`processor::Processor`]: it never allocates, frees, locks or waits;
//! - a background thread makes streams for other models ([`builder`]), hands them over a queue, and drops old ones;
//! - the host's main thread loads and saves [`state`] and draws the [`editor`].
//!
//! What they share is in [`shared`]. Built on nice-plug, the published continuation of nih-plug.

pub mod base64_bytes;
pub mod builder;
pub mod dialogs;
pub mod editor;
pub mod error;
pub mod files;
pub mod models;
pub mod params;
pub mod plugin;
pub mod presets;
pub mod processor;
pub mod scope;
pub mod shared;
pub mod state;
pub mod training;
pub mod window;

use nice_plug::prelude::*;
use plugin::Drfm;

// The macros below write the entry points that hosts call, which cannot be safe functions.
mod export {
    #![allow(unsafe_code, missing_docs, clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    nice_export_clap!(Drfm);
    nice_export_vst3!(Drfm);
}
