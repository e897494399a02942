//! Training of a waveform model: windows of clean music, noise by the forward process (Eq. 4), and either trainer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::recipe::ROUNDS;
use super::trainer::{Progress, ProgressObserver, TRAINING_RATE_HZ, TrainerError};
use super::trainer_adam::{AdamOptions, AdamRun, Checkpoints, draw_for_kind};
use super::training_set::Clip;
use super::waveform::{PART, WaveformRecipe};
use super::waveform_linear::LinearPart;
use crate::diffusion::Schedule;
use crate::model::file::{Domain, ModelFile, ModelPart};
use crate::model::{Drfm, FeatureDraw, FeatureGroup, FeatureScale, ModelKind};
use crate::rng::StableRng;
use crate::train::closed_form::{ClosedFormParams, solve};
use crate::train::{Batch, Fold, Stats, TrainError, TrainingSet, read_fold};

/// How the coefficients are found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaveformTrainer {
    /// Alternating ridge solves; DRFM and RF.
    ClosedForm,
    /// Gradient descent; all kinds.
    Adam(AdamOptions),
}

/// What a user may choose about waveform training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveformTraining {
    /// DRFM, or one of the paper's baselines. NN needs Adam, and gets as many trainable parameters as a DRFM with
    /// `features` features.
    pub kind: ModelKind,
    /// Samples in a window, d; see [`WaveformRecipe::window`].
    pub window: usize,
    /// See [`WaveformRecipe::level_samples`]; `window` gives the paper's setting.
    pub level_samples: usize,
    /// Number of features N.
    pub features: usize,
    /// The variance schedule; its length is the number of timesteps K.
    pub schedule: Schedule,
    /// Whether the model has a linear part beside the sines. The paper's has none.
    pub linear: bool,
    /// Windows drawn per second of music, each at one timestep.
    pub windows_per_second: usize,
    /// Seed of features, windows and noise.
    pub seed: u64,
    /// How the coefficients are found.
    pub trainer: WaveformTrainer,
}

impl WaveformTraining {
    /// The setting for denoising with windows of `window` samples and `timesteps` timesteps; 64 and 16 are good.
    ///
    /// # Errors
    /// If the number of timesteps is not possible.
    pub fn denoising(window: usize, timesteps: usize) -> Result<Self, TrainerError> {
        let schedule = Schedule::log_snr(timesteps, 45.0, -30.0)
            .map_err(|e| TrainerError::Model(e.to_string()))?;
        Ok(Self {
            kind: ModelKind::Drfm,
            window,
            // Shorter is better at high and longer at low SNR, by 0.4 dB either way (measured with 64 samples).
            level_samples: 4 * window,
            features: 512,
            schedule,
            linear: true,
            windows_per_second: 400,
            seed: 1,
            trainer: WaveformTrainer::ClosedForm,
        })
    }

    /// The paper's setting (Section 4.2): each window by itself, K = 100 with linear variances from 1e-4 to 0.02, and no
    /// linear part. The paper's 15000 features are for Adam; the closed form wants fewer.
    ///
    /// # Errors
    /// Never in practice: the schedule's constants are possible.
    pub fn paper(window: usize) -> Result<Self, TrainerError> {
        let schedule = Schedule::linear_beta(100, 1e-4, 0.02)
            .map_err(|e| TrainerError::Model(e.to_string()))?;
        Ok(Self {
            level_samples: window,
            schedule,
            linear: false,
            ..Self::denoising(window, 1)?
        })
    }

    fn recipe(&self) -> Result<WaveformRecipe, TrainerError> {
        let recipe = WaveformRecipe {
            rate_hz: TRAINING_RATE_HZ,
            window: self.window,
            level_samples: self.level_samples,
            schedule: self.schedule.clone(),
            autocorrelation: Vec::new(),
        };
        recipe
            .check()
            .map_err(|e| TrainerError::Model(e.to_string()))?;
        Ok(recipe)
    }

    /// Samples that are looked at around a window.
    fn around(&self) -> usize {
        self.level_samples.max(AROUND_WINDOWS * self.window)
    }

    fn draw(&self) -> FeatureDraw {
        // The same spread of the angles for every length of window.
        let size = (64.0 / self.window as f32).sqrt();
        FeatureDraw {
            d_in: self.window,
            n_features: self.features,
            seed: self.seed,
            stream: 0,
            groups: vec![FeatureGroup {
                inputs: self.window,
                scale: FeatureScale::LogUniform {
                    low: SCALES.0 * size,
                    high: SCALES.1 * size,
                },
            }],
            orthogonal: false,
            patches: None,
        }
    }
}

