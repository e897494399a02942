//! Training of image models by either trainer.

use std::collections::BTreeMap;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::augment::Augmentation;
use super::error::ImageError;
use super::model::{ImageModel, ImageRecipe, KEPT, PART, kept};
use super::rows::{FreshRows, arranged_rows};
use super::set::ImageSet;
use crate::diffusion::Schedule;
use crate::model::file::{Domain, ModelFile, ModelPart};
use crate::model::patches::Patches;
use crate::model::wide::WideDrfm;
use crate::model::{Drfm, FeatureDraw, ModelKind, RandomFeatures};
use crate::rng::StableRng;
use crate::train::adam_run::{AdamOptions, AdamRun, Checkpoints, draw_for_kind};
use crate::train::exact::{self, Pairs};
use crate::train::{Batch, Observer, TrainError, dual};

/// Default standard deviation of the weights times the square root of the number of pixels: how far, in radians,
/// the angle of a feature goes for an image of deviation 1.
pub const SCALE: f32 = 0.1;
/// Default [`ImageTraining::gate_spread`].
pub const GATE_SPREAD: f64 = 0.5;
/// Default [`ImageTraining::gate_fall`].
pub const GATE_FALL: f64 = 0.3;
/// Default number of training rows of the closed form.
pub const ROWS: usize = 10_000;
/// Ridges to choose from by validation, relative to the mean diagonal.
const RIDGES: [f64; 4] = [1e-3, 2e-3, 4e-3, 1e-2];
/// The ridge when there are too few images to set some aside.
const RIDGE_WITHOUT_VALIDATION: f64 = 1e-2;
/// The same with the noise integrated, relative to the mean diagonal of `Phi' Phi`.
const EXACT_RIDGES: [f64; 6] = [3e-5, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2];
/// The ridge there when there are too few images to set some aside.
const EXACT_RIDGE_WITHOUT_VALIDATION: f64 = 1e-4;
/// Most noise levels that are integrated; gates change too slowly for more to matter.
const LEVELS: usize = 100;
/// Every fifth image is set aside to choose the ridge with.
const FOLDS: usize = 5;
/// Streams of the seed: weights use 0, minibatches the number of their step.
const GATES: u64 = 1 << 40;
const TRAIN_ROWS: u64 = 1 << 41;
const VALIDATION_ROWS: u64 = 1 << 42;

/// How the coefficients are found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageTrainer {
    /// Ridge regression in the dual, see [`dual`], on this many rows; DRFM and RF.
    ClosedForm {
        /// Training rows: images x timesteps x draws of noise, thinned evenly.
        rows: usize,
    },
    /// Ridge regression with the noise integrated, see [`exact`]; DRFM and RF.
    Exact {
        /// Pairs of an image and a timestep, dealt out evenly.
        pairs: usize,
    },
    /// Gradient descent with fresh noise in every step; all kinds.
    Adam(AdamOptions),
}

/// Tiles that features are dealt out to, see [`Patches`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tiles {
    /// Side of a tile in pixels.
    pub side: usize,
    /// Pixels around it that its features see too.
    pub margin: usize,
}

/// What a user may choose about image training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageTraining {
    /// DRFM, or one of the paper's baselines. NN needs Adam, and gets as many trainable parameters as a DRFM with
    /// `features` features.
    pub kind: ModelKind,
    /// Number of features N.
    pub features: usize,
    /// The variance schedule; its length is the number of timesteps K.
    pub schedule: Schedule,
    /// Standard deviation of the weights times the square root of the number of pixels, see [`SCALE`].
    pub scale: f32,
    /// Blocks of features at right angles to each other.
    pub orthogonal: bool,
    /// DRFM in closed form: how fast gates turn along the timesteps. Its gates are
    /// `cos(gate_spread * w_n * t_k + phase_n)` with w_n from N(0, 1), uniform phases, and t_k the signal-to-noise
    /// ratio of timestep k in dB, shifted and scaled to mean 0 and deviation 1: random Fourier features of the noise level. The
    /// model then is a ridge regression with the product of a kernel of images and a Gaussian kernel of
    /// noise levels; 0 makes it RF with one random amplitude a feature.
    pub gate_spread: f64,
    /// DRFM in closed form: noise deviation (of images of deviation 1) beyond which gates fall as its inverse. The
    /// prediction for a direction without signal is `x_k / sqrt(1 - alpha_bar_k)`, and this is what lets a sum of sines of bounded
    /// size follow it; 1 and more leaves gates as they are.
    pub gate_fall: f64,
    /// Copies of the images that are trained on too; the paper has none.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// Features that see a part of the image only; for [`ImageTrainer::Exact`].
    #[serde(default)]
    pub tiles: Option<Tiles>,
    /// Seed of features, gates, rows and minibatches.
    pub seed: u64,
    /// How the coefficients are found.
    pub trainer: ImageTrainer,
}

