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
/// Pairs of a clip and a timestep that the closed form integrates the noise of, for each clip: all of them.
pub const PAIRS_OF_CLIP: usize = 100;
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

    /// To be trained on each clip and on its negative. Sound has no polarity; with the two clips alone the mean of what is
    /// trained on is the middle between them, and denoisers pull towards it.
    #[must_use]
    pub fn with_both_polarities(mut self) -> Self {
        let negative: Vec<Vec<f32>> = self
            .train
            .images()
            .map(|clip| clip.iter().map(|p| -p).collect())
            .collect();
        for clip in &negative {
            self.train.push(clip);
        }
        self
    }

    /// What a linear denoiser makes of the mixture that was trained on the two clips and nothing else, however little noise
    /// there is: the middle between them, for it has never seen anything but that middle along the sum of the clips. Its SNR
    /// in dB, against the mixture.
    #[must_use]
    pub fn snr_of_middle_db(&self) -> f64 {
        let (guitar, flute) = (self.train.image(0), self.train.image(1));
        let middle: Vec<f32> = guitar
            .iter()
            .zip(flute)
            .map(|(a, b)| 0.5 * (a + b))
            .collect();
        snr_db(self.mixture.pixels(), &middle)
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

    /// Uncorrelated clips a and b of equal power: the mixture is (a + b) / sqrt(2), the middle (a + b) / 2.
    #[test]
    fn the_middle_of_two_clips_is_too_soft_and_both_polarities_have_none() {
        let tone = |hz: f32| {
            (0..628)
                .map(|i| (i as f32 * hz).sin())
                .collect::<Vec<f32>>()
        };
        let clips = Clips::new(tone(0.3), tone(0.71));
        let expected = -20.0 * (1.0 - 0.5f64.sqrt()).log10();
        assert!((clips.snr_of_middle_db() - expected).abs() < 0.2);
        let both = clips.with_both_polarities();
        assert_eq!(both.train.len(), 4);
        let sum: f32 = both.train.pixels().iter().sum();
        assert!(sum.abs() < 1e-2, "{sum}");
        let opposite = both.train.image(0).iter().zip(both.train.image(2));
        assert!(opposite.into_iter().all(|(a, b)| *a == -*b));
    }
}
