//! Measures of images: against the clean ones they should equal, and of sets of images against each other.
//!
//! Pixels are 0 to 1. Nothing here returns NaN for finite pixels.

use drfm_linalg::eigen;

use crate::image::ImageSet;

/// Signal-to-noise ratios are limited to this, in dB: the value of an image without error.
pub const LIMIT_DB: f64 = 100.0;
/// Constants of SSIM for a range of 1 (Wang et al. 2004).
const SSIM_C1: f64 = 0.01 * 0.01;
const SSIM_C2: f64 = 0.03 * 0.03;
/// Standard deviation of SSIM's window in pixels, and its radius.
const SSIM_SIGMA: f64 = 1.5;
const SSIM_RADIUS: isize = 5;

/// Peak signal-to-noise ratio in dB for a peak of 1: `-10 log10(mean (a - b)^2)`, at most [`LIMIT_DB`]; the shorter slice
/// decides how much is compared.
#[must_use]
pub fn psnr_db(reference: &[f32], estimate: &[f32]) -> f64 {
    let n = reference.len().min(estimate.len()).max(1) as f64;
    let error: f64 = reference
        .iter()
        .zip(estimate)
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
        .sum();
    if error > 0.0 {
        (-10.0 * libm::log10(error / n)).min(LIMIT_DB)
    } else {
        LIMIT_DB
    }
}

/// Mean over the images of [`psnr_db`].
#[must_use]
pub fn mean_psnr_db(reference: &ImageSet, estimate: &ImageSet) -> f64 {
    mean(reference, estimate, psnr_db)
}

/// Mean over the images of [`ssim`].
#[must_use]
pub fn mean_ssim(reference: &ImageSet, estimate: &ImageSet) -> f64 {
    let width = reference.width();
    mean(reference, estimate, |a, b| ssim(a, b, width))
}

fn mean(a: &ImageSet, b: &ImageSet, of: impl Fn(&[f32], &[f32]) -> f64) -> f64 {
    let values: Vec<f64> = a.images().zip(b.images()).map(|(a, b)| of(a, b)).collect();
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Structural similarity (Wang et al. 2004) of two images of `width` pixels a row: the mean over all pixels, with a
/// Gaussian window of 1.5 pixels that is cut off and rescaled at the borders. 1 for equal images.
#[must_use]
pub fn ssim(a: &[f32], b: &[f32], width: usize) -> f64 {
    let width = width.max(1) as isize;
    let height = (a.len().min(b.len()) as isize) / width;
    let window: Vec<f64> = (-SSIM_RADIUS..=SSIM_RADIUS)
        .map(|i| libm::exp(-((i * i) as f64) / (2.0 * SSIM_SIGMA * SSIM_SIGMA)))
        .collect();
    let mut sum = 0.0;
    for y in 0..height {
        for x in 0..width {
            let mut m = [0.0f64; 6];
            for dy in (-SSIM_RADIUS).max(-y)..=SSIM_RADIUS.min(height - 1 - y) {
                for dx in (-SSIM_RADIUS).max(-x)..=SSIM_RADIUS.min(width - 1 - x) {
                    let w =
                        window[(dy + SSIM_RADIUS) as usize] * window[(dx + SSIM_RADIUS) as usize];
                    let at = ((y + dy) * width + x + dx) as usize;
                    let (p, q) = (f64::from(a[at]), f64::from(b[at]));
                    for (m, v) in m.iter_mut().zip([1.0, p, q, p * p, q * q, p * q]) {
                        *m += w * v;
                    }
                }
            }
            let [w, p, q, pp, qq, pq] = m;
            let (p, q) = (p / w, q / w);
            let (vp, vq, c) = (pp / w - p * p, qq / w - q * q, pq / w - p * q);
            sum += (2.0 * p * q + SSIM_C1) * (2.0 * c + SSIM_C2)
                / ((p * p + q * q + SSIM_C1) * (vp + vq + SSIM_C2));
        }
    }
    sum / (width * height).max(1) as f64
}

/// Frechet distance between Gaussians fitted to the pixels of two sets:
/// `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`, the squared distance of Heusel et al. 2017 on pixels instead of the
/// features of a network that would have to be downloaded. Comparable only between sets of equal sizes.
///
/// `None` if a set has fewer than two images, sizes differ, or a pixel is not finite.
#[must_use]
pub fn frechet_distance(a: &ImageSet, b: &ImageSet) -> Option<f64> {
    if a.dim() != b.dim() || a.len() < 2 || b.len() < 2 {
        return None;
    }
    let ((mean_a, rows_a), (mean_b, rows_b)) = (centred(a), centred(b));
    let shift: f64 = mean_a
        .iter()
        .zip(&mean_b)
        .map(|(a, b)| (a - b).powi(2))
        .sum();
    let power = |rows: &[Vec<f64>]| rows.iter().flatten().map(|v| v * v).sum::<f64>();
    // With C = R' R the singular values of R_a R_b' are the square roots of the eigenvalues of C_a C_b.
    let (short, long) = if rows_a.len() <= rows_b.len() {
        (&rows_a, &rows_b)
    } else {
        (&rows_b, &rows_a)
    };
    let n = short.len();
    let cross: Vec<Vec<f64>> = short
        .iter()
        .map(|r| long.iter().map(|s| dot(r, s)).collect())
        .collect();
    let mut gram = vec![0.0; n * n];
    for (i, r) in cross.iter().enumerate() {
        for (j, s) in cross.iter().enumerate().skip(i) {
            gram[i * n + j] = dot(r, s);
        }
    }
    let (values, _) = eigen(&gram, n)?;
    let root: f64 = values.iter().map(|v| v.max(0.0).sqrt()).sum();
    let distance = shift + power(&rows_a) + power(&rows_b) - 2.0 * root;
    distance.is_finite().then(|| distance.max(0.0))
}

/// The mean image, and the images less it over sqrt(n - 1).
fn centred(set: &ImageSet) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = set.len() as f64;
    let mut mean = vec![0.0; set.dim()];
    for image in set.images() {
        for (m, p) in mean.iter_mut().zip(image) {
            *m += f64::from(*p) / n;
        }
    }
    let scale = 1.0 / (n - 1.0).max(1.0).sqrt();
    let rows = set
        .images()
        .map(|i| {
            i.iter()
                .zip(&mean)
                .map(|(p, m)| (f64::from(*p) - m) * scale)
                .collect()
        })
        .collect();
    (mean, rows)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// How near images are to those of another set.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Nearest {
    /// Mean over the images of the root mean square difference of pixels to the nearest image of the set.
    pub mean_distance: f64,
    /// The least of them.
    pub least_distance: f64,
}