impl ImageTraining {
    /// The paper's setting (Section 4.1) for DRFM with `features` features and `timesteps` timesteps between 0.0001 and
    /// 0.02, in closed form.
    ///
    /// # Errors
    /// If the number of timesteps is not possible.
    pub fn paper(features: usize, timesteps: usize) -> Result<Self, ImageError> {
        Ok(Self {
            kind: ModelKind::Drfm,
            features,
            schedule: Schedule::linear_beta(timesteps, 1e-4, 0.02)?,
            scale: SCALE,
            orthogonal: false,
            gate_spread: GATE_SPREAD,
            gate_fall: GATE_FALL,
            augmentation: Augmentation::default(),
            tiles: None,
            seed: 1,
            trainer: ImageTrainer::ClosedForm { rows: ROWS },
        })
    }

    /// The tiles of images of this size, if there are any.
    #[must_use]
    pub fn patches(&self, width: usize, height: usize) -> Option<Patches> {
        self.tiles.map(|t| Patches {
            width,
            height,
            tile: t.side,
            margin: t.margin,
        })
    }

    /// How W and b are drawn for images of this size.
    #[must_use]
    pub fn draw(&self, width: usize, height: usize) -> FeatureDraw {
        let dim = width * height;
        let patches = self.patches(width, height);
        let seen = patches.map_or(dim, |p| p.most_inputs()).max(1);
        let scale = self.scale / (seen as f32).sqrt();
        let mut draw = FeatureDraw::gaussian(dim, self.features, self.seed, scale);
        draw.orthogonal = self.orthogonal;
        draw.patches = patches;
        draw_for_kind(&draw, self.kind, dim, self.schedule.timesteps())
    }

    /// `theta1` (K x N) of the closed form, see [`Self::gate_spread`]; 0 for RF.
    #[must_use]
    pub fn gates(&self, n: usize) -> Array2<f32> {
        let k = self.schedule.timesteps();
        let mut theta1 = Array2::zeros((k, n));
        if self.kind == ModelKind::Rf {
            return theta1;
        }
        let levels: Vec<f64> = (1..=k).map(|k| self.schedule.snr_db(k)).collect();
        let mean = levels.iter().sum::<f64>() / k as f64;
        let square = levels.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / k as f64;
        let deviation = if square > 0.0 { square.sqrt() } else { 1.0 };
        let mut rng = StableRng::new(self.seed, GATES);
        for mut column in theta1.columns_mut() {
            let turn = self.gate_spread * rng.normal();
            let phase = rng.uniform_in(0.0, std::f64::consts::TAU);
            for (k, (theta, level)) in column.iter_mut().zip(&levels).enumerate() {
                let sigma = (1.0 - self.schedule.alpha_bar(k + 1)).sqrt();
                let gate = libm::cos(turn * (level - mean) / deviation + phase);
                *theta = libm::acos(gate * (self.gate_fall / sigma).min(1.0)) as f32;
            }
        }
        theta1
    }

