//! Figures 6 and 7: one clip of guitar and one of flute, 5560 points each, as two rows of data; generation, and
//! denoising of both played at once.

use std::path::Path;

use crate::audio::clip_file::{ClipFileError, read_mono};
use crate::audio::resample::resample;
use crate::diffusion::{Sampler, StartVariance};
use crate::image::model::{ImageModel, noise_deviation, with_noise};
use crate::image::{ImageError, ImageSet};
use crate::metrics::audio::snr_db;

/// Points of a clip.
pub const POINTS: usize = 5560;
/// Sample rate of the clips in Hz, as in the authors' code.
pub const RATE_HZ: u32 = 3000;
/// Features of the paper.
pub const FEATURES: usize = 15_000;
/// Pairs of a clip and a timestep that the closed form integrates the noise of: all of them.
pub const PAIRS: usize = 200;
/// Share of the noise in what is denoised.
pub const NOISE_SHARE: f64 = 0.2;

/// Two clips and their mixture, each of mean 0 and RMS 1: "images" of one row.
#[derive(Clone, Debug)]
pub struct Clips {
    /// The guitar, then the flute: what is trained on.
    pub train: ImageSet,
    /// Both at once: what is denoised.
    pub mixture: ImageSet,
}

/// The loudest [`POINTS`] of a recording at [`RATE_HZ`]; `None` if it is shorter or silent.
///
/// # Errors
/// If the file cannot be read or resampled.
pub fn read_points(path: &Path) -> Result<Option<Vec<f32>>, ClipFileError> {
    let clip = read_mono(path)?;
    let samples = resample(&clip.samples, clip.rate_hz, RATE_HZ)?;
    let power = |part: &[f32]| part.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    let loudest = samples
        .windows(POINTS)
        .step_by(POINTS / 8)
        .max_by(|a, b| power(a).total_cmp(&power(b)));
    Ok(loudest.filter(|p| power(p) > 0.0).map(<[f32]>::to_vec))
}

/// Mean 0 and RMS 1.
fn level(points: &mut [f32]) {
    let n = points.len().max(1) as f64;
    let mean = points.iter().map(|p| f64::from(*p)).sum::<f64>() / n;
    let square = points.iter().map(|p| (f64::from(*p) - mean).powi(2));
    let scale = 1.0 / (square.sum::<f64>() / n).sqrt().max(1e-12);
    for p in points {
        *p = ((f64::from(*p) - mean) * scale) as f32;
    }
}

impl Clips {
    /// Clips of guitar and flute, of equal length.
    #[must_use]
    pub fn new(mut guitar: Vec<f32>, mut flute: Vec<f32>) -> Self {
        level(&mut guitar);
        level(&mut flute);
        let mut mixture: Vec<f32> = guitar.iter().zip(&flute).map(|(a, b)| a + b).collect();
        level(&mut mixture);
        let points = guitar.len();
        guitar.extend(flute);
        Self {
            train: ImageSet::from_pixels(points, 1, guitar),
            mixture: ImageSet::from_pixels(points, 1, mixture),
        }
    }

    /// The mixture with noise.
    #[must_use]
    pub fn noisy(&self, seed: u64) -> ImageSet {
        with_noise(&self.mixture, NOISE_SHARE, seed)
    }
}

/// What the figures show of a model.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Two clips generated from noise.
    pub generated: ImageSet,
    /// The mixture, denoised.
    pub denoised: ImageSet,
    /// Of the noisy mixture, in dB.
    pub snr_noisy_db: f64,
    /// Of the denoised mixture, in dB.
    pub snr_db: f64,
    /// Correlation of each generated clip with the training clip it is most like, 0 to 1.
    pub likeness: Vec<f64>,
}

/// Generates and denoises.
///
/// # Errors
/// If the model is of another length.
pub fn hear(model: &ImageModel, clips: &Clips, seed: u64) -> Result<Heard, ImageError> {
    let start = StartVariance::AsScheduled;
    let generated = model.generate_unclipped(2, Sampler::Ddpm, start, seed)?;
    let noisy = clips.noisy(seed);
    let deviation = noise_deviation(NOISE_SHARE);
    let denoised = model.denoise_unclipped(&noisy, deviation, Sampler::Mean, seed)?;
    let clean = clips.mixture.pixels();
    let likeness = generated
        .images()
        .map(|g| {
            let all = clips.train.images().map(|c| correlation(g, c).abs());
            all.fold(0.0, f64::max)
        })
        .collect();
    Ok(Heard {
        snr_noisy_db: snr_db(clean, noisy.pixels()),
        snr_db: snr_db(clean, denoised.pixels()),
        generated,
        denoised,
        likeness,
    })
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum::<f64>()
    };
    let norm = (dot(a, a) * dot(b, b)).sqrt();
    if norm > 0.0 { dot(a, b) / norm } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::training::{ImageTrainer, ImageTraining, train};
    use crate::train::adam_run::NoCheckpoints;
    use crate::train::{Control, TrainEvent};

    #[test]
    fn mixtures_of_two_clips_are_denoised() {
        let tone = |hz: f32| (0..60).map(|i| (i as f32 * hz).sin()).collect::<Vec<f32>>();
        let clips = Clips::new(tone(0.3), tone(0.71));
        let mut training = ImageTraining::paper(300, 100).unwrap();
        training.trainer = ImageTrainer::ClosedForm { rows: 1200 };
        let go = &mut |_: &TrainEvent| Control::Continue;
        let model = train(&training, &clips.train, &mut NoCheckpoints, go).unwrap();
        let heard = hear(&model, &clips, 1).unwrap();
        assert!(
            (heard.snr_noisy_db - 12.0).abs() < 2.0,
            "{}",
            heard.snr_noisy_db
        );
        assert!(heard.snr_db > heard.snr_noisy_db + 1.0, "{}", heard.snr_db);
        assert_eq!(heard.generated.len(), 2);
        assert!(heard.likeness.iter().all(|l| (0.0..=1.0).contains(l)));
    }
}
