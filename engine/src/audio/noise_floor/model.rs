//! The learned half of a noise floor: an RF regression (Eq. 20 of the paper without gates) beside a linear one.

use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::selection::Pass;
use super::surroundings::{CONTEXTS, SEEN};
use crate::audio::kernel::{BINS_PER_PASS, Kernel};
use crate::model::drfm::Drfm;
use crate::model::features::{FeatureDraw, RandomFeatures};

/// Largest number of standard deviations that a value may lie off its mean.
const FAR: f32 = 4.0;
/// Noise is taken to be at least this factor, -2 dB, times what is estimated: what is taken for noise but is music is lost.
const LEAST: f32 = 0.631;
/// It is taken to be at most this factor, 6 dB, times that.
const MOST: f32 = 3.98;
/// Lowest and highest natural logarithm of the noise power relative to the reference.
pub(super) const LOG_RATIO: (f32, f32) = (-6.0, 12.0);

/// The numbers of a model, as they are stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FloorWeights {
    /// Where the features come from.
    pub draw: FeatureDraw,
    /// Mean and standard deviation of each value that is seen around a bin.
    pub normalisation: Vec<(f32, f32)>,
    /// The natural logarithm of the noise power relative to the reference.
    pub noise: Output,
    /// How unsteady the noise of the band is, in dB (see [`Unsteadiness`]).
    ///
    /// [`Unsteadiness`]: crate::audio::unsteadiness::Unsteadiness
    pub unsteadiness: Output,
    /// How it was trained.
    pub training: FloorReport,
}

/// What makes an output of features and contexts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Weight of each feature.
    pub features: Vec<f32>,
    /// Weight of each value, of the first ones at least.
    pub contexts: Vec<f32>,
    /// What is added.
    pub offset: f32,
}

impl Output {
    fn fits(&self, features: usize, values: usize) -> bool {
        let numbers = self.features.iter().chain(&self.contexts);
        self.features.len() == features
            && self.contexts.len() == values
            && numbers.chain([&self.offset]).all(|x| x.is_finite())
    }

    fn linear(&self, values: &[Pass; SEEN]) -> Pass {
        let mut sums = [0.0; BINS_PER_PASS];
        for (values, weight) in values.iter().zip(&self.contexts) {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += value * weight;
            }
        }
        sums.map(|sum| self.offset + sum)
    }
}

/// How a model was trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FloorReport {
    /// Recordings it learned from, and seconds of sound.
    pub recordings: usize,
    /// Seconds of sound in them.
    pub seconds: f64,
    /// Seed of noises and features.
    pub seed: u64,
    /// Rows that it learned from, and others that it was tried on.
    pub rows: (u64, u64),
    /// Root mean square error in dB on rows of recordings that it did not learn from, if there are any.
    pub error_db: Option<f64>,
    /// The same of the quantile of minima alone.
    pub quantile_error_db: Option<f64>,
    /// Root mean square error of the unsteadiness in dB on those rows, and its standard deviation there.
    pub unsteadiness_error_db: Option<(f64, f64)>,
}

/// A model ready for the audio thread.
pub struct FloorModel {
    weights: FloorWeights,
    kernel: Kernel,
}

impl FloorModel {
    /// Makes a model ready.
    ///
    /// # Errors
    /// A sentence, if the numbers do not fit together.
    pub fn new(weights: FloorWeights) -> Result<Self, String> {
        let normal = |(m, s): &(f32, f32)| m.is_finite() && s.is_finite() && *s > 0.0;
        if weights.draw.d_in != CONTEXTS
            || weights.normalisation.len() != SEEN
            || !weights.noise.fits(weights.draw.n_features, CONTEXTS)
            || !weights.unsteadiness.fits(weights.draw.n_features, SEEN)
            || !weights.normalisation.iter().all(normal)
        {
            return Err("the numbers of the noise model do not fit together".to_owned());
        }
        let features = RandomFeatures::draw(&weights.draw).map_err(|e| e.to_string())?;
        let count = weights.draw.n_features;
        let mut theta = Array2::zeros((count, 2));
        let outputs = [&weights.noise, &weights.unsteadiness];
        for (mut column, output) in theta.columns_mut().into_iter().zip(outputs) {
            column.assign(&Array1::from_vec(output.features.clone()));
        }
        let model =
            Drfm::new(features, Array2::zeros((1, count)), theta).map_err(|e| e.to_string())?;
        let kernel = Kernel::new(&model, 0).ok_or("the noise model does not fit its kernel")?;
        Ok(Self { weights, kernel })
    }

    /// Reads a model.
    ///
    /// # Errors
    /// As [`Self::new`], and if it is no such text.
    pub fn from_json(text: &str) -> Result<Self, String> {
        Self::new(serde_json::from_str(text).map_err(|e| e.to_string())?)
    }

    /// The numbers.
    #[must_use]
    pub const fn weights(&self) -> &FloorWeights {
        &self.weights
    }

    pub(super) const fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Normalises the values of a pass in place; returns the linear part of both outputs.
    pub(super) fn prepare(&self, values: &mut [Pass; SEEN]) -> [Pass; 2] {
        for (values, normalisation) in values.iter_mut().zip(&self.weights.normalisation) {
            for x in values {
                *x = normalised(*x, *normalisation);
            }
        }
        [&self.weights.noise, &self.weights.unsteadiness].map(|o| o.linear(values))
    }

    /// The ratios of the noise's power to the reference between which a sum holds it.
    pub(super) fn ratios(&self, log_ratio: f32) -> [f32; 2] {
        let ratio = libm::expf(log_ratio.clamp(LOG_RATIO.0, LOG_RATIO.1));
        [LEAST * ratio, MOST * ratio]
    }
}

/// Brings a value to zero mean and unit deviation, and holds outliers.
pub(super) fn normalised(value: f32, (mean, deviation): (f32, f32)) -> f32 {
    ((value - mean) / deviation).clamp(-FAR, FAR)
}

#[cfg(test)]
mod tests {
    use super::super::embedded;
    use super::*;

    #[test]
    fn the_embedded_model_is_whole() {
        let model = embedded().expect("engine/models/noise_floor.json");
        let again = serde_json::to_string(model.weights()).expect("numbers");
        let read = FloorModel::from_json(&again).expect("what was written");
        assert_eq!(read.weights(), model.weights());
        let report = &model.weights().training;
        assert!(report.error_db < report.quantile_error_db, "{report:?}");
        let (error, deviation) = report.unsteadiness_error_db.expect("an error");
        assert!(error < deviation, "{report:?}");
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let good = embedded().expect("model").weights().clone();
        let spoilt: [fn(&mut FloorWeights); 6] = [
            |w| w.noise.features.truncate(3),
            |w| w.unsteadiness.contexts.push(0.0),
            |w| w.normalisation[2].1 = 0.0,
            |w| w.noise.offset = f32::NAN,
            |w| w.draw.d_in += 1,
            |w| w.draw.n_features = usize::MAX,
        ];
        for spoil in spoilt {
            let mut weights = good.clone();
            spoil(&mut weights);
            assert!(FloorModel::new(weights).is_err());
        }
        assert!(FloorModel::from_json("{").is_err());
    }
}