    fn check(&self) -> Result<(), ImageError> {
        let refuse = |text: &str| Err(ImageError::Parameter(text.to_owned()));
        if self.features == 0 {
            return refuse("0 features are not possible: use at least 1, such as 4000");
        }
        if !(self.gate_spread.is_finite() && self.gate_spread >= 0.0) {
            return refuse("the spread of the gates must be a number of at least 0");
        }
        if !(self.gate_fall.is_finite() && self.gate_fall > 0.0) {
            return refuse("the fall of the gates must be a number above 0");
        }
        if self.augmentation.shift > 8 {
            return refuse("copies can be shifted by at most 8 pixels");
        }
        if self.tiles.is_some() && !matches!(self.trainer, ImageTrainer::Exact { .. }) {
            return refuse("tiles are for the exact trainer: leave them out, or train with it");
        }
        if self.tiles.is_some_and(|t| t.side == 0) {
            return refuse("tiles must be at least 1 pixel wide");
        }
        match self.trainer {
            ImageTrainer::ClosedForm { .. } | ImageTrainer::Exact { .. }
                if self.kind == ModelKind::Nn =>
            {
                refuse("nn trains its sines too, which has no closed form: train it with adam")
            }
            ImageTrainer::ClosedForm { rows } if !(2..=dual::MAX_ROWS).contains(&rows) => {
                refuse("the closed form needs 2 to 16384 rows")
            }
            ImageTrainer::Exact { pairs: 0 } => refuse("the closed form needs at least 1 row"),
            _ => Ok(()),
        }
    }
}

/// Trains an image model. `checkpoints` are used by Adam only, under the name [`PART`].
///
/// # Errors
/// [`ImageError::Parameter`] for impossible wishes; [`ImageError::Train`] if a parameter is out of range, there is no image,
/// or the observer stops it.
pub fn train(
    training: &ImageTraining,
    images: &ImageSet,
    checkpoints: &mut dyn Checkpoints,
    observer: Observer<'_>,
) -> Result<ImageModel, ImageError> {
    training.check()?;
    let draw = training.draw(images.width(), images.height());
    draw.check()?;
    let recipe = recipe_for(images, &training.schedule)?;
    let x0 = recipe.normalised(images);
    let (drfm, report) = match &training.trainer {
        ImageTrainer::ClosedForm { rows } => {
            let (drfm, report) = closed_form(training, &draw, &x0, *rows, observer)?;
            let report = serde_json::to_value(report);
            (drfm, report.map_err(|e| ImageError::Recipe(e.to_string()))?)
        }
        ImageTrainer::Exact { pairs } => {
            let (drfm, report) = integrated(training, &draw, &x0, *pairs, observer)?;
            let report = serde_json::to_value(report);
            (drfm, report.map_err(|e| ImageError::Recipe(e.to_string()))?)
        }
        ImageTrainer::Adam(options) => {
            let x0 = training.augmentation.copies(&x0);
            let run = AdamRun {
                name: PART,
                draw: &draw,
                kind: training.kind,
                rows: &FreshRows::new(&x0, &training.schedule)?,
            };
            let state = run.train(options, checkpoints, observer)?;
            (state.into_model(), serde_json::Value::Null)
        }
    };
    let record = record(training, images, &draw, report);
    ImageModel::new(recipe, training.kind, drfm, record)
}

/// The recipe for images with their own mean and deviation.
///
/// # Errors
/// If there is no image, or they are of an impossible size.
pub fn recipe_for(images: &ImageSet, schedule: &Schedule) -> Result<ImageRecipe, ImageError> {
    if images.is_empty() {
        return Err(TrainError::NoData.into());
    }
    let (mean, deviation) = images.mean_and_deviation();
    let recipe = ImageRecipe {
        width: images.width(),
        height: images.height(),
        mean,
        deviation,
        schedule: schedule.clone(),
    };
    recipe.check()?;
    Ok(recipe)
}

/// What a model's file says about its training.
pub(super) fn record(
    training: &ImageTraining,
    images: &ImageSet,
    draw: &FeatureDraw,
    report: serde_json::Value,
) -> serde_json::Value {
    serde_json::json!({
        "options": training,
        "draw": draw,
        "count": images.len(),
        "report": report,
        KEPT: kept(images),
    })
}

