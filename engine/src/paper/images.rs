//! Figures 2 to 5: dresses and shoes, generated and denoised by DRFM, NN and RF.

use crate::diffusion::{Sampler, StartVariance};
use crate::image::augment::Augmentation;
use crate::image::evaluation::{Evaluation, Options, evaluate, judge_samples};
use crate::image::model::{ImageModel, noise_deviation, with_noise};
use crate::image::training::{ImageTrainer, ImageTraining, Tiles, fresh_loss};
use crate::image::{ImageError, ImageSet};
use crate::model::{ModelKind, trainable_parameters};
use crate::train::adam_run::AdamOptions;

/// Images that are trained on.
pub const TRAIN: usize = 100;
/// Images that are shown, generated or denoised.
pub const SHOWN: usize = 15;
/// Images generated for the Frechet distance.
pub const SAMPLES: usize = 50;
/// Share of the noise.
pub const NOISE_SHARE: f64 = 0.2;
/// Features of the paper.
pub const FEATURES: usize = 80_000;
/// Timesteps of most figures.
pub const TIMESTEPS: usize = 100;
/// Timesteps of figure 4.
pub const MANY_TIMESTEPS: usize = 1000;
/// Tiles of [`Method::Tiles`], the size of the weights there, and the copies; chosen on images of the training half
/// that are not trained on (PAPER.md).
pub const TILES: Tiles = Tiles { side: 4, margin: 4 };
/// See [`TILES`].
pub const TILE_SCALE: f32 = 0.2;
/// See [`TILES`].
pub const COPIES: Augmentation = Augmentation {
    mirror: true,
    shift: 1,
};
/// Epochs of the paper.
pub const EPOCHS: u64 = 30_000;
/// Fresh rows of each image that training losses are measured on.
const LOSS_DRAWS: usize = 10;
/// Steps of Adam between two reports, and between two checkpoints.
const REPORT_EVERY: u64 = 10;
const CHECKPOINT_EVERY: u64 = 200;

/// Sizes of an experiment.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Features of DRFM and RF.
    pub features: usize,
    /// Timesteps K.
    pub timesteps: usize,
    /// Rows of the closed form.
    pub rows: usize,
    /// Epochs of Adam.
    pub epochs: u64,
    /// Rows of a minibatch of Adam.
    pub batch: usize,
    /// Seed of everything random.
    pub seed: u64,
}

/// How a model is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// Ridge regression.
    ClosedForm,
    /// Ridge regression with integrated noise, features that see parts of the image, and copies of the images: the best denoiser
    /// found, see `drfm paper best`.
    Tiles,
    /// Gradient descent.
    Adam,
}

/// The training of a model.
///
/// # Errors
/// If the number of timesteps is not possible.
pub fn training(
    kind: ModelKind,
    method: Method,
    sizes: &Sizes,
) -> Result<ImageTraining, ImageError> {
    let mut training = ImageTraining::paper(sizes.features, sizes.timesteps)?;
    training.kind = kind;
    training.seed = sizes.seed;
    training.trainer = match method {
        Method::ClosedForm => ImageTrainer::ClosedForm { rows: sizes.rows },
        Method::Tiles => {
            training.tiles = Some(TILES);
            training.scale = TILE_SCALE;
            training.augmentation = COPIES;
            ImageTrainer::Exact { pairs: sizes.rows }
        }
        Method::Adam => ImageTrainer::Adam(AdamOptions {
            steps: sizes.epochs,
            batch: sizes.batch,
            report_every: REPORT_EVERY,
            checkpoint_every: CHECKPOINT_EVERY,
            ..AdamOptions::default()
        }),
    };
    Ok(training)
}

/// What a figure shows of a model, and the numbers under it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Samples from noise.
    pub generated: ImageSet,
    /// Denoised images.
    pub denoised: ImageSet,
    /// Mean squared error on fresh noise in the training images.
    pub loss: f64,
    /// Trained numbers.
    pub parameters: usize,
    /// Measures against images that were not trained on.
    pub evaluation: Evaluation,
}

/// Samples, denoised images and measures of a model. The first [`SHOWN`] of `held_out`, which was not trained on, are shown,
/// `judged` of them measured, and as many as there are samples compared with those.
///
/// # Errors
/// If the images do not fit the model.
pub fn show(
    model: &ImageModel,
    train: &ImageSet,
    held_out: &ImageSet,
    judged: usize,
    seed: u64,
) -> Result<Shown, ImageError> {
    let (generator, start) = (Sampler::Ddpm, StartVariance::AsScheduled);
    let options = Options {
        count: judged,
        samples: 0,
        noise_share: NOISE_SHARE,
        sampler: Sampler::Mean,
        generator,
        start,
        seed,
    };
    let mut evaluation = evaluate(model, held_out, &options)?;
    let samples = model.generate(SAMPLES, generator, start, seed)?;
    evaluation.generation = Some(judge_samples(&samples, held_out, Some(train)));
    let noisy = corrupted(held_out, seed);
    let m = model.drfm();
    Ok(Shown {
        generated: samples.part(0..SHOWN),
        denoised: model.denoise(&noisy, noise_deviation(NOISE_SHARE), Sampler::Mean, seed)?,
        loss: fresh_loss(model, train, LOSS_DRAWS, seed)?,
        parameters: trainable_parameters(
            model.kind(),
            m.d_in(),
            m.d_out(),
            m.timesteps(),
            m.n_features(),
        ),
        evaluation,
    })
}

/// The shown images with noise, not clipped.
#[must_use]
pub fn corrupted(held_out: &ImageSet, seed: u64) -> ImageSet {
    with_noise(&held_out.part(0..SHOWN), NOISE_SHARE, seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::training::train;
    use crate::rng::StableRng;
    use crate::train::adam_run::NoCheckpoints;
    use crate::train::{Control, TrainEvent};

    #[test]
    fn every_model_of_a_figure_is_shown() {
        let mut rng = StableRng::new(1, 0);
        let pixels = (0..160 * 25)
            .map(|i| if i % 25 > rng.below(20) { 0.8 } else { 0.1 })
            .collect();
        let set = ImageSet::from_pixels(5, 5, pixels);
        let (images, held_out) = (set.part(0..TRAIN), set.part(TRAIN..160));
        let sizes = Sizes {
            features: 60,
            timesteps: 10,
            rows: 300,
            epochs: 20,
            batch: 100,
            seed: 3,
        };
        for (kind, method) in [
            (ModelKind::Drfm, Method::ClosedForm),
            (ModelKind::Rf, Method::ClosedForm),
            (ModelKind::Nn, Method::Adam),
        ] {
            let go = &mut |_: &TrainEvent| Control::Continue;
            let training = training(kind, method, &sizes).unwrap();
            let model = train(&training, &images, &mut NoCheckpoints, go).unwrap();
            let shown = show(&model, &images, &held_out, 20, 1).unwrap();
            assert_eq!(
                (shown.generated.len(), shown.denoised.len()),
                (SHOWN, SHOWN)
            );
            assert_eq!(shown.evaluation.images, 20);
            assert!(shown.loss.is_finite() && shown.parameters > 0);
            assert!(shown.evaluation.generation.unwrap().frechet.is_some());
        }
    }
}
