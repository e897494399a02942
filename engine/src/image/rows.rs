//! Training rows of images: `x_k`, k and the noise in it (Eq. 4).

use rayon::prelude::*;

use super::error::ImageError;
use super::set::ImageSet;
use crate::diffusion::Schedule;
use crate::model::features::orthogonal_block;
use crate::rng::StableRng;
use crate::train::adam::Minibatches;
use crate::train::{Batch, TrainError};

/// Rows of noise, each N(0, I) by itself, that together have the mean and nearly the covariance that infinitely many
/// would have: pairs of opposite sign, and among the firsts of as many pairs as an image has pixels, each at right angles to the
/// others (the trick of orthogonal random features, applied to the noise). `count` rows of `dim` values.
///
/// Measured with 4000 rows and 6000 features on 100 dresses: 0.35 dB better denoising than independent rows.
#[must_use]
pub fn arranged_noise(count: usize, dim: usize, seed: u64, stream: u64) -> Vec<f32> {
    let mut noise = vec![0.0f32; count * dim];
    noise
        .par_chunks_mut(2 * dim * dim)
        .enumerate()
        .for_each(|(block, out)| {
            let mut rng = StableRng::new(seed, stream.wrapping_add(block as u64));
            let pairs = (out.len() / dim).div_ceil(2);
            let directions = orthogonal_block(dim, pairs, &mut rng);
            for (pair, v) in out.chunks_mut(2 * dim).zip(&directions) {
                for (row, sign) in pair.chunks_mut(dim).zip([1.0, -1.0]) {
                    for (o, v) in row.iter_mut().zip(v) {
                        *o = (sign * v) as f32;
                    }
                }
            }
        });
    noise
}

/// `count` rows of normalised images with [`arranged_noise`]: every image and every timestep equally often, as far as
/// `count` allows.
///
/// # Errors
/// If there is no image, or a row is not finite.
pub fn arranged_rows(
    images: &ImageSet,
    schedule: &Schedule,
    count: usize,
    seed: u64,
    stream: u64,
) -> Result<Batch, TrainError> {
    if images.is_empty() {
        return Err(TrainError::NoData);
    }
    let d = images.dim();
    let noise = arranged_noise(count, d, seed, stream);
    let pairs = count.div_ceil(2);
    let mut rng = StableRng::new(seed, stream.wrapping_sub(1));
    let mut steps: Vec<usize> = (0..pairs)
        .map(|p| 1 + p * schedule.timesteps() / pairs)
        .collect();
    rng.shuffle(&mut steps);
    let mut batch = Batch::new(d, d, schedule.timesteps());
    let mut x_k = vec![0.0; d];
    for (row, noise) in noise.chunks_exact(d).enumerate() {
        let (image, k) = (images.image((row / 2) % images.len()), steps[row / 2]);
        schedule.forward_into(image, k, noise, &mut x_k);
        batch.push(&x_k, k, noise)?;
    }
    Ok(batch)
}

/// Rows with independent noise: `draws` of each image, the timesteps in turn so that each comes equally often.
///
/// `first` is the number of the first image in the whole data: the rows of an image do not depend on which others are
/// gathered with it.
///
/// # Errors
/// If a row is not finite.
pub fn independent_rows(
    images: &ImageSet,
    schedule: &Schedule,
    draws: usize,
    seed: u64,
    first: usize,
) -> Result<Batch, TrainError> {
    let d = images.dim();
    let mut batch = Batch::new(d, d, schedule.timesteps());
    let (mut noise, mut x_k) = (vec![0.0; d], vec![0.0; d]);
    for (i, image) in images.images().enumerate() {
        let number = first + i;
        let mut rng = StableRng::new(seed, number as u64);
        for draw in 0..draws {
            for e in &mut noise {
                *e = rng.normal() as f32;
            }
            let k = 1 + (number * draws + draw) % schedule.timesteps();
            schedule.forward_into(image, k, &noise, &mut x_k);
            batch.push(&x_k, k, &noise)?;
        }
    }
    Ok(batch)
}

