//! A denoiser's model: the steps of a model file, joined into a chain for each mode.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chain::{ChainConfig, StepModel};
use super::denoiser::Chain;
use super::long_frames::fits;
use super::step::StepConfig;
use crate::model::file::{Domain, ModelFile, ModelFileError};

/// How much delay is paid for how much quality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Two window lengths and a second step; under 500 ms. For files and mixing.
    Best,
    /// One window length and a second step; under 130 ms. For playing along with a mix.
    Balanced,
    /// A long analysis window with a short synthesis window; under 12 ms. For the microphone.
    Live,
    /// As live with an even shorter synthesis window; under 3 ms. For monitoring yourself.
    Instant,
}

impl Mode {
    /// All modes, best quality first.
    pub const ALL: [Self; 4] = [Self::Best, Self::Balanced, Self::Live, Self::Instant];

    /// Its name in options and files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Balanced => "balanced",
            Self::Live => "live",
            Self::Instant => "instant",
        }
    }

    /// The mode of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }
}

/// The domain part of a spectral model file's header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpectralRecipe {
    /// Steps by name; each is a part of the file.
    pub steps: BTreeMap<String, StepConfig>,
    /// Names of the steps of each mode.
    pub modes: BTreeMap<Mode, ChainConfig<String>>,
}

/// Why a model cannot denoise.
#[derive(Debug, thiserror::Error)]
pub enum DenoiserModelError {
    /// The file is not a model.
    #[error(transparent)]
    File(#[from] ModelFileError),
    /// The model is of another domain.
    #[error(
        "the model works on {0:?} data, but a spectral model is needed: train one with --domain spectral"
    )]
    Domain(Domain),
    /// The recipe does not make sense.
    #[error("the model's recipe is not usable ({0}): download or train the model again")]
    Recipe(String),
    /// The model lacks a mode.
    #[error("the model was trained without mode {0}; it has: {1}")]
    Mode(&'static str, String),
}

/// Most frames that a step may look back or ahead, and longest window in samples at 48 kHz: what a stream may take of
/// memory.
const MAX_FRAMES: i16 = 512;
const MAX_WINDOW: u32 = 16_384;
const MIN_HOP: u32 = 8;
/// A step looks at everything below this frequency in Hz at least.
const LEAST_HIGHEST_HZ: f32 = 100.0;
/// Most contexts and patch terms of a step.
const MAX_INPUTS: usize = 256;

/// A spectral model ready to be streamed, for any number of streams.
pub struct DenoiserModel {
    chains: BTreeMap<Mode, Chain>,
    steps: BTreeMap<String, Arc<StepModel>>,
    file: ModelFile,
}

impl DenoiserModel {
    /// Joins the parts of a model file.
    ///
    /// # Errors
    /// If it is of another domain or its recipe does not fit its parts.
    pub fn from_file(file: ModelFile) -> Result<Self, DenoiserModelError> {
        if file.domain != Domain::Spectral {
            return Err(DenoiserModelError::Domain(file.domain));
        }
        let recipe: SpectralRecipe = serde_json::from_value(file.recipe.clone())
            .map_err(|e| DenoiserModelError::Recipe(e.to_string()))?;
        let mut steps = BTreeMap::new();
        for (name, config) in recipe.steps {
            check_step(&config)
                .map_err(|e| DenoiserModelError::Recipe(format!("step {name}: {e}")))?;
            let part = file
                .parts
                .get(&name)
                .ok_or_else(|| DenoiserModelError::Recipe(format!("step {name} has no weights")))?;
            let step = StepModel::new(config, part.model.clone()).ok_or_else(|| {
                DenoiserModelError::Recipe(format!("the weights of step {name} do not fit it"))
            })?;
            steps.insert(name, Arc::new(step));
        }
        let find = |name: &String| {
            steps
                .get(name)
                .cloned()
                .ok_or_else(|| DenoiserModelError::Recipe(format!("step {name} is missing")))
        };
        let mut chains = BTreeMap::new();
        for (mode, names) in &recipe.modes {
            let chain = ChainConfig {
                first: find(&names.first)?,
                long: names.long.as_ref().map(find).transpose()?,
                refine: names.refine.as_ref().map(find).transpose()?,
            };
            check_chain(&chain)
                .map_err(|e| DenoiserModelError::Recipe(format!("mode {}: {e}", mode.name())))?;
            chains.insert(*mode, chain);
        }
        Ok(Self {
            chains,
            steps,
            file,
        })
    }

