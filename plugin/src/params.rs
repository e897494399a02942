//! The parameters a host sees, and the fields that are saved beside them. The ids are part of every saved session:
//! they never change (`tests/frozen.rs`).

use std::sync::Arc;

use drfm_engine::audio::denoiser::{FULL_AMOUNT_DB, Output};
use drfm_engine::audio::model::Mode;
use nice_plug::prelude::*;
use serde::{Deserialize, Serialize};

use crate::shared::Shared;
use crate::state::{ModelField, NoiseField, RefusalField, VersionField, WindowField};

/// How much delay is paid for how much quality.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModeChoice {
    /// Two window lengths and a second step.
    #[id = "best"]
    Best,
    /// One window length and a second step.
    #[id = "balanced"]
    Balanced,
    /// Short synthesis windows, for the microphone.
    #[id = "live"]
    Live,
    /// Even shorter ones, for monitoring yourself.
    #[id = "instant"]
    Instant,
}

impl ModeChoice {
    /// The engine's mode.
    #[must_use]
    pub const fn mode(self) -> Mode {
        match self {
            Self::Best => Mode::Best,
            Self::Balanced => Mode::Balanced,
            Self::Live => Mode::Live,
            Self::Instant => Mode::Instant,
        }
    }
}

/// Which model plays.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelChoice {
    /// Comes with the plugin.
    #[id = "guitar"]
    Guitar,
    /// Comes with the plugin.
    #[id = "flute"]
    Flute,
    /// Comes with the plugin.
    #[id = "general"]
    General,
    /// A model file of the user, or one trained in the plugin.
    #[id = "file"]
    #[name = "Own model"]
    File,
}

impl ModelChoice {
    /// The name of the embedded model, if it is one.
    #[must_use]
    pub const fn embedded_name(self) -> Option<&'static str> {
        match self {
            Self::Guitar => Some("guitar"),
            Self::Flute => Some("flute"),
            Self::General => Some("general"),
            Self::File => None,
        }
    }
}

/// Where the noise spectrum comes from.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseChoice {
    /// Tracked while playing.
    #[id = "adaptive"]
    Adaptive,
    /// Learned from a stretch of noise.
    #[id = "learned"]
    Learned,
    /// What was tracked when this was chosen.
    #[id = "frozen"]
    Frozen,
}

/// What is heard.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputChoice {
    /// The music.
    #[id = "denoised"]
    Denoised,
    /// What is taken away.
    #[id = "removed"]
    Removed,
}

/// Range of the output trim in dB, both ways.
pub const TRIM_RANGE_DB: f32 = 24.0;

/// All parameters and saved fields.
#[derive(Params)]
pub struct DrfmParams {
    /// See [`ModeChoice`].
    #[id = "mode"]
    pub mode: EnumParam<ModeChoice>,
    /// See [`ModelChoice`].
    #[id = "model"]
    pub model: EnumParam<ModelChoice>,
    /// How deep the noise is taken down.
    #[id = "amount_db"]
    pub amount_db: FloatParam,
    /// See [`NoiseChoice`].
    #[id = "noise_source"]
    pub noise_source: EnumParam<NoiseChoice>,
    /// The noise is learned while this is on.
    #[id = "learn"]
    pub learn: BoolParam,
    /// See [`OutputChoice`].
    #[id = "output"]
    pub output: EnumParam<OutputChoice>,
    /// Decide for both channels together, so that the image does not wander.
    #[id = "stereo_link"]
    pub stereo_link: BoolParam,
    /// Gain of the output.
    #[id = "output_trim_db"]
    pub output_trim_db: FloatParam,
    /// The input, as late as the output.
    #[id = "bypass"]
    pub bypass: BoolParam,

    /// Version of the saved fields.
    #[persist = "format"]
    pub version: VersionField,
    /// The model file, its bytes included.
    #[persist = "model"]
    pub model_file: ModelField,
    /// Learned and frozen noise.
    #[persist = "noise"]
    pub noise: NoiseField,
    /// Size of the editor window.
    #[persist = "window"]
    pub window: WindowField,
    /// Never saved: filled in for a state that is refused, see [`crate::state::filter`].
    #[persist = "refused"]
    pub refusal: RefusalField,
}

impl DrfmParams {
    /// The defaults.
    #[must_use]
    pub fn new(shared: &Arc<Shared>) -> Self {
        let decibels = |p: FloatParam| {
            p.with_unit(" dB")
                .with_step_size(0.1)
                .with_value_to_string(formatters::v2s_f32_rounded(1))
        };
        Self {
            mode: EnumParam::new("Mode", ModeChoice::Balanced),
            model: EnumParam::new("Model", ModelChoice::General),
            amount_db: decibels(FloatParam::new(
                "Amount",
                30.0,
                FloatRange::Skewed {
                    min: 0.0,
                    max: FULL_AMOUNT_DB,
                    factor: 0.5,
                },
            )),
            noise_source: EnumParam::new("Noise source", NoiseChoice::Adaptive),
            learn: BoolParam::new("Learn", false),
            output: EnumParam::new("Output", OutputChoice::Denoised),
            stereo_link: BoolParam::new("Stereo link", true),
            output_trim_db: decibels(FloatParam::new(
                "Output trim",
                0.0,
                FloatRange::Linear {
                    min: -TRIM_RANGE_DB,
                    max: TRIM_RANGE_DB,
                },
            )),
            bypass: BoolParam::new("Bypass", false).make_bypass(),
            version: VersionField,
            model_file: ModelField::new(shared),
            noise: NoiseField::new(shared),
            window: WindowField::new(shared),
            refusal: RefusalField::new(shared),
        }
    }

    /// The values of now, as the audio thread wants them.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            mode: self.mode.value().mode(),
            model: self.model.value(),
            amount_db: self.amount_db.value(),
            noise: self.noise_source.value(),
            learn: self.learn.value(),
            output: if self.bypass.value() {
                Output::Bypass
            } else if self.output.value() == OutputChoice::Removed {
                Output::Removed
            } else {
                Output::Denoised
            },
            linked: self.stereo_link.value(),
            trim_db: self.output_trim_db.value(),
        }
    }
}

/// The parameters as plain values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Quality against delay.
    pub mode: Mode,
    /// Which model.
    pub model: ModelChoice,
    /// How deep the noise is taken down.
    pub amount_db: f32,
    /// Where the noise is known from.
    pub noise: NoiseChoice,
    /// Whether the noise is being learned.
    pub learn: bool,
    /// What is heard, bypass included.
    pub output: Output,
    /// Whether channels are linked.
    pub linked: bool,
    /// Gain of the output.
    pub trim_db: f32,
}
