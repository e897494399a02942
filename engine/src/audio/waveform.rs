//! The waveform domain: diffusion on windows of samples, the paper's own audio setting (Section 4.2).
//!
//! `x_0` is a window of d samples, scaled so that the [`level_samples`](WaveformRecipe::level_samples) samples that end
//! with it have an RMS of 1. The noise predictor is the sum of two parts:
//!
//! ```text
//! p(x_k, k) = L_k x_k + ( sin(z_k W + b) * cos(theta1[k]) ) theta2,    z_k = F' x_k
//! ```
//!
//! The second is a [`Drfm`] (Eq. 20) whose weights have been drawn with the covariance of music, `F W` with `F F' = C`,
//! instead of looking in all directions alike, most of which hold nothing but noise. The first, see [`LinearPart`], is
//! not trained by descent and not random: like F it follows from the mean autocorrelation of the music, d numbers in
//! the recipe. The DRFM is trained on what the linear part leaves over, so that its ridge pulls towards the best linear
//! denoiser and not towards zero. A model without linear part is the paper's: a DRFM of `x_k` and nothing else.
//!
//! Measured on four recordings left out of training (two guitars, two flutes), white noise of known level, 64 samples,
//! output SNR in dB at 0, 10, 20 dB in:
//!
//! | | guitar 1 | guitar 2 | flute 1 | flute 2 |
//! |---|---|---|---|---|
//! | linear part, next to no sines (8), level over 512 samples | 11.7 17.8 25.1 | 12.0 18.9 25.9 | 11.7 19.3 26.3 | 7.0 16.7 24.3 |
//! | linear part and 512 sines, level over 256 samples | 11.8 17.8 25.2 | 12.3 19.1 25.9 | 11.5 19.2 26.3 | 8.7 18.0 24.4 |
//! | the paper's setting with 512 sines | 10.8 17.7 24.6 | 10.6 18.6 25.0 | 10.0 18.7 25.3 | 7.5 16.2 23.2 |
//!
//! A window of 64 samples cannot see a note: this is for very low latency and for the paper's experiments. The spectral
//! domain denoises better.

use serde::{Deserialize, Serialize};

use super::waveform_linear::LinearPart;
use crate::diffusion::{NoisePredictor, Schedule};
use crate::model::Drfm;
use crate::model::file::{Domain, ModelFile, ModelFileError};

/// Name of the model's only part in its file.
pub const PART: &str = "waveform";
/// Shortest and longest window in samples.
pub const WINDOWS: std::ops::RangeInclusive<usize> = 8..=1024;
/// Most samples that the level may be measured over.
pub const MAX_LEVEL_SAMPLES: usize = 1 << 16;
/// Windows overlap so that each sample lies in this many; the length of a window is a multiple of it.
pub const OVERLAP: usize = 4;

/// The domain part of a waveform model file's header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveformRecipe {
    /// Sample rate in Hz of the sound the model was trained on, and the only one it works at.
    pub rate_hz: u32,
    /// Samples in a window, d: within [`WINDOWS`], a multiple of [`OVERLAP`].
    pub window: usize,
    /// Samples over which the level is measured, ending with the window; from `window` (the paper's normalisation of
    /// each window by itself) to [`MAX_LEVEL_SAMPLES`].
    pub level_samples: usize,
    /// The variance schedule.
    pub schedule: Schedule,
    /// Mean autocorrelation of the music at lags 0 to d - 1, where lag 0 is 1; empty for a model without linear part.
    pub autocorrelation: Vec<f32>,
}

/// Why a waveform model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WaveformError {
    /// The file is not a model.
    #[error(transparent)]
    File(#[from] ModelFileError),
    /// The model is of another domain.
    #[error(
        "the model works on {0:?} data, but a waveform model is needed: train one with --domain waveform"
    )]
    Domain(Domain),
    /// The recipe does not make sense.
    #[error("the model's recipe is not usable ({0}): download or train the model again")]
    Recipe(String),
    /// The sound has another sample rate than the model.
    #[error(
        "the model works at {model} Hz and the sound has {sound} Hz: resample the sound to {model} Hz"
    )]
    Rate {
        /// Rate of the model in Hz.
        model: u32,
        /// Rate of the sound in Hz.
        sound: u32,
    },
}