    /// Reads a model from bytes.
    ///
    /// # Errors
    /// As [`Self::from_file`], and if the bytes are not an intact model file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DenoiserModelError> {
        Self::from_file(ModelFile::from_bytes(bytes)?)
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// As [`Self::from_bytes`], and if the file cannot be read.
    pub fn load(path: &Path) -> Result<Self, DenoiserModelError> {
        Self::from_file(ModelFile::load(path)?)
    }

    /// The steps of a mode.
    ///
    /// # Errors
    /// If the model was trained without it.
    pub fn chain(&self, mode: Mode) -> Result<&Chain, DenoiserModelError> {
        self.chains.get(&mode).ok_or_else(|| {
            let has: Vec<&str> = self.chains.keys().map(|m| m.name()).collect();
            DenoiserModelError::Mode(mode.name(), has.join(", "))
        })
    }

    /// The modes it can be used in.
    pub fn modes(&self) -> impl Iterator<Item = Mode> + '_ {
        self.chains.keys().copied()
    }

    /// Its steps by name.
    #[must_use]
    pub const fn steps(&self) -> &BTreeMap<String, Arc<StepModel>> {
        &self.steps
    }

    /// The file it came from.
    #[must_use]
    pub const fn file(&self) -> &ModelFile {
        &self.file
    }
}

/// Whether a step's sizes are such that a stream of it may be made.
fn check_step(config: &StepConfig) -> Result<(), String> {
    use super::context::{Context, Mean, Power};
    use super::step::PatchTerm;
    let frames = config.frames;
    let sane = frames.window_at_48k <= MAX_WINDOW
        && frames.synthesis_at_48k <= frames.window_at_48k
        && (2..=16).contains(&frames.overlap)
        && frames.synthesis_at_48k / frames.overlap.max(1) >= MIN_HOP;
    if !sane {
        return Err("impossible window lengths".to_owned());
    }
    let lookahead = i16::from(config.lookahead);
    if config.lookahead > 64
        || config.contexts.len() + config.patch.len() > MAX_INPUTS
        || config.patch.is_empty()
        || config.patch.len() > super::step::MAX_PATCH_TERMS
    {
        return Err("too many inputs or too long a look-ahead".to_owned());
    }
    if config.normalisation.len() != config.contexts.len()
        || config
            .normalisation
            .iter()
            .any(|(m, s)| !m.is_finite() || !s.is_finite())
    {
        return Err("normalisation does not fit the contexts".to_owned());
    }
    let highest = config.highest_hz == 0.0 || (LEAST_HIGHEST_HZ..=1e6).contains(&config.highest_hz);
    if !(0.0..=20_000.0).contains(&config.lowest_hz) || !highest {
        return Err("impossible range".to_owned());
    }
    let power = |p: &Power| match p.mean {
        Mean::Span { from, to } => from <= to && from >= -MAX_FRAMES && to <= lookahead,
        Mean::Ema { frames } => frames.is_finite() && frames > 0.0,
    };
    let context = |c: &Context| match c {
        Context::Power { power: p, .. } | Context::Salience { power: p } => power(p),
        Context::Harmonic {
            power: p,
            denominator,
            ..
        } => power(p) && *denominator > 0,
        Context::APrioriSnr { alpha, .. } => (0.0..=1.0).contains(alpha),
        Context::Coherence { lag, frames } => *lag > 0 && frames.is_finite() && *frames > 0.0,
        Context::Frequency => true,
    };
    let term = |t: &PatchTerm| match *t {
        PatchTerm::Noisy { frame, .. } => i16::from(frame) <= lookahead && frame >= -64,
        PatchTerm::Removed { gain } | PatchTerm::LongLessFirst { gain } => gain.is_finite(),
        PatchTerm::First => true,
    };
    let whole = config.contexts.iter().all(context)
        && config.patch.iter().all(term)
        && config
            .mask
            .iter()
            .all(|m| power(&m.power) && m.above.is_finite())
        && config.level.iter().all(power)
        && !config.level.is_empty()
        && config.mask.len() <= 16
        && config.mask_frames_after <= 16
        && config.mask_frames_before <= 16;
    if whole {
        Ok(())
    } else {
        Err("an input reaches outside its frames".to_owned())
    }
}

