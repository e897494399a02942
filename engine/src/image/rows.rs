//! Training rows of images: `x_k`, k and the noise in it (Eq. 4).

use super::error::ImageError;
use super::set::ImageSet;
use crate::diffusion::Schedule;
use crate::model::features::orthogonal_block;
use crate::rng::StableRng;
use crate::train::adam::Minibatches;
use crate::train::{Batch, TrainError};

/// `count` rows of normalised images whose noise is arranged so that few rows do the work of many.
///
/// Each row's noise is N(0, I) by itself. Together, rows come in pairs of opposite noise, so that images and noise do not
/// correlate, and the directions of the pairs are those of a few turns through one random orthogonal basis, so that noise has the
/// same power in all directions (the trick of orthogonal random features, applied to the noise). Every direction
/// meets timesteps spread evenly, every image and every timestep comes equally often, as far as `count` allows.
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
    let (d, pairs) = (images.dim(), count.div_ceil(2));
    let mut rng = StableRng::new(seed, stream);
    let basis = noise_basis(d, d.min(pairs), &mut rng);
    let turns = pairs.div_ceil(d).max(1);
    // Timesteps 1 to K as often as they fit; direction j starts at its own place and goes round in equal strides.
    let mut start: Vec<usize> = (0..d).collect();
    rng.shuffle(&mut start);
    let mut order: Vec<usize> = (0..pairs).collect();
    rng.shuffle(&mut order);
    let mut batch = Batch::new(d, d, schedule.timesteps());
    let (mut x_k, mut noise) = (vec![0.0; d], vec![0.0f32; d]);
    for (pair, place) in order.iter().enumerate() {
        let (turn, direction) = (pair / d, pair % d);
        let image = images.image(place % images.len());
        let share = (start[direction] as f64 / d as f64 + turn as f64 / turns as f64).fract();
        let k = 1 + ((share * schedule.timesteps() as f64) as usize).min(schedule.timesteps() - 1);
        for sign in [1.0, -1.0] {
            for (e, v) in noise.iter_mut().zip(&basis[direction]) {
                *e = (sign * v) as f32;
            }
            schedule.forward_into(image, k, &noise, &mut x_k);
            if batch.len() < count {
                batch.push(&x_k, k, &noise)?;
            }
        }
    }
    Ok(batch)
}

/// Largest dimension whose basis is made orthogonal vector by vector.
const MOST_GRAM_SCHMIDT: usize = 1024;

/// `count` directions at right angles to each other, each as long as a Gaussian vector: of a uniformly random basis, or, where
/// that takes too long, of a cosine transform with random signs, whose projections are Gaussian too (central limit).
fn noise_basis(dim: usize, count: usize, rng: &mut StableRng) -> Vec<Vec<f64>> {
    if dim <= MOST_GRAM_SCHMIDT {
        return orthogonal_block(dim, count, rng);
    }
    let mut sign = || if rng.uniform() < 0.5 { -1.0 } else { 1.0 };
    let signs: Vec<f64> = (0..dim).map(|_| sign()).collect();
    let cosines: Vec<f64> = (0..4 * dim)
        .map(|i| libm::cos(std::f64::consts::PI * i as f64 / (2 * dim) as f64))
        .collect();
    let mut frequencies: Vec<usize> = (0..dim).collect();
    rng.shuffle(&mut frequencies);
    frequencies
        .into_iter()
        .take(count)
        .map(|f| {
            // DCT-II, orthogonal; its length is set to that of a Gaussian vector.
            let square: f64 = (0..dim).map(|_| rng.normal()).map(|z| z * z).sum();
            let unit = if f == 0 { 1.0 } else { 2.0 } / dim as f64;
            let scale = (square * unit).sqrt();
            let row = signs.iter().enumerate();
            row.map(|(i, s)| scale * s * cosines[(2 * i + 1) * f % (4 * dim)])
                .collect()
        })
        .collect()
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
    fn arranged_noise_is_as_that_of_infinitely_many_rows() {
        let d = 24;
        let images = ImageSet::from_pixels(6, 4, (0..5 * d).map(|i| (i as f32).sin()).collect());
        let schedule = Schedule::linear_beta(10, 1e-4, 0.02).unwrap();
        let rows = arranged_rows(&images, &schedule, 6 * 2 * d, 3, 10).unwrap();
        let target = |i: usize, o: usize| f64::from(rows.target_row(i)[o]);
        for o in 0..d {
            let mean: f64 = (0..rows.len()).map(|i| target(i, o)).sum();
            assert!(mean.abs() < 1e-4);
            for q in 0..=o {
                let product = (0..rows.len())
                    .map(|i| target(i, o) * target(i, q))
                    .sum::<f64>()
                    / rows.len() as f64;
                let want = if o == q { 1.0 } else { 0.0 };
                // The lengths of directions differ as those of Gaussian vectors do, by one part in seven here.
                assert!((product - want).abs() < 0.5, "{o} {q} {product}");
            }
        }
        assert_eq!(
            rows,
            arranged_rows(&images, &schedule, 6 * 2 * d, 3, 10).unwrap()
        );
        // Each direction meets early and late timesteps alike.
        for j in 0..d {
            let mean = (0..6)
                .map(|t| f64::from(rows.timestep()[2 * (t * d + j)]))
                .sum::<f64>()
                / 6.0;
            assert!((3.5..7.5).contains(&mean), "{mean}");
        }
    }

    #[test]
    fn large_bases_are_orthogonal_too() {
        let d = MOST_GRAM_SCHMIDT + 76;
        let basis = noise_basis(d, 40, &mut StableRng::new(2, 0));
        for (i, a) in basis.iter().enumerate() {
            for (j, b) in basis.iter().enumerate() {
                let product: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / d as f64;
                let want = if i == j { 1.0 } else { 0.0 };
                let slack = if i == j { 0.2 } else { 1e-9 };
                assert!((product - want).abs() < slack, "{i} {j} {product}");
            }
        }
    }

    #[test]
    fn images_and_timesteps_come_equally_often() {
        let images = ImageSet::from_pixels(3, 1, (0..15).map(|i| i as f32).collect());
        let schedule = Schedule::linear_beta(4, 1e-4, 0.02).unwrap();
        let rows = arranged_rows(&images, &schedule, 40, 1, 1).unwrap();
        assert_eq!(rows.len(), 40);
        for k in 1..=4u16 {
            let found = rows.timestep().iter().filter(|t| **t == k).count();
            assert!((6..=14).contains(&found), "{found}");
        }
        let all = independent_rows(&images, &schedule, 4, 9, 0).unwrap();
        let part = independent_rows(&images.part(2..5), &schedule, 4, 9, 2).unwrap();
        assert_eq!(all.x()[8 * 3..], part.x()[..]);
        assert_eq!(all.timestep()[8..], part.timestep()[..]);
        // x_k = sqrt(ab) x_0 + sqrt(1 - ab) noise.
        let k = usize::from(all.timestep()[5]);
        let ab = schedule.alpha_bar(k);
        for ((x, e), x0) in all
            .x_row(5)
            .iter()
            .zip(all.target_row(5))
            .zip(images.image(1))
        {
            let want = ab.sqrt() * f64::from(*x0) + (1.0 - ab).sqrt() * f64::from(*e);
            assert!((f64::from(*x) - want).abs() < 1e-5);
        }
    }
}
