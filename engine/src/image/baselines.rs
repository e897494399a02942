//! Classical filters that image models are measured against, each at its best on the same training images.

use drfm_linalg::{cholesky, cholesky_solve, outer_lower};

use super::augment::Augmentation;
use super::model::with_noise;
use super::set::ImageSet;
use crate::metrics::image::mean_psnr_db;

/// Widths that the Gaussian filter is chosen from, in pixels.
const WIDTHS: [f64; 10] = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.3, 1.6];
/// Variances outside the span of the training images that the PCA-Wiener filter is chosen from.
const FLOORS: [f64; 7] = [0.0, 5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2];
/// Folds of the choice of the floor.
const FOLDS: usize = 5;

/// Smooths images with a Gaussian of standard deviation `sigma` pixels, rescaled at the borders.
#[must_use]
pub fn gaussian_filter(images: &ImageSet, sigma: f64) -> ImageSet {
    let radius = (4.0 * sigma).ceil() as isize;
    let window: Vec<f64> = (-radius..=radius)
        .map(|i| libm::exp(-((i * i) as f64) / (2.0 * sigma * sigma)))
        .collect();
    let (w, h) = (images.width() as isize, images.height() as isize);
    let along = |image: &[f64], (dx, dy): (isize, isize)| -> Vec<f64> {
        let mut out = Vec::with_capacity(image.len());
        for y in 0..h {
            for x in 0..w {
                let (mut sum, mut weights) = (0.0, 0.0);
                for (i, g) in (-radius..=radius).zip(&window) {
                    let (x, y) = (x + i * dx, y + i * dy);
                    if (0..w).contains(&x) && (0..h).contains(&y) {
                        sum += g * image[(y * w + x) as usize];
                        weights += g;
                    }
                }
                out.push(sum / weights);
            }
        }
        out
    };
    let pixels = images
        .images()
        .flat_map(|image| {
            let image: Vec<f64> = image.iter().map(|p| f64::from(*p)).collect();
            along(&along(&image, (1, 0)), (0, 1))
        })
        .map(|p| p as f32)
        .collect();
    ImageSet::from_pixels(images.width(), images.height(), pixels)
}