/// Ridges to choose from by validation; the linear part leaves so little over that with few features large ones win.
const RIDGES: [f64; 4] = [1e-3, 3e-3, 1e-2, 1e-1];
/// The ridge when there are too few recordings to validate.
const RIDGE_WITHOUT_VALIDATION: f64 = 1e-2;
/// Standard deviations of the weights for 64 inputs.
const SCALES: (f32, f32) = (0.03, 0.3);
/// Length, in windows, of the sound from which the autocorrelation at the lags of one window is taken.
const AROUND_WINDOWS: usize = 16;
/// Seconds of a clip that are one part of the training set.
const PART_SECONDS: usize = 4;
/// Windows whose level lies further than this below that of their clip are silent: -40 dB, as a ratio of powers.
const SILENT: f64 = 1e-4;

/// Trains a waveform model on clips at [`TRAINING_RATE_HZ`] that [`super::trainer::usable_clips`] has let through.
/// `checkpoints` are used by Adam only, under the name [`PART`].
///
/// # Errors
/// [`TrainerError::Model`] for impossible sizes; [`TrainerError::Train`] if a parameter is out of range, there is nothing
/// but silence, or the observer stops it; [`TrainerError::Mismatch`] if a checkpoint is of another run.
pub fn train(
    training: &WaveformTraining,
    clips: &[Clip],
    checkpoints: &mut dyn Checkpoints,
    observer: ProgressObserver<'_>,
) -> Result<ModelFile, TrainerError> {
    let mut recipe = training.recipe()?;
    let windows = Windows::new(training, clips);
    let model_error = |e: &dyn std::fmt::Display| TrainerError::Model(e.to_string());
    if training.linear {
        recipe.autocorrelation = windows.autocorrelation().ok_or(TrainError::NoData)?;
    }
    let set = WaveformTrainingSet {
        linear: recipe.linear_part().map_err(|e| model_error(&e))?,
        windows,
    };
    let timesteps = training.schedule.timesteps();
    let draw = draw_for_kind(&training.draw(), training.kind, training.window, timesteps);
    draw.check().map_err(TrainError::from)?;
    let (model, report) = match &training.trainer {
        WaveformTrainer::ClosedForm => solve_closed_form(training.kind, &draw, &set, observer)?,
        WaveformTrainer::Adam(options) => {
            let run = AdamRun {
                name: PART,
                position: (1, 1),
                draw: &draw,
                kind: training.kind,
                rows: &read_fold(&set, Fold::Train)?,
            };
            let state = run.train(options, checkpoints, observer)?;
            (state.model().clone(), serde_json::Value::Null)
        }
    };
    Ok(ModelFile {
        domain: Domain::Waveform,
        kind: training.kind,
        recipe: serde_json::to_value(recipe).map_err(|e| model_error(&e))?,
        training: serde_json::json!({
            "options": training,
            "recordings": clips.len(),
            "report": report,
        }),
        parts: BTreeMap::from([(PART.to_owned(), ModelPart { draw, model })]),
    })
}

fn solve_closed_form(
    kind: ModelKind,
    draw: &FeatureDraw,
    set: &WaveformTrainingSet<'_>,
    observer: ProgressObserver<'_>,
) -> Result<(Drfm, serde_json::Value), TrainerError> {
    let mut params = ClosedFormParams {
        kind,
        rounds: ROUNDS,
        ridge_grid: RIDGES.to_vec(),
        ..ClosedFormParams::default()
    };
    // Before the statistics, which take long, are gathered for a kind that has no closed form.
    params.check(set.timesteps())?;
    let mut observe = |event: &_| {
        observer(&Progress {
            step: PART,
            position: (1, 1),
            event,
        })
    };
    let stats = Stats::gather(draw.clone(), set, &mut observe)?;
    if stats.rows(Fold::Train) == 0 || stats.rows(Fold::Validation) == 0 {
        params.ridge_grid = vec![RIDGE_WITHOUT_VALIDATION];
    }
    let (model, report) = solve(&stats, &params, &mut observe)?;
    let report = serde_json::to_value(report).map_err(|e| TrainerError::Model(e.to_string()))?;
    Ok((model, report))
}

/// A stretch of a clip from which windows are drawn.
struct Stretch {
    clip: usize,
    start: usize,
    length: usize,
}

/// Windows of clean music at random places.
struct Windows<'a> {
    training: &'a WaveformTraining,
    clips: &'a [Clip],
    /// Mean square of each clip.
    power: Vec<f64>,
    stretches: Vec<Stretch>,
}

impl<'a> Windows<'a> {
    fn new(training: &'a WaveformTraining, clips: &'a [Clip]) -> Self {
        let length = PART_SECONDS * TRAINING_RATE_HZ as usize;
        let mut stretches = Vec::new();
        for (clip, c) in clips.iter().enumerate() {
            for start in (0..c.samples().len()).step_by(length) {
                let length = length.min(c.samples().len() - start);
                if length >= training.around() {
                    stretches.push(Stretch {
                        clip,
                        start,
                        length,
                    });
                }
            }
        }
        Self {
            training,
            clips,
            power: clips.iter().map(|c| mean_square(c.samples())).collect(),
            stretches,
        }
    }