impl WaveformRecipe {
    /// Checks the sizes.
    ///
    /// # Errors
    /// [`WaveformError::Recipe`] naming what is impossible.
    pub fn check(&self) -> Result<(), WaveformError> {
        let refuse = |what: &str| Err(WaveformError::Recipe(what.to_owned()));
        if self.rate_hz == 0 {
            return refuse("the sample rate is 0");
        }
        if !WINDOWS.contains(&self.window) || !self.window.is_multiple_of(OVERLAP) {
            return refuse("a window must have 8 to 1024 samples, a multiple of 4");
        }
        if !(self.window..=MAX_LEVEL_SAMPLES).contains(&self.level_samples) {
            return refuse(
                "the level must be measured over at least a window and at most 65536 samples",
            );
        }
        if !self.autocorrelation.is_empty() && self.autocorrelation.len() != self.window {
            return refuse("the autocorrelation must have as many lags as the window has samples");
        }
        Ok(())
    }

    /// The linear part; `None` for a model without one.
    ///
    /// # Errors
    /// [`WaveformError::Recipe`] if the autocorrelation is none.
    pub(super) fn linear_part(&self) -> Result<Option<LinearPart>, WaveformError> {
        if self.autocorrelation.is_empty() {
            return Ok(None);
        }
        LinearPart::new(&self.autocorrelation, &self.schedule)
            .map(Some)
            .ok_or_else(|| {
                WaveformError::Recipe("its autocorrelation is that of no signal".to_owned())
            })
    }
}

/// A waveform model ready to denoise and to generate, for any number of streams.
#[derive(Clone, Debug)]
pub struct WaveformModel {
    recipe: WaveformRecipe,
    drfm: Drfm,
    linear: Option<LinearPart>,
}

impl WaveformModel {
    /// Reads the recipe of a model file and checks it against its part.
    ///
    /// # Errors
    /// If the file is of another domain or its recipe does not fit its part.
    pub fn from_file(mut file: ModelFile) -> Result<Self, WaveformError> {
        if file.domain != Domain::Waveform {
            return Err(WaveformError::Domain(file.domain));
        }
        let recipe: WaveformRecipe = serde_json::from_value(file.recipe)
            .map_err(|e| WaveformError::Recipe(e.to_string()))?;
        recipe.check()?;
        let drfm = file
            .parts
            .remove(PART)
            .ok_or_else(|| WaveformError::Recipe(format!("part {PART} is missing")))?
            .model;
        let shape = (drfm.d_in(), drfm.d_out(), drfm.timesteps());
        if shape != (recipe.window, recipe.window, recipe.schedule.timesteps()) {
            return Err(WaveformError::Recipe(format!(
                "part {PART} does not fit it"
            )));
        }
        let linear = recipe.linear_part()?;
        Ok(Self {
            recipe,
            drfm,
            linear,
        })
    }

    /// How the model is used.
    #[must_use]
    pub const fn recipe(&self) -> &WaveformRecipe {
        &self.recipe
    }

    /// The sines.
    #[must_use]
    pub const fn drfm(&self) -> &Drfm {
        &self.drfm
    }

    /// The linear part, if the model has one.
    #[must_use]
    pub const fn linear(&self) -> Option<&LinearPart> {
        self.linear.as_ref()
    }
}

impl NoisePredictor for WaveformModel {
    fn dim(&self) -> usize {
        self.recipe.window
    }

    fn timesteps(&self) -> usize {
        self.recipe.schedule.timesteps()
    }