/// The model as a file.
///
/// # Errors
/// If its record does not tell how its features were drawn.
pub fn to_file(model: &ImageModel) -> Result<ModelFile, ImageError> {
    let wrong = |e: &dyn std::fmt::Display| ImageError::Recipe(e.to_string());
    let draw = model.training().get("draw").cloned().unwrap_or_default();
    let draw: FeatureDraw = serde_json::from_value(draw).map_err(|e| wrong(&e))?;
    let part = ModelPart {
        draw,
        model: model.drfm().clone(),
    };
    Ok(ModelFile {
        domain: Domain::Image,
        kind: model.kind(),
        recipe: serde_json::to_value(model.recipe()).map_err(|e| wrong(&e))?,
        training: model.training().clone(),
        parts: BTreeMap::from([(PART.to_owned(), part)]),
    })
}

fn closed_form(
    training: &ImageTraining,
    draw: &FeatureDraw,
    x0: &ImageSet,
    rows: usize,
    observer: Observer<'_>,
) -> Result<(Drfm, dual::DualReport), ImageError> {
    let (train, held_out) = (fold(x0, false), fold(x0, true));
    // As many rows for an image of either fold, in whole pairs.
    let validation_rows = rows * held_out.len() / x0.len() / 2 * 2;
    let train = training.augmentation.copies(&train);
    let held_out = training.augmentation.copies(&held_out);
    let schedule = &training.schedule;
    let mut batch = arranged_rows(
        &train,
        schedule,
        rows - validation_rows,
        training.seed,
        TRAIN_ROWS,
    )?;
    let mut validation = vec![false; batch.len()];
    if validation_rows > 0 {
        // Noise of its own: rows at right angles to the training rows would make too hard a test.
        let more = arranged_rows(
            &held_out,
            schedule,
            validation_rows,
            training.seed,
            VALIDATION_ROWS,
        )?;
        validation.resize(batch.len() + more.len(), true);
        batch.append(&more)?;
    }
    let ridges: &[f64] = if validation_rows > 0 {
        &RIDGES
    } else {
        &[RIDGE_WITHOUT_VALIDATION]
    };
    let features = RandomFeatures::draw(draw)?;
    let theta1 = training.gates(draw.n_features);
    Ok(dual::solve(
        features,
        theta1,
        &batch,
        &validation,
        ridges,
        observer,
    )?)
}

/// The images of one fold.
fn fold(x0: &ImageSet, validation: bool) -> ImageSet {
    let mut part = ImageSet::new(x0.width(), x0.height());
    for (i, image) in x0.images().enumerate() {
        if (i % FOLDS == FOLDS - 1) == validation {
            part.push(image);
        }
    }
    part
}

fn integrated(
    training: &ImageTraining,
    draw: &FeatureDraw,
    x0: &ImageSet,
    count: usize,
    observer: Observer<'_>,
) -> Result<(Drfm, dual::DualReport), ImageError> {
    let copies = |validation| training.augmentation.copies(&fold(x0, validation));
    let (train, held_out) = (copies(false), copies(true));
    // As many for an image of either fold.
    let unseen = count * held_out.len() / (train.len() + held_out.len()).max(1);
    let deal = |images: ImageSet, count: usize, stream: u64| Pairs {
        pairs: dealt(
            images.len(),
            &training.schedule,
            count,
            training.seed,
            stream,
        ),
        images: images.pixels().to_vec(),
    };
    let train = deal(train, count - unseen, TRAIN_ROWS);
    let held_out = deal(held_out, unseen, VALIDATION_ROWS);
    let ridges: &[f64] = if held_out.pairs.is_empty() {
        &[EXACT_RIDGE_WITHOUT_VALIDATION]
    } else {
        &EXACT_RIDGES
    };
    Ok(exact::solve(
        RandomFeatures::draw(draw)?,
        training.gates(draw.n_features),
        draw.patches.as_ref(),
        &training.schedule,
        (&train, &held_out),
        ridges,
        observer,
    )?)
}

