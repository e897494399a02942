//! What the image commands share: where images come from, models, samplers.

use std::path::PathBuf;

use clap::ValueEnum;
use drfm_engine::diffusion::{Sampler, StartVariance};
use drfm_engine::image::class::Class;
use drfm_engine::image::model::ImageModel;
use drfm_engine::image::source::Query;
use drfm_engine::image::{ImageError, ImageSet};
use drfm_engine::model::ModelError;
use drfm_engine::train::TrainError;

use crate::failure::Failure;
use crate::models;

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Train(TrainError::Stopped) => Self::Interrupted,
            ImageError::NoClass { .. }
            | ImageError::Parameter(_)
            | ImageError::Schedule(_)
            | ImageError::Model(
                ModelError::Patches | ModelError::Scale { .. } | ModelError::Size { .. },
            )
            | ImageError::Train(TrainError::Parameter { .. }) => Self::Usage(error.to_string()),
            other => Self::of(other),
        }
    }
}

/// Images and which of them.
#[derive(clap::Args, Debug)]
pub struct Data {
    /// Idx files of images (plain or .gz), PNG or JPEG files, or folders of them.
    #[arg(required = true, value_name = "DATA")]
    pub data: Vec<PathBuf>,
    /// Label file of an idx file; several in the order of their images. Found by itself if it lies beside the images
    /// under its usual name.
    #[arg(long, value_name = "FILE")]
    pub labels: Vec<PathBuf>,
    /// Take images of one class only: dress, shoes (sandal, sneaker and ankle-boot together), any other name of
    /// Fashion-MNIST, or a label from 0 to 255.
    #[arg(long, value_name = "NAME|INDEX")]
    pub class: Option<String>,
}

impl Data {
    /// The query for images of a size.
    ///
    /// # Errors
    /// For a class that does not exist.
    pub fn query(&self, size: Option<(usize, usize)>) -> Result<Query, Failure> {
        let class: Option<Class> = self.class.as_deref().map(str::parse).transpose()?;
        Ok(Query {
            paths: self.data.clone(),
            labels: self.labels.clone(),
            class,
            size,
        })
    }
}

/// Samplers by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SamplerChoice {
    /// One step to the mean.
    Mean,
    /// All timesteps with noise, Section 2.2.
    Ddpm,
    /// A few steps without noise.
    Ddim,
    /// Algorithm 1 to the letter.
    Paper,
}

/// A sampler and its number of steps.
#[derive(clap::Args, Debug)]
pub struct SamplerOptions {
    /// mean (one step; best for denoising), ddpm (all timesteps with noise; best for generating), ddim (few steps), or
    /// paper (Algorithm 1 to the letter).
    #[arg(long, value_enum)]
    pub sampler: Option<SamplerChoice>,
    /// Steps of ddim, at most one per timestep of the model [default: 16].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub steps: Option<u32>,
}

impl SamplerOptions {
    /// The sampler, `usual` without the option.
    ///
    /// # Errors
    /// For --steps with another sampler than ddim.
    pub fn choose(&self, usual: SamplerChoice) -> Result<Sampler, Failure> {
        let choice = self.sampler.unwrap_or(usual);
        if self.steps.is_some() && choice != SamplerChoice::Ddim {
            return Err(Failure::Usage(
                "--steps is for --sampler ddim: mean takes one step, the others every timestep"
                    .to_owned(),
            ));
        }
        Ok(match choice {
            SamplerChoice::Mean => Sampler::Mean,
            SamplerChoice::Ddpm => Sampler::Ddpm,
            SamplerChoice::Paper => Sampler::Paper,
            SamplerChoice::Ddim => Sampler::Ddim {
                steps: self.steps.unwrap_or(16) as usize,
            },
        })
    }
}

/// What generation starts from: the paper's sampler from variance 1, as printed; the others from where the schedule ends.
#[must_use]
pub fn start_of(sampler: Sampler) -> StartVariance {
    match sampler {
        Sampler::Paper => StartVariance::Unit,
        _ => StartVariance::AsScheduled,
    }
}

/// An image model by path.
///
/// # Errors
/// If it is none.
pub fn load_model(name: &str) -> Result<ImageModel, Failure> {
    let file = models::load_file(name)?;
    ImageModel::from_file(file).map_err(|e| Failure::Failed(format!("model {name}: {e}")))
}

/// Reads a share of noise in percent, for clap.
///
/// # Errors
/// Unless it lies between 0 and 100.
pub fn parse_percent(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|p| (0.1..=90.0).contains(p))
        .ok_or_else(|| "give the share of noise in percent, from 0.1 to 90".to_owned())
}

/// The size of a model's images.
#[must_use]
pub fn size_of(model: &ImageModel) -> (usize, usize) {
    (model.recipe().width, model.recipe().height)
}

/// "100 images of 28 x 28 pixels".
#[must_use]
pub fn describe(set: &ImageSet) -> String {
    format!(
        "{} images of {} x {} pixels",
        set.len(),
        set.width(),
        set.height()
    )
}