/// Minibatches as in Algorithm 1: images in turn, each with a random timestep and fresh noise.
pub struct FreshRows<'a> {
    images: &'a ImageSet,
    schedule: &'a Schedule,
}

impl<'a> FreshRows<'a> {
    /// Of normalised images.
    ///
    /// # Errors
    /// If there is no image or a pixel is not finite.
    pub fn new(images: &'a ImageSet, schedule: &'a Schedule) -> Result<Self, ImageError> {
        if images.is_empty() || !images.pixels().iter().all(|p| p.is_finite()) {
            return Err(TrainError::NoData.into());
        }
        Ok(Self { images, schedule })
    }
}

impl Minibatches for FreshRows<'_> {
    fn shape(&self) -> (usize, usize, usize) {
        let d = self.images.dim();
        (d, d, self.schedule.timesteps())
    }

    fn count(&self) -> usize {
        self.images.len()
    }

    fn draw(&self, rng: &mut StableRng, x: &mut [f32], target: &mut [f32], level: &mut [usize]) {
        let d = self.images.dim();
        let start = rng.below(self.images.len());
        let rows = x.chunks_exact_mut(d).zip(target.chunks_exact_mut(d));
        for (row, ((x, target), level)) in rows.zip(level).enumerate() {
            let image = self.images.image((start + row) % self.images.len());
            *level = rng.below(self.schedule.timesteps());
            for e in target.iter_mut() {
                *e = rng.normal() as f32;
            }
            self.schedule.forward_into(image, *level + 1, target, x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arranged_noise_has_exact_mean_and_nearly_exact_covariance() {
        let d = 24;
        let noise = arranged_noise(4 * d, d, 3, 10);
        for o in 0..d {
            let mean: f32 = noise.chunks_exact(d).map(|r| r[o]).sum();
            assert!(mean.abs() < 1e-4);
        }
        // Within a block: rows at right angles, lengths those of Gaussian vectors.
        let rows: Vec<&[f32]> = noise.chunks_exact(d).collect();
        for a in (0..2 * d).step_by(2) {
            for b in (0..a).step_by(2) {
                let product: f32 = rows[a].iter().zip(rows[b]).map(|(p, q)| p * q).sum();
                assert!(product.abs() < 1e-3);
            }
        }
        let power: f32 = noise.iter().map(|v| v * v).sum::<f32>() / noise.len() as f32;
        assert!((power - 1.0).abs() < 0.15, "{power}");
        assert_eq!(noise, arranged_noise(4 * d, d, 3, 10));
    }

    #[test]
    fn images_and_timesteps_come_equally_often() {
        let images = ImageSet::from_pixels(3, 1, (0..15).map(|i| i as f32).collect());
        let schedule = Schedule::linear_beta(4, 1e-4, 0.02).unwrap();
        let rows = arranged_rows(&images, &schedule, 40, 1, 1).unwrap();
        assert_eq!(rows.len(), 40);
        for k in 1..=4u16 {
            assert_eq!(rows.timestep().iter().filter(|t| **t == k).count(), 10);
        }
        let all = independent_rows(&images, &schedule, 4, 9, 0).unwrap();
        let part = independent_rows(&images.part(2..5), &schedule, 4, 9, 2).unwrap();
        assert_eq!(all.x()[8 * 3..], part.x()[..]);
        assert_eq!(all.timestep()[8..], part.timestep()[..]);
        // x_k = sqrt(ab) x_0 + sqrt(1 - ab) noise.
        let k = usize::from(all.timestep()[5]);
        let ab = schedule.alpha_bar(k);
        for ((x, e), x0) in all.x_row(5).iter().zip(all.target_row(5)).zip(images.image(1)) {
            let want = ab.sqrt() * f64::from(*x0) + (1.0 - ab).sqrt() * f64::from(*e);
            assert!((f64::from(*x) - want).abs() < 1e-5);
        }
    }
}