/// `count` pairs of an image and a timestep, at most each with each, in the order of the timesteps: each image and each
/// noise level equally often, as far as `count` allows. Of many timesteps, [`LEVELS`] are taken.
fn dealt(
    images: usize,
    schedule: &Schedule,
    count: usize,
    seed: u64,
    stream: u64,
) -> Vec<(usize, usize)> {
    let timesteps = schedule.timesteps();
    let levels = timesteps.min(LEVELS);
    let count = count.min(images * levels);
    let mut order: Vec<usize> = (0..images).collect();
    StableRng::new(seed, stream).shuffle(&mut order);
    let pair = |at: usize| {
        let level = at * levels / count;
        let k = 1 + level * (timesteps - 1) / (levels - 1).max(1);
        order.get(at % images).map(|image| (*image, k))
    };
    (0..count).filter_map(pair).collect()
}

/// Mean squared error per pixel of the prediction of fresh noise in images, over all timesteps: what Algorithm 1 trains on.
/// `draws` rows of each image; same seed, same noise for every model.
///
/// # Errors
/// If the images do not fit the model.
pub fn fresh_loss(
    model: &ImageModel,
    images: &ImageSet,
    draws: usize,
    seed: u64,
) -> Result<f64, ImageError> {
    let x0 = model.recipe().normalised(images);
    let d = x0.dim();
    if d != model.drfm().d_in() || x0.is_empty() || draws == 0 {
        return Err(ImageError::Parameter(
            "the images do not fit the model: give images of its size".to_owned(),
        ));
    }
    let schedule = &model.recipe().schedule;
    let batch = super::rows::independent_rows(&x0, schedule, draws, seed, 0)?;
    let errors = predictions(model, &batch);
    let errors = errors
        .iter()
        .zip(batch.target())
        .map(|(p, t)| f64::from(p - t));
    Ok(errors.map(|e| e * e).sum::<f64>() / (batch.len() * d) as f64)
}

