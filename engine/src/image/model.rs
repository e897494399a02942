//! Image models: what their files hold, generating and denoising with them.

use serde::{Deserialize, Serialize};

use super::augment::Augmentation;
use super::error::ImageError;
use super::set::ImageSet;
use crate::diffusion::{Sampler, Schedule, StartVariance, denoise_into, generate_into};
use crate::model::file::{Domain, ModelFile};
use crate::model::wide::WideDrfm;
use crate::model::{Drfm, ModelKind};
use crate::rng::StableRng;

/// Name of the model's only part in its file.
pub const PART: &str = "image";
/// Most pixels of an image that a model works on.
pub const MAX_PIXELS: usize = 1 << 16;
/// Images that run through the reverse process together; sets the memory it takes.
const TOGETHER: usize = 128;
/// Most bytes of training images that a model file keeps.
const MAX_KEPT: usize = 1 << 20;

/// The domain part of an image model file's header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRecipe {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Mean of all pixels of the training images, of 0 to 1.
    pub mean: f64,
    /// Their standard deviation: `x_0 = (pixel - mean) / deviation`.
    pub deviation: f64,
    /// The variance schedule.
    pub schedule: Schedule,
}

impl ImageRecipe {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`ImageError::Recipe`] naming what is impossible.
    pub fn check(&self) -> Result<(), ImageError> {
        let pixels = self.width.saturating_mul(self.height);
        if !(1..=MAX_PIXELS).contains(&pixels) {
            return Err(ImageError::Recipe(format!(
                "images of {} x {} pixels are not possible",
                self.width, self.height
            )));
        }
        if !(self.mean.is_finite() && self.deviation.is_finite() && self.deviation > 0.0) {
            return Err(ImageError::Recipe("its scale of pixels is none".to_owned()));
        }
        Ok(())
    }

    /// Images as the model sees them.
    #[must_use]
    pub fn normalised(&self, images: &ImageSet) -> ImageSet {
        images.map(|p| ((f64::from(p) - self.mean) / self.deviation) as f32)
    }

    /// Back to pixels, not clipped.
    #[must_use]
    pub fn pixels(&self, x: &ImageSet) -> ImageSet {
        x.map(|v| (f64::from(v) * self.deviation + self.mean) as f32)
    }
}

/// An image model ready to generate and denoise.
#[derive(Clone, Debug)]
pub struct ImageModel {
    recipe: ImageRecipe,
    kind: ModelKind,
    drfm: Drfm,
    training: serde_json::Value,
}

impl ImageModel {
    /// A model of parts that fit together.
    ///
    /// # Errors
    /// [`ImageError::Recipe`] if they do not.
    pub fn new(
        recipe: ImageRecipe,
        kind: ModelKind,
        drfm: Drfm,
        training: serde_json::Value,
    ) -> Result<Self, ImageError> {
        recipe.check()?;
        let d = recipe.width * recipe.height;
        if (drfm.d_in(), drfm.d_out(), drfm.timesteps()) != (d, d, recipe.schedule.timesteps()) {
            return Err(ImageError::Recipe(format!("part {PART} does not fit it")));
        }
        Ok(Self {
            recipe,
            kind,
            drfm,
            training,
        })
    }

    /// Reads the recipe of a model file and checks it against its part.
    ///
    /// # Errors
    /// If the file is of another domain or its recipe does not fit its part.
    pub fn from_file(mut file: ModelFile) -> Result<Self, ImageError> {
        if file.domain != Domain::Image {
            return Err(ImageError::Domain(file.domain));
        }
        let recipe =
            serde_json::from_value(file.recipe).map_err(|e| ImageError::Recipe(e.to_string()))?;
        let part = file
            .parts
            .remove(PART)
            .ok_or_else(|| ImageError::Recipe(format!("part {PART} is missing")))?;
        Self::new(recipe, file.kind, part.model, file.training)
    }

    /// How the model is used.
    #[must_use]
    pub const fn recipe(&self) -> &ImageRecipe {
        &self.recipe
    }

    /// DRFM, RF or NN.
    #[must_use]
    pub const fn kind(&self) -> ModelKind {
        self.kind
    }

    /// The network.
    #[must_use]
    pub const fn drfm(&self) -> &Drfm {
        &self.drfm
    }

    /// How it was trained.
    #[must_use]
    pub const fn training(&self) -> &serde_json::Value {
        &self.training
    }