    /// Calls `each` for random places in a stretch that are not silent: with the sound around a window, which is at its
    /// end, and the generator that goes with the stretch.
    fn for_each(&self, stretch: &Stretch, mut each: impl FnMut(&[f32], &mut StableRng)) {
        let clip = &self.clips[stretch.clip];
        let samples = &clip.samples()[stretch.start..][..stretch.length];
        let stream = clip.identity().wrapping_add(stretch.start as u64);
        let mut rng = StableRng::new(self.training.seed, stream);
        let count =
            (stretch.length * self.training.windows_per_second).div_ceil(TRAINING_RATE_HZ as usize);
        let length = self.training.around();
        for _ in 0..count {
            let start = rng.below(stretch.length - length + 1);
            let around = &samples[start..start + length];
            let level = &around[length - self.training.level_samples..];
            if mean_square(level) > SILENT * self.power[stretch.clip] {
                each(around, &mut rng);
            }
        }
    }

    /// Mean autocorrelation of the music around all windows, where lag 0 is 1; `None` if there is no window that is not
    /// silent.
    ///
    /// Of longer, tapered stretches of sound and not of the windows themselves: the steep edges of a window would pass for
    /// high frequencies in the music. Each sum of products of one finite signal is an autocorrelation, and so is
    /// their mean.
    fn autocorrelation(&self) -> Option<Vec<f32>> {
        let length = self.training.around();
        let taper: Vec<f64> = (0..length)
            .map(|i| {
                0.5 - 0.5 * libm::cos(std::f64::consts::TAU * (i as f64 + 0.5) / length as f64)
            })
            .collect();
        let mut tapered = vec![0.0f64; length];
        let mut sums = vec![0.0f64; self.training.window];
        for stretch in &self.stretches {
            self.for_each(stretch, |around, _| {
                for ((t, s), w) in tapered.iter_mut().zip(around).zip(&taper) {
                    *t = f64::from(*s) * w;
                }
                let lag = |l: usize| {
                    tapered
                        .iter()
                        .zip(&tapered[l..])
                        .map(|(a, b)| a * b)
                        .sum::<f64>()
                };
                let power = lag(0);
                if power > 0.0 {
                    for (l, sum) in sums.iter_mut().enumerate() {
                        *sum += lag(l) / power;
                    }
                }
            });
        }
        let count = sums.first().copied().filter(|n| *n > 0.0)?;
        Some(sums.iter().map(|s| (s / count) as f32).collect())
    }
}

fn mean_square(samples: &[f32]) -> f64 {
    let sum: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    sum / samples.len().max(1) as f64
}

/// Rows of `x_k`, k, and what the linear part leaves of the noise.
struct WaveformTrainingSet<'a> {
    windows: Windows<'a>,
    linear: Option<LinearPart>,
}