/// Distances of `images` to their nearest in `set`; of an image to itself too, unless `others_only`, for which both are
/// the same set. `None` if there is nothing to compare.
#[must_use]
pub fn nearest(images: &ImageSet, set: &ImageSet, others_only: bool) -> Option<Nearest> {
    let distances: Vec<f64> = images
        .images()
        .enumerate()
        .filter_map(|(i, image)| {
            set.images()
                .enumerate()
                .filter(|(j, _)| !(others_only && i == *j))
                .map(|(_, other)| root_mean_square(image, other))
                .min_by(f64::total_cmp)
        })
        .collect();
    let least_distance = distances.iter().copied().min_by(f64::total_cmp)?;
    Some(Nearest {
        mean_distance: distances.iter().sum::<f64>() / distances.len() as f64,
        least_distance,
    })
}

fn root_mean_square(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (sum / a.len().max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    fn noise(count: usize, mean: f64, deviation: f64, seed: u64) -> ImageSet {
        let mut rng = StableRng::new(seed, 0);
        let pixels = (0..count * 12)
            .map(|_| (mean + deviation * rng.normal()) as f32)
            .collect();
        ImageSet::from_pixels(4, 3, pixels)
    }

    #[test]
    fn psnr_of_a_known_error() {
        assert!((psnr_db(&[0.0, 1.0], &[0.1, 0.9]) - 20.0).abs() < 1e-5);
        assert_eq!(psnr_db(&[0.5], &[0.5]), LIMIT_DB);
    }

    #[test]
    fn ssim_is_one_for_equals_and_falls_with_noise() {
        let a = noise(1, 0.5, 0.2, 1);
        let b = a.map(|p| p + 0.02);
        let c = noise(1, 0.5, 0.2, 2);
        assert!((mean_ssim(&a, &a) - 1.0).abs() < 1e-9);
        assert!(mean_ssim(&a, &b) > 0.95);
        assert!(mean_ssim(&a, &c) < 0.6);
    }

    #[test]
    fn frechet_distance_of_gaussians() {
        let a = noise(4000, 0.0, 1.0, 1);
        let b = noise(40, 0.3, 2.0, 2);
        // 12 pixels: 12 (0.3^2 + (2 - 1)^2), as far as 40 images tell.
        let d = frechet_distance(&a.part(0..2000), &noise(2000, 0.3, 2.0, 3)).unwrap();
        assert!((d / (12.0 * 1.09) - 1.0).abs() < 0.05, "{d}");
        assert!(frechet_distance(&b, &b).unwrap() < 1e-6);
        assert_eq!(frechet_distance(&a, &b), frechet_distance(&b, &a));
        assert!(frechet_distance(&a, &b.part(0..1)).is_none());
        assert!(frechet_distance(&b, &b.map(|_| f32::NAN)).is_none());
    }

    #[test]
    fn the_nearest_is_found() {
        let set = noise(9, 0.5, 0.2, 4);
        let near = nearest(&set.part(3..5).map(|p| p + 0.01), &set, false).unwrap();
        assert!((near.mean_distance - 0.01).abs() < 1e-5);
        assert_eq!(nearest(&set, &set, false).unwrap().mean_distance, 0.0);
        assert!(nearest(&set, &set, true).unwrap().least_distance > 0.05);
        assert!(nearest(&set.part(0..0), &set, false).is_none());
    }
}