    /// The copies of its images that it was trained on.
    #[must_use]
    pub fn augmentation(&self) -> Augmentation {
        let found = self.training.pointer("/options/augmentation").cloned();
        found
            .and_then(|a| serde_json::from_value(a).ok())
            .unwrap_or_default()
    }

    /// The images it was trained on, if its file keeps them.
    #[must_use]
    pub fn training_images(&self) -> Option<ImageSet> {
        let text = self.training.get(KEPT)?.as_str()?;
        let pixels = from_hex(text)?;
        let pixels = pixels.iter().map(|p| f32::from(*p) / 255.0).collect();
        let set = ImageSet::from_pixels(self.recipe.width, self.recipe.height, pixels);
        (!set.is_empty()).then_some(set)
    }

    /// Generates images out of noise (Algorithm 1); pixels held within 0 to 1. Same seed, same images.
    ///
    /// # Errors
    /// If DDIM has no steps.
    pub fn generate(
        &self,
        count: usize,
        sampler: Sampler,
        start: StartVariance,
        seed: u64,
    ) -> Result<ImageSet, ImageError> {
        Ok(self
            .generate_unclipped(count, sampler, start, seed)?
            .clipped())
    }

    /// As [`Self::generate`], for data that has no bounds.
    ///
    /// # Errors
    /// As [`Self::generate`].
    pub fn generate_unclipped(
        &self,
        count: usize,
        sampler: Sampler,
        start: StartVariance,
        seed: u64,
    ) -> Result<ImageSet, ImageError> {
        let d = self.recipe.width * self.recipe.height;
        let mut x = vec![0.0; count * d];
        for (i, part) in x.chunks_mut(TOGETHER * d).enumerate() {
            let mut rng = StableRng::new(seed, i as u64);
            let schedule = &self.recipe.schedule;
            generate_into(
                &WideDrfm(&self.drfm),
                schedule,
                sampler,
                &mut rng,
                start,
                part,
            )?;
        }
        let x = ImageSet::from_pixels(self.recipe.width, self.recipe.height, x);
        Ok(self.recipe.pixels(&x))
    }

    /// The timestep whose signal-to-noise ratio is nearest to that of images with noise of standard deviation
    /// `noise_deviation` (of pixels 0 to 1).
    #[must_use]
    pub fn timestep_for(&self, noise_deviation: f64) -> usize {
        let snr_db = 20.0 * libm::log10(self.recipe.deviation / noise_deviation);
        self.recipe.schedule.timestep_for_snr_db(snr_db)
    }

    /// Denoises images that hold noise of standard deviation `noise_deviation`, by the reverse process from the timestep
    /// of that noise; pixels held within 0 to 1. `seed` matters to samplers that add noise.
    ///
    /// # Errors
    /// If the images have another size than the model, or DDIM has no steps.
    pub fn denoise(
        &self,
        noisy: &ImageSet,
        noise_deviation: f64,
        sampler: Sampler,
        seed: u64,
    ) -> Result<ImageSet, ImageError> {
        Ok(self
            .denoise_unclipped(noisy, noise_deviation, sampler, seed)?
            .clipped())
    }

    /// As [`Self::denoise`], for data that has no bounds.
    ///
    /// # Errors
    /// As [`Self::denoise`].
    pub fn denoise_unclipped(
        &self,
        noisy: &ImageSet,
        noise_deviation: f64,
        sampler: Sampler,
        seed: u64,
    ) -> Result<ImageSet, ImageError> {
        let (width, height) = (self.recipe.width, self.recipe.height);
        if (noisy.width(), noisy.height()) != (width, height) {
            return Err(ImageError::Parameter(format!(
                "the images have {} x {} pixels and the model {width} x {height}: give images of that size",
                noisy.width(),
                noisy.height()
            )));
        }
        let k = self.timestep_for(noise_deviation);
        let scale = self.recipe.schedule.alpha_bar(k).sqrt();
        let x_k = self
            .recipe
            .normalised(noisy)
            .map(|x| (f64::from(x) * scale) as f32);
        let mut out = vec![0.0; x_k.pixels().len()];
        let together = TOGETHER * width * height;
        let parts = x_k.pixels().chunks(together).zip(out.chunks_mut(together));
        for (i, (x, out)) in parts.enumerate() {
            let mut rng = StableRng::new(seed, i as u64);
            let schedule = &self.recipe.schedule;
            denoise_into(
                &WideDrfm(&self.drfm),
                schedule,
                sampler,
                k,
                x,
                &mut rng,
                out,
            )?;
        }
        let x = ImageSet::from_pixels(width, height, out);
        Ok(self.recipe.pixels(&x))
    }
}