/// Whether the steps of a chain can work together.
fn check_chain(chain: &Chain) -> Result<(), String> {
    let first = &chain.first.config;
    if first.refines() || first.uses_long() {
        return Err("its first step wants an earlier estimate".to_owned());
    }
    let whole = |step: &StepConfig| step.highest_hz == 0.0;
    let long_is_whole = |long: &StepConfig| whole(long) || fits(first, long);
    let refine = chain.refine.as_ref();
    if !whole(first)
        || !refine.is_none_or(|r| whole(&r.config))
        || !chain.long.as_ref().is_none_or(|l| long_is_whole(&l.config))
    {
        return Err("a step that is heard by itself leaves out the highest bins".to_owned());
    }
    match (&chain.long, refine) {
        (Some(long), Some(refine)) => {
            if long.config.refines() || !refine.config.refines() {
                return Err("its steps are in the wrong order".to_owned());
            }
            let r = &refine.config;
            if fits(first, &long.config) && (r.frames != first.frames || r.lookahead != 0) {
                return Err("its second step does not fit its first".to_owned());
            }
        }
        (Some(_), None) => return Err("a long window needs a second step".to_owned()),
        (None, Some(refine)) => {
            let r = &refine.config;
            if !r.refines() || r.uses_long() || r.frames != first.frames || r.lookahead != 0 {
                return Err("its second step does not fit its first".to_owned());
            }
        }
        (None, None) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::audio::embedded;

    /// Why an embedded model is refused whose recipe has been changed.
    fn refusal(change: impl Fn(&mut Value)) -> String {
        let mut file = ModelFile::from_bytes(embedded::bytes("guitar").unwrap()).unwrap();
        change(&mut file.recipe);
        match DenoiserModel::from_file(file) {
            Ok(_) => String::new(),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn steps_that_cannot_work_together_are_refused() {
        assert_eq!(refusal(|_| {}), "");
        let set = |step: &'static str, what: &'static str, value: Value| {
            refusal(move |recipe| recipe["steps"][step][what] = value.clone())
        };
        for (said, wanted) in [
            (
                set("live", "highest_hz", json!(4500.0)),
                "leaves out the highest",
            ),
            (
                set("refine_live", "highest_hz", json!(4500.0)),
                "leaves out the highest",
            ),
            (
                set("long", "highest_hz", json!(4500.0)),
                "leaves out the highest",
            ),
            (
                set("live_long", "highest_hz", json!(50.0)),
                "impossible range",
            ),
            (
                set("live_long", "highest_hz", json!(-1.0)),
                "impossible range",
            ),
            (
                set("refine_live", "lookahead", json!(1)),
                "second step does not fit",
            ),
            (
                refusal(|recipe| {
                    let longer = recipe["steps"]["live_long"]["frames"].clone();
                    recipe["steps"]["refine_live"]["frames"] = longer;
                }),
                "second step does not fit",
            ),
            (
                refusal(|recipe| recipe["modes"]["live"]["long"] = Value::Null),
                "second step does not fit",
            ),
            (
                refusal(|recipe| recipe["modes"]["live"]["refine"] = Value::Null),
                "needs a second step",
            ),
        ] {
            assert!(said.contains(wanted), "{said:?} for {wanted:?}");
        }
        // As wide as it likes.
        assert_eq!(set("live_long", "highest_hz", json!(1e5)), "");
        assert_eq!(set("live_long", "highest_hz", json!(0.0)), "");
    }
}
