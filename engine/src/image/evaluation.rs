//! How good an image model is: denoising against filters, samples against images.

use serde::Serialize;

use super::augment::Augmentation;
use super::baselines::{PcaWiener, best_gaussian_width, gaussian_filter};
use super::error::ImageError;
use super::model::{ImageModel, noise_deviation, with_noise};
use super::set::ImageSet;
use crate::diffusion::{Sampler, StartVariance};
use crate::metrics::image::{Nearest, frechet_distance, mean_psnr_db, mean_ssim, nearest};

/// What is measured, and how.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Images to denoise.
    pub count: usize,
    /// Samples to generate and images to compare them with; 0 for none.
    pub samples: usize,
    /// Share of the noise, 0 to 1.
    pub noise_share: f64,
    /// How to denoise.
    pub sampler: Sampler,
    /// How to generate.
    pub generator: Sampler,
    /// What generation starts from.
    pub start: StartVariance,
    /// Seed of all noise.
    pub seed: u64,
}

/// What [`evaluate`] found; filters are missing for models that do not keep their training images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Number of images denoised.
    pub images: usize,
    /// Mean PSNR of the images with noise, clipped to 0..1, in dB.
    pub psnr_noisy_db: f64,
    /// Mean PSNR of the denoised images in dB.
    pub psnr_db: f64,
    /// Of the Gaussian filter whose width is best on the training images.
    pub psnr_gaussian_db: Option<f64>,
    /// Of the PCA-Wiener filter of the training images.
    pub psnr_pca_wiener_db: Option<f64>,
    /// Of the PCA-Wiener filter of the copies of the training images that the model was trained on too, if it was.
    pub psnr_pca_wiener_copies_db: Option<f64>,
    /// Mean SSIM of the noisy images.
    pub ssim_noisy: f64,
    /// Mean SSIM of the denoised images.
    pub ssim: f64,
    /// Of the Gaussian filter.
    pub ssim_gaussian: Option<f64>,
    /// Of the PCA-Wiener filter.
    pub ssim_pca_wiener: Option<f64>,
    /// Samples, if any were asked for.
    pub generation: Option<Generation>,
}

/// How good samples are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Generation {
    /// Number of samples.
    pub samples: usize,
    /// Frechet distance of the samples to as many images.
    pub frechet: Option<f64>,
    /// The same of as many training images: what samples from the training data itself would get.
    pub frechet_training: Option<f64>,
    /// How near samples are to the training images.
    pub nearest: Option<Nearest>,
    /// How near the images, which the model has not seen, are to them.
    pub nearest_of_images: Option<Nearest>,
    /// How near training images are to each other.
    pub nearest_in_training: Option<Nearest>,
}

/// Measures a model on images it has not seen.
///
/// # Errors
/// If the images do not fit the model.
pub fn evaluate(
    model: &ImageModel,
    images: &ImageSet,
    options: &Options,
) -> Result<Evaluation, ImageError> {
    let clean = images.part(0..options.count);
    let deviation = noise_deviation(options.noise_share);
    let noisy = with_noise(&clean, options.noise_share, options.seed);
    let denoised = model.denoise(&noisy, deviation, options.sampler, options.seed)?;
    let train = model.training_images();
    let mut with_copies = None;
    let filtered = train.as_ref().map(|train| {
        let width = best_gaussian_width(train, options.noise_share);
        let gaussian = gaussian_filter(&noisy, width).clipped();
        let none = Augmentation::default();
        let wiener = PcaWiener::fitted(train, &none, options.noise_share);
        let copies = model.augmentation();
        if copies != none {
            let wiener = PcaWiener::fitted(train, &copies, options.noise_share);
            let out = wiener.denoise(&noisy, deviation).clipped();
            with_copies = Some(mean_psnr_db(&clean, &out));
        }
        (gaussian, wiener.denoise(&noisy, deviation).clipped())
    });
    let of = |f: &dyn Fn(&ImageSet, &ImageSet) -> f64, second: bool| {
        let (gaussian, wiener) = filtered.as_ref()?;
        Some(f(&clean, if second { wiener } else { gaussian }))
    };
    let generation = if options.samples > 0 {
        let samples = model.generate(
            options.samples,
            options.generator,
            options.start,
            options.seed,
        )?;
        Some(judge_samples(&samples, images, train.as_ref()))
    } else {
        None
    };
    Ok(Evaluation {
        images: clean.len(),
        psnr_noisy_db: mean_psnr_db(&clean, &noisy.clipped()),
        psnr_db: mean_psnr_db(&clean, &denoised),
        psnr_gaussian_db: of(&mean_psnr_db, false),
        psnr_pca_wiener_db: of(&mean_psnr_db, true),
        psnr_pca_wiener_copies_db: with_copies,
        ssim_noisy: mean_ssim(&clean, &noisy.clipped()),
        ssim: mean_ssim(&clean, &denoised),
        ssim_gaussian: of(&mean_ssim, false),
        ssim_pca_wiener: of(&mean_ssim, true),
        generation,
    })
}

/// Compares samples with as many unseen images, and with the training images if they are known.
#[must_use]
pub fn judge_samples(
    samples: &ImageSet,
    images: &ImageSet,
    train: Option<&ImageSet>,
) -> Generation {
    let reference = images.part(0..samples.len());
    Generation {
        samples: samples.len(),
        frechet: frechet_distance(samples, &reference),
        frechet_training: train
            .and_then(|train| frechet_distance(&train.part(0..samples.len()), &reference)),
        nearest: train.and_then(|train| nearest(samples, train, false)),
        nearest_of_images: train.and_then(|train| nearest(&reference, train, false)),
        nearest_in_training: train.and_then(|train| nearest(train, train, true)),
    }
}