/// Key of the training images in the training record.
pub(super) const KEPT: &str = "images";

/// The images as text for the training record; `None` if they are too many for it.
pub(super) fn kept(images: &ImageSet) -> Option<String> {
    (images.pixels().len() <= MAX_KEPT).then(|| {
        images
            .pixels()
            .iter()
            .map(|p| format!("{:02x}", (p.clamp(0.0, 1.0) * 255.0).round() as u8))
            .collect()
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Images with the paper's noise: `y = (1 - share) x + share n`, scaled back by `1 / (1 - share)`, which gives noise of
/// deviation [`noise_deviation`]; not clipped.
#[must_use]
pub fn with_noise(images: &ImageSet, share: f64, seed: u64) -> ImageSet {
    let deviation = noise_deviation(share);
    let mut rng = StableRng::new(seed, u64::MAX);
    let pixels = images
        .pixels()
        .iter()
        .map(|p| (f64::from(*p) + deviation * rng.normal()) as f32)
        .collect();
    ImageSet::from_pixels(images.width(), images.height(), pixels)
}

/// Standard deviation, of pixels 0 to 1, of noise that makes up `share` (0 to 1) of an image: `share / (1 - share)`.
#[must_use]
pub fn noise_deviation(share: f64) -> f64 {
    share / (1.0 - share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FeatureDraw, RandomFeatures};

    fn model() -> ImageModel {
        let recipe = ImageRecipe {
            width: 3,
            height: 2,
            mean: 0.4,
            deviation: 0.2,
            schedule: Schedule::linear_beta(50, 1e-4, 0.02).unwrap(),
        };
        let features = RandomFeatures::draw(&FeatureDraw::gaussian(6, 20, 1, 0.3)).unwrap();
        let drfm = Drfm::initial(features, 50, 6, &mut StableRng::new(1, 0)).unwrap();
        let images = ImageSet::from_pixels(3, 2, (0..12).map(|i| i as f32 / 12.0).collect());
        let training = serde_json::json!({KEPT: kept(&images)});
        ImageModel::new(recipe, ModelKind::Drfm, drfm, training).unwrap()
    }

    #[test]
    fn sizes_and_seeds_are_kept() {
        let m = model();
        let run = |seed| {
            m.generate(5, Sampler::Ddpm, StartVariance::Unit, seed)
                .unwrap()
        };
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
        assert_eq!((run(3).len(), run(3).width()), (5, 3));
        assert!(run(3).pixels().iter().all(|p| (0.0..=1.0).contains(p)));
        let clean = m.training_images().unwrap();
        assert_eq!(clean.len(), 2);
        let noisy = with_noise(&clean, 0.2, 1);
        let out = m
            .denoise(&noisy, noise_deviation(0.2), Sampler::Mean, 1)
            .unwrap();
        assert_eq!(out.len(), 2);
        let other = ImageSet::from_pixels(2, 3, vec![0.0; 6]);
        assert!(m.denoise(&other, 0.1, Sampler::Mean, 1).is_err());
    }

    #[test]
    fn the_timestep_is_that_of_the_noise() {
        let m = model();
        let k = m.timestep_for(0.2 * 0.3);
        let ab = m.recipe().schedule.alpha_bar(k);
        assert!(((1.0 - ab) / ab / 0.09 - 1.0).abs() < 0.1);
        assert_eq!(m.timestep_for(1e-9), 1);
        assert_eq!(m.timestep_for(1e9), 50);
        assert!((noise_deviation(0.2) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn recipes_that_do_not_fit_are_refused() {
        let m = model();
        let refused = |change: &dyn Fn(&mut ImageRecipe)| {
            let mut r = m.recipe.clone();
            change(&mut r);
            ImageModel::new(r, ModelKind::Drfm, m.drfm.clone(), serde_json::Value::Null).is_err()
        };
        assert!(!refused(&|_| ()));
        assert!(refused(&|r| r.width = 0));
        assert!(refused(&|r| r.width = 2));
        assert!(refused(&|r| r.deviation = 0.0));
        assert!(refused(&|r| r.mean = f64::NAN));
        assert!(from_hex("0g").is_none() && from_hex("é").is_none());
    }
}