/// The width of the Gaussian filter that denoises training images best, for noise of this share of the image.
#[must_use]
pub fn best_gaussian_width(train: &ImageSet, noise_share: f64) -> f64 {
    let noisy = with_noise(train, noise_share, 0);
    let quality = |sigma: f64| mean_psnr_db(train, &gaussian_filter(&noisy, sigma).clipped());
    WIDTHS
        .into_iter()
        .map(|sigma| (sigma, quality(sigma)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(1.0, |(sigma, _)| sigma)
}

/// The Wiener filter for images that are Gaussian with the mean and principal components of some training images and a
/// small variance in every other direction: `m + C (C + s^2)^-1 (y - m)`.
#[derive(Clone, Debug)]
pub struct PcaWiener {
    mean: Vec<f64>,
    /// Training images less their mean over sqrt(n), one after another.
    rows: Vec<Vec<f64>>,
    floor: f64,
}

impl PcaWiener {
    /// With the mean and all components of `train`, and `floor` as variance everywhere.
    #[must_use]
    pub fn new(train: &ImageSet, floor: f64) -> Self {
        let n = train.len().max(1) as f64;
        let mut mean = vec![0.0; train.dim()];
        for image in train.images() {
            for (m, p) in mean.iter_mut().zip(image) {
                *m += f64::from(*p) / n;
            }
        }
        let rows = train
            .images()
            .map(|i| {
                let centred = i.iter().zip(&mean).map(|(p, m)| f64::from(*p) - m);
                centred.map(|v| v / n.sqrt()).collect()
            })
            .collect();
        Self { mean, rows, floor }
    }

    /// Of `copies` of the training images, with the floor that denoises images best that it was not computed from (five
    /// folds of the training images).
    #[must_use]
    pub fn fitted(train: &ImageSet, copies: &Augmentation, noise_share: f64) -> Self {
        let noisy = with_noise(train, noise_share, 0);
        let deviation = super::model::noise_deviation(noise_share);
        let quality = |floor: f64| -> f64 {
            (0..FOLDS)
                .map(|fold| {
                    let pick = |set: &ImageSet, inside: bool| {
                        let mut part = ImageSet::new(set.width(), set.height());
                        for (i, image) in set.images().enumerate() {
                            if (i % FOLDS == fold) == inside {
                                part.push(image);
                            }
                        }
                        part
                    };
                    let filter = Self::new(&copies.copies(&pick(train, false)), floor);
                    let out = filter.denoise(&pick(&noisy, true), deviation).clipped();
                    mean_psnr_db(&pick(train, true), &out)
                })
                .sum()
        };
        let floor = FLOORS
            .into_iter()
            .map(|floor| (floor, quality(floor)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map_or(0.0, |(floor, _)| floor);
        Self::new(&copies.copies(train), floor)
    }

    /// The variance in every direction.
    #[must_use]
    pub fn floor(&self) -> f64 {
        self.floor
    }

    /// Filters images with noise of standard deviation `noise_deviation`; not clipped.
    #[must_use]
    pub fn denoise(&self, noisy: &ImageSet, noise_deviation: f64) -> ImageSet {
        // With C = R' R + f: y - s^2 (C + s^2)^-1 (y - m), and by Woodbury
        // (R' R + t)^-1 v = (v - R' (R R' + t)^-1 R v) / t with t = f + s^2.
        let noise = noise_deviation * noise_deviation;
        let t = self.floor + noise;
        let n = self.rows.len();
        if n > self.mean.len() {
            return self.denoise_by_pixels(noisy, noise, t);
        }
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut matrix = vec![0.0; n * n];
        for (j, column) in matrix.chunks_exact_mut(n.max(1)).enumerate() {
            for (i, a) in column.iter_mut().enumerate().skip(j) {
                *a = dot(&self.rows[i], &self.rows[j]);
            }
            column[j] += t;
        }
        if n == 0 || !cholesky(&mut matrix, n) {
            return noisy.clone();
        }
        let mut out = ImageSet::new(noisy.width(), noisy.height());
        for image in noisy.images() {
            let v: Vec<f64> = image
                .iter()
                .zip(&self.mean)
                .map(|(p, m)| f64::from(*p) - m)
                .collect();
            let mut c: Vec<f64> = self.rows.iter().map(|r| dot(r, &v)).collect();
            cholesky_solve(&matrix, &mut c, n);
            let mut inside = vec![0.0; v.len()];
            for (r, c) in self.rows.iter().zip(&c) {
                for (s, r) in inside.iter_mut().zip(r) {
                    *s += c * r;
                }
            }
            let filtered: Vec<f32> = image
                .iter()
                .zip(v.iter().zip(&inside))
                .map(|(p, (v, inside))| (f64::from(*p) - noise / t * (v - inside)) as f32)
                .collect();
            out.push(&filtered);
        }
        out
    }

    /// The same for more images than pixels: with the matrix C + s^2 itself.
    fn denoise_by_pixels(&self, noisy: &ImageSet, noise: f64, t: f64) -> ImageSet {
        let d = self.mean.len();
        let mut matrix = vec![0.0; d * d];
        outer_lower(&self.rows.concat(), d, &mut matrix);
        for i in 0..d {
            matrix[i * d + i] += t;
        }
        if !cholesky(&mut matrix, d) {
            return noisy.clone();
        }
        let mean = self.mean.iter().cycle();
        let centred = noisy.pixels().iter().zip(mean);
        let mut solved: Vec<f64> = centred.map(|(p, m)| f64::from(*p) - m).collect();
        cholesky_solve(&matrix, &mut solved, d);
        let filtered = noisy.pixels().iter().zip(&solved);
        let pixels = filtered.map(|(p, v)| (f64::from(*p) - noise * v) as f32);
        ImageSet::from_pixels(noisy.width(), noisy.height(), pixels.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    /// Images of one pattern of random strength on a pedestal.
    fn patterns(count: usize, seed: u64) -> ImageSet {
        let mut rng = StableRng::new(seed, 0);
        let mut set = ImageSet::new(8, 8);
        for _ in 0..count {
            let a = 0.5 + 0.2 * rng.normal();
            let image: Vec<f32> = (0..64)
                .map(|i| (0.5 + a * 0.4 * (i as f64 * 0.4).sin()) as f32)
                .collect();
            set.push(&image);
        }
        set
    }

    #[test]
    fn wiener_takes_out_what_lies_outside_the_images() {
        let (train, test) = (patterns(20, 1), patterns(10, 2));
        let noisy = with_noise(&test, 0.2, 3);
        let filter = PcaWiener::fitted(&train, &Augmentation::default(), 0.2);
        assert_eq!(filter.floor(), 0.0);
        // The same filter from the same images three and thirty times over: one is solved by images, one by pixels.
        let some = patterns(6, 5);
        let over = |times: usize| {
            let pixels = some.pixels().repeat(times);
            PcaWiener::new(&ImageSet::from_pixels(8, 8, pixels), 0.01).denoise(&noisy, 0.25)
        };
        for (a, b) in over(3).pixels().iter().zip(over(30).pixels()) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        let out = filter.denoise(&noisy, 0.25).clipped();
        let (before, after) = (
            mean_psnr_db(&test, &noisy.clipped()),
            mean_psnr_db(&test, &out),
        );
        assert!(after > before + 12.0, "{before} {after}");
        // A variance everywhere far above that of the noise changes nothing.
        let out = PcaWiener::new(&train, 1e6).denoise(&noisy, 0.25);
        for (a, b) in out.pixels().iter().zip(noisy.pixels()) {
            assert!((a - b).abs() < 1e-5);
        }
    }

    #[test]
    fn smoothing_keeps_flat_images_and_helps_smooth_ones() {
        let flat = ImageSet::from_pixels(5, 4, vec![0.3; 20]);
        assert!(
            gaussian_filter(&flat, 1.2)
                .pixels()
                .iter()
                .all(|p| (p - 0.3).abs() < 1e-6)
        );
        let train = patterns(10, 1);
        let sigma = best_gaussian_width(&train, 0.2);
        let noisy = with_noise(&train, 0.2, 9);
        let out = gaussian_filter(&noisy, sigma).clipped();
        assert!(mean_psnr_db(&train, &out) > mean_psnr_db(&train, &noisy.clipped()));
    }
}