/// What a model predicts for rows of any timesteps, row after row.
pub(crate) fn predictions(model: &ImageModel, batch: &Batch) -> Vec<f32> {
    let d = batch.d_in();
    let mut out = vec![0.0; batch.len() * d];
    for k in 1..=batch.timesteps() {
        let rows: Vec<usize> = (0..batch.len())
            .filter(|i| usize::from(batch.timestep()[*i]) == k)
            .collect();
        let x: Vec<f32> = rows.iter().flat_map(|i| batch.x_row(*i)).copied().collect();
        let mut p = vec![0.0; x.len()];
        if !rows.is_empty() {
            WideDrfm(model.drfm()).predict_rows_into(&x, k, &mut p);
        }
        for (i, p) in rows.iter().zip(p.chunks_exact(d)) {
            out[i * d..(i + 1) * d].copy_from_slice(p);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::{Sampler, StartVariance};
    use crate::image::model::{noise_deviation, with_noise};
    use crate::metrics::image::mean_psnr_db;
    use crate::train::adam_run::NoCheckpoints;
    use crate::train::{Control, TrainEvent};

    /// Blobs of random place and size.
    pub(crate) fn blobs(count: usize, seed: u64) -> ImageSet {
        let mut rng = StableRng::new(seed, 0);
        let mut set = ImageSet::new(8, 8);
        for _ in 0..count {
            let (x, y) = (rng.uniform_in(2.5, 4.5), rng.uniform_in(2.5, 4.5));
            let size = rng.uniform_in(1.0, 2.0);
            let image: Vec<f32> = (0..64)
                .map(|i| {
                    let (dx, dy) = ((i % 8) as f64 - x, (i / 8) as f64 - y);
                    libm::exp(-(dx * dx + dy * dy) / (2.0 * size * size)) as f32
                })
                .collect();
            set.push(&image);
        }
        set
    }

    fn run(training: &ImageTraining) -> Result<ImageModel, ImageError> {
        let mut go = |_: &TrainEvent| Control::Continue;
        train(training, &blobs(40, 1), &mut NoCheckpoints, &mut go)
    }

    fn training(kind: ModelKind) -> ImageTraining {
        let mut t = ImageTraining::paper(800, 20).unwrap();
        t.kind = kind;
        t.schedule = Schedule::linear_beta(20, 1e-3, 0.1).unwrap();
        t.trainer = ImageTrainer::ClosedForm { rows: 1200 };
        t
    }

    #[test]
    fn all_kinds_denoise_images_they_have_not_seen() {
        let test = blobs(20, 2);
        let noisy = with_noise(&test, 0.2, 3);
        let before = mean_psnr_db(&test, &noisy.clipped());
        for kind in [ModelKind::Drfm, ModelKind::Rf, ModelKind::Nn] {
            let mut t = training(kind);
            if kind == ModelKind::Nn {
                t.features = 120;
                t.trainer = ImageTrainer::Adam(AdamOptions {
                    steps: 400,
                    batch: 40,
                    ..AdamOptions::default()
                });
            }
            let model = run(&t).unwrap();
            let out = model
                .denoise(&noisy, noise_deviation(0.2), Sampler::Mean, 1)
                .unwrap();
            let after = mean_psnr_db(&test, &out);
            let gain = if kind == ModelKind::Nn { 2.0 } else { 4.0 };
            assert!(after > before + gain, "{kind:?} {before} {after}");
            let loss = fresh_loss(&model, &blobs(40, 1), 20, 5).unwrap();
            assert!(loss < 0.8, "{kind:?} {loss}");
            let made = model
                .generate(3, Sampler::Ddpm, StartVariance::Unit, 1)
                .unwrap();
            assert_eq!(made.len(), 3);
        }
    }

    #[test]
    fn files_hold_the_whole_model() {
        let model = run(&training(ModelKind::Drfm)).unwrap();
        let bytes = to_file(&model).unwrap().to_bytes().unwrap();
        assert_eq!(
            bytes,
            to_file(&run(&training(ModelKind::Drfm)).unwrap())
                .unwrap()
                .to_bytes()
                .unwrap()
        );
        let read = ImageModel::from_file(ModelFile::from_bytes(&bytes).unwrap()).unwrap();
        assert_eq!(read.drfm(), model.drfm());
        let images = read.training_images().unwrap();
        assert_eq!(images.len(), 40);
        for (a, b) in images.pixels().iter().zip(blobs(40, 1).pixels()) {
            assert!((a - b).abs() < 0.003);
        }
        let mut other = ModelFile::from_bytes(&bytes).unwrap();
        other.domain = Domain::Spectral;
        assert!(matches!(
            ImageModel::from_file(other),
            Err(ImageError::Domain(_))
        ));
    }

    #[test]
    fn impossible_wishes_are_refused() {
        let refused = |change: &dyn Fn(&mut ImageTraining)| {
            let mut t = training(ModelKind::Drfm);
            change(&mut t);
            run(&t).is_err()
        };
        assert!(refused(&|t| t.features = 0));
        assert!(refused(&|t| t.kind = ModelKind::Nn));
        assert!(refused(
            &|t| t.trainer = ImageTrainer::ClosedForm { rows: 0 }
        ));
        assert!(refused(&|t| t.scale = f32::NAN));
        assert!(refused(&|t| t.gate_spread = -1.0));
        assert!(ImageTraining::paper(10, 0).is_err());
        let none = ImageSet::new(8, 8);
        let mut go = |_: &TrainEvent| Control::Continue;
        assert!(
            train(
                &training(ModelKind::Drfm),
                &none,
                &mut NoCheckpoints,
                &mut go
            )
            .is_err()
        );
    }

    #[test]
    fn gates_turn_slowly_along_the_noise_levels() {
        let t = training(ModelKind::Drfm);
        let theta1 = t.gates(500);
        let cosine = |a: usize, b: usize| {
            let gate = |k: usize, n: usize| f64::from(theta1[[k, n]]).cos();
            let sum = |f: &dyn Fn(usize) -> f64| (0..500).map(f).sum::<f64>();
            sum(&|n| gate(a, n) * gate(b, n))
                / (sum(&|n| gate(a, n).powi(2)) * sum(&|n| gate(b, n).powi(2))).sqrt()
        };
        assert!(cosine(10, 11) > 0.98);
        assert!(cosine(0, 19) < cosine(10, 11));
        assert!(training(ModelKind::Rf).gates(9).iter().all(|t| *t == 0.0));
    }
}