    fn predict_into(&self, x_k: &[f32], k: usize, scratch: &mut Vec<f32>, out: &mut [f32]) {
        let Some(linear) = &self.linear else {
            return self.drfm.predict_rows_into(x_k, k, scratch, out);
        };
        let d = self.recipe.window;
        let mut coloured = vec![0.0; x_k.len()];
        for (x, z) in x_k.chunks_exact(d).zip(coloured.chunks_exact_mut(d)) {
            linear.colour_into(x, z);
        }
        self.drfm.predict_rows_into(&coloured, k, scratch, out);
        for (x, p) in x_k.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
            linear.add_to(x, k, p);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::file::ModelPart;
    use crate::model::{FeatureDraw, ModelKind, RandomFeatures};
    use crate::rng::StableRng;

    /// A model of windows of 32 samples and 8 timesteps with random coefficients of size `theta2`.
    pub fn file(theta2: f32) -> ModelFile {
        file_of(theta2, 8)
    }

    /// As [`file`], with any number of timesteps.
    pub fn file_of(theta2: f32, timesteps: usize) -> ModelFile {
        let recipe = WaveformRecipe {
            rate_hz: 48_000,
            window: 32,
            level_samples: 64,
            schedule: Schedule::log_snr(timesteps, 40.0, -30.0).unwrap(),
            autocorrelation: (0..32).map(|lag| 0.9f32.powi(lag)).collect(),
        };
        let draw = FeatureDraw::gaussian(32, 40, 3, 0.1);
        let features = RandomFeatures::draw(&draw).unwrap();
        let random = Drfm::initial(features, timesteps, 32, &mut StableRng::new(1, 0)).unwrap();
        let model = Drfm::new(
            random.features().clone(),
            random.theta1().clone(),
            random.theta2() * theta2,
        )
        .unwrap();
        ModelFile {
            domain: Domain::Waveform,
            kind: ModelKind::Drfm,
            recipe: serde_json::to_value(recipe).unwrap(),
            training: serde_json::Value::Null,
            parts: BTreeMap::from([(PART.to_owned(), ModelPart { draw, model })]),
        }
    }

    #[test]
    fn prediction_is_the_sum_of_both_parts() {
        let bytes = file(1.0).to_bytes().unwrap();
        let model = WaveformModel::from_file(ModelFile::from_bytes(&bytes).unwrap()).unwrap();
        let x: Vec<f32> = (0..64).map(|i| (i as f32 * 0.7).sin()).collect();
        let (mut sum, mut sines) = (vec![0.0; 64], vec![0.0; 64]);
        model.predict_into(&x, 3, &mut Vec::new(), &mut sum);
        let linear = model.linear().unwrap();
        for (x, p) in x.chunks_exact(32).zip(sines.chunks_exact_mut(32)) {
            let mut seen = vec![0.0; 32];
            linear.colour_into(x, &mut seen);
            model.drfm().predict_rows_into(&seen, 3, &mut Vec::new(), p);
            linear.add_to(x, 3, p);
        }
        assert_eq!(sum, sines);
    }

    #[test]
    fn recipes_that_do_not_fit_are_refused() {
        let refused = |change: &dyn Fn(&mut ModelFile)| {
            let mut f = file(1.0);
            change(&mut f);
            WaveformModel::from_file(f).is_err()
        };
        assert!(!refused(&|_| ()));
        assert!(refused(&|f| f.domain = Domain::Spectral));
        assert!(refused(&|f| f.recipe["window"] = 30.into()));
        assert!(refused(&|f| f.recipe["window"] = 64.into()));
        assert!(refused(&|f| f.recipe["level_samples"] = 31.into()));
        assert!(refused(&|f| f.recipe["rate_hz"] = 0.into()));
        assert!(refused(&|f| f.recipe["surprise"] = 0.into()));
        assert!(refused(&|f| f.recipe["autocorrelation"][1] = 7.into()));
        assert!(refused(&|f| f.parts.clear()));
        assert!(!refused(
            &|f| f.recipe["autocorrelation"] = serde_json::json!([])
        ));
    }
}