impl TrainingSet for WaveformTrainingSet<'_> {
    fn d_in(&self) -> usize {
        self.windows.training.window
    }

    fn d_out(&self) -> usize {
        self.windows.training.window
    }

    fn timesteps(&self) -> usize {
        self.windows.training.schedule.timesteps()
    }

    fn parts(&self) -> usize {
        self.windows.stretches.len()
    }

    fn is_validation(&self, part: usize) -> bool {
        self.windows.clips[self.windows.stretches[part].clip].is_validation()
    }

    fn read_part(&self, part: usize, out: &mut Batch) -> Result<(), TrainError> {
        let d = self.d_in();
        let schedule = &self.windows.training.schedule;
        let (mut noise, mut x_k, mut linear) = (vec![0.0; d], vec![0.0; d], vec![0.0; d]);
        let (mut x0, mut seen) = (vec![0.0; d], vec![0.0; d]);
        let mut pushed = Ok(());
        let mut row = 0;
        self.windows
            .for_each(&self.windows.stretches[part], |around, rng| {
                let level = &around[around.len() - self.windows.training.level_samples..];
                let scale = 1.0 / mean_square(level).sqrt();
                for (x0, s) in x0.iter_mut().zip(&level[level.len() - d..]) {
                    *x0 = (f64::from(*s) * scale) as f32;
                }
                for e in &mut noise {
                    *e = rng.normal() as f32;
                }
                // Every timestep in turn instead of by lot: equal numbers of rows.
                let k = row % schedule.timesteps() + 1;
                row += 1;
                schedule.forward_into(&x0, k, &noise, &mut x_k);
                if let Some(part) = &self.linear {
                    part.colour_into(&x_k, &mut seen);
                    linear.fill(0.0);
                    part.add_to(&x_k, k, &mut linear);
                    for (e, l) in noise.iter_mut().zip(&linear) {
                        *e -= l;
                    }
                }
                if pushed.is_ok() {
                    pushed = out.push(if self.linear.is_some() { &seen } else { &x_k }, k, &noise);
                }
            });
        pushed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::trainer_adam::NoCheckpoints;
    use crate::audio::waveform::WaveformModel;
    use crate::diffusion::NoisePredictor as _;
    use crate::train::Control;

    /// Three tones with a slow beat each, and a silent tail.
    fn clips() -> Vec<Clip> {
        (0..3)
            .map(|i| {
                let hz = 500.0 + 300.0 * i as f32;
                Clip::new(
                    (0..48_000)
                        .map(|t| {
                            let level = if t < 40_000 { 0.3 } else { 0.0 };
                            level
                                * (t as f32 * hz * 1.309e-4).sin()
                                * (1.5 + (t as f32 * 1e-3).sin())
                        })
                        .collect(),
                )
            })
            .collect()
    }

    fn training() -> WaveformTraining {
        WaveformTraining {
            level_samples: 32,
            features: 48,
            schedule: Schedule::log_snr(5, 20.0, -20.0).unwrap(),
            windows_per_second: 2000,
            ..WaveformTraining::denoising(32, 5).unwrap()
        }
    }

    fn run(training: &WaveformTraining) -> Result<ModelFile, TrainerError> {
        train(training, &clips(), &mut NoCheckpoints, &mut |_| {
            Control::Continue
        })
    }

    /// Mean squared error of the prediction of fresh noise in the clips at one timestep.
    fn error(file: &ModelFile, k: usize) -> f64 {
        let model = WaveformModel::from_file(file.clone()).unwrap();
        let clip = &clips()[1];
        let mut rng = StableRng::new(77, 0);
        let (mut sum, mut count) = (0.0, 0.0);
        for x in clip.samples()[..32_000].chunks_exact(32) {
            let scale = 1.0 / mean_square(x).sqrt() as f32;
            let x0: Vec<f32> = x.iter().map(|x| x * scale).collect();
            let noise: Vec<f32> = x.iter().map(|_| rng.normal() as f32).collect();
            let (mut x_k, mut p) = (vec![0.0; 32], vec![0.0; 32]);
            model
                .recipe()
                .schedule
                .forward_into(&x0, k, &noise, &mut x_k);
            model.predict_into(&x_k, k, &mut Vec::new(), &mut p);
            for (p, e) in p.iter().zip(&noise) {
                sum += f64::from(p - e).powi(2);
                count += 1.0;
            }
        }
        sum / count
    }

    #[test]
    fn the_noise_of_tones_is_predicted() {
        let both = run(&training()).unwrap();
        assert_eq!(both, run(&training()).unwrap());
        let sines = run(&WaveformTraining {
            linear: false,
            ..training()
        })
        .unwrap();
        let descent = run(&WaveformTraining {
            kind: ModelKind::Nn,
            trainer: WaveformTrainer::Adam(AdamOptions {
                steps: 300,
                batch: 32,
                ..AdamOptions::default()
            }),
            ..training()
        })
        .unwrap();
        // A window of a tone has two degrees of freedom of 32: at 0 dB, nearly all of the noise is known.
        let (both, sines, descent) = (error(&both, 3), error(&sines, 3), error(&descent, 3));
        assert!(both < 0.25, "{both}");
        assert!(both < sines && sines < 1.0, "{both} {sines}");
        assert!(descent < 0.25, "{descent}");
    }

    #[test]
    fn impossible_wishes_are_refused() {
        let refused = |change: &dyn Fn(&mut WaveformTraining)| {
            let mut t = training();
            change(&mut t);
            run(&t).is_err()
        };
        assert!(refused(&|t| t.kind = ModelKind::Nn));
        assert!(refused(&|t| t.window = 33));
        assert!(refused(&|t| t.level_samples = 16));
        assert!(refused(&|t| t.level_samples = 60_000));
        assert!(refused(&|t| t.features = 0));
        let silent = [Clip::new(vec![0.0; 48_000])];
        let result = train(&training(), &silent, &mut NoCheckpoints, &mut |_| {
            Control::Continue
        });
        assert!(matches!(
            result,
            Err(TrainerError::Train(TrainError::NoData))
        ));
    }

    #[test]
    fn autocorrelation_of_a_tone_is_a_cosine() {
        let tone = [Clip::new(
            (0..48_000).map(|t| (t as f32 * 0.2).sin()).collect(),
        )];
        let training = training();
        let lags = Windows::new(&training, &tone).autocorrelation().unwrap();
        for (lag, v) in lags.iter().enumerate() {
            assert!((v - (lag as f32 * 0.2).cos()).abs() < 0.05, "{lag} {v}");
        }
    }
}
