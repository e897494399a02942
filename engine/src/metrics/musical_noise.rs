//! Musical noise: isolated tones that come and go where only noise was.
//!
//! Uemura, Takahashi, Saruwatari, Shikano and Kondo (IWAENC 2008): such tones make the power spectrum of what is left
//! of the noise heavy-tailed, so the kurtosis of the power in noise-only cells rises. The measure is the logarithm of
//! that kurtosis after over before denoising: 0 means that the noise only became softer, large means chirping.
//! Kurtosis does not see level, so the level of what is left is always given with it.

use super::audio::{frame_powers, spectral_frames};

/// A cell holds noise only when the clean signal stays this far below the noise's mean power in the bin, in dB ...
const CLEAN_BELOW_DB: f64 = 20.0;
/// ... in the frames up to this many before and after it (denoisers' windows are longer than this measure's) ...
const FRAMES_AROUND: usize = 8;
/// ... and in the bins this close.
const BINS_AROUND: usize = 2;
/// Frequencies looked at, in Hz: what recordings and lossy codecs usually hold.
const RANGE_HZ: (f64, f64) = (50.0, 16_000.0);
/// Bins whose noise lies this far below the loudest bin of the noise are left out, in dB.
const NOISE_RANGE_DB: f64 = 60.0;
/// Fewest noise-only cells that anything is said about.
const LEAST_CELLS: usize = 1000;
/// What lies this far below the noise counts as this loud, in dB: a constant, so that a few cells of rounding noise
/// in digital silence are not called chirping.
pub const FLOOR_DB: f64 = 60.0;
/// Share of the noise-only cells that are louder than [`MusicalNoise::islands_db`].
pub const ISLANDS: f64 = 0.001;

/// What is left in the noise-only cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MusicalNoise {
    /// ln of the kurtosis of the power after denoising over that before it; 0 is best, below 0 is smoother than the
    /// noise was.
    pub log_kurtosis_ratio: f64,
    /// Mean power left, relative to the noise, in dB; never below -[`FLOOR_DB`].
    pub left_db: f64,
    /// The level that one noise-only cell in a thousand exceeds, relative to the mean noise in its bin, in dB.
    pub islands_db: f64,
}

/// The noise-only cells of a mixture, ready to look at what methods leave there.
#[derive(Clone, Debug)]
pub struct NoiseOnly {
    rate_hz: u32,
    samples: usize,
    /// Place among the frames' powers, and one over the mean noise power of its bin.
    cells: Vec<(usize, f64)>,
    kurtosis: f64,
}

impl NoiseOnly {
    /// Finds the cells; `None` if there are fewer than a thousand (loud dense music, or hardly any noise).
    /// Both signals at `rate_hz` and of the same length.
    #[must_use]
    pub fn new(clean: &[f32], noisy: &[f32], rate_hz: u32) -> Option<Self> {
        let (window, hop) = spectral_frames(rate_hz);
        let bins = window / 2 + 1;
        let samples = clean.len();
        if samples < window || noisy.len() != samples {
            return None;
        }
        let noise: Vec<f32> = noisy.iter().zip(clean).map(|(y, c)| y - c).collect();
        if !noise.iter().all(|x| x.is_finite()) {
            return None;
        }
        let powers = frame_powers(&noise, samples, window, hop);
        let clean = frame_powers(clean, samples, window, hop);
        let frames = powers.len() / bins;
        let mut mean = vec![0.0; bins];
        for row in powers.chunks_exact(bins) {
            for (m, p) in mean.iter_mut().zip(row) {
                *m += p / frames as f64;
            }
        }
        let hz = |f: usize| f as f64 * f64::from(rate_hz) / window as f64;
        let in_range = |f: usize| (RANGE_HZ.0..=RANGE_HZ.1).contains(&hz(f));
        let loudest = (0..bins)
            .filter(|f| in_range(*f))
            .map(|f| mean[f])
            .fold(0.0, f64::max);
        let least = loudest * libm::exp10(-NOISE_RANGE_DB / 10.0);
        let below = libm::exp10(-CLEAN_BELOW_DB / 10.0);
        let mut cells = Vec::new();
        for f in (0..bins).filter(|f| in_range(*f) && mean[*f] > least) {
            let near = f.saturating_sub(BINS_AROUND)..(f + BINS_AROUND + 1).min(bins);
            // Frames since the last one with music near this bin, and those that wait for the next.
            let music: Vec<bool> = (0..frames)
                .map(|t| {
                    clean[t * bins..][near.clone()]
                        .iter()
                        .any(|c| *c > below * mean[f])
                })
                .collect();
            for t in 0..frames {
                let around = t.saturating_sub(FRAMES_AROUND)..(t + FRAMES_AROUND + 1).min(frames);
                if !music[around].iter().any(|m| *m) {
                    cells.push((t * bins + f, 1.0 / mean[f]));
                }
            }
        }
        if cells.len() < LEAST_CELLS {
            return None;
        }
        let kurtosis = kurtosis(cells.iter().map(|(place, scale)| powers[*place] * scale));
        Some(Self {
            rate_hz,
            samples,
            cells,
            kurtosis,
        })
    }

    /// What `estimate`, aligned with the mixture, holds in the noise-only cells; `None` for broken samples.
    #[must_use]
    pub fn measure(&self, estimate: &[f32]) -> Option<MusicalNoise> {
        if !estimate.iter().all(|x| x.is_finite()) {
            return None;
        }
        let (window, hop) = spectral_frames(self.rate_hz);
        let estimate = estimate.get(..self.samples).unwrap_or(estimate);
        let powers = frame_powers(estimate, self.samples, window, hop);
        let floor = libm::exp10(-FLOOR_DB / 10.0);
        let mut left: Vec<f64> = self
            .cells
            .iter()
            .map(|(place, scale)| (powers[*place] * scale).max(floor))
            .collect();
        let mean = left.iter().sum::<f64>() / left.len() as f64;
        let log_kurtosis_ratio = libm::log(kurtosis(left.iter().copied()) / self.kurtosis);
        let rank = ((left.len() as f64 * (1.0 - ISLANDS)) as usize).min(left.len() - 1);
        let (_, island, _) = left.select_nth_unstable_by(rank, f64::total_cmp);
        Some(MusicalNoise {
            log_kurtosis_ratio,
            left_db: 10.0 * libm::log10(mean),
            islands_db: 10.0 * libm::log10(*island),
        })
    }
}

/// Fourth moment over the square of the second: 6 for the power of Gaussian noise.
fn kurtosis(powers: impl Iterator<Item = f64>) -> f64 {
    let (mut second, mut fourth, mut count) = (0.0, 0.0, 0.0);
    for p in powers {
        second += p * p;
        fourth += p * p * p * p;
        count += 1.0;
    }
    count * fourth / (second * second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    fn noise(n: usize, stream: u64) -> Vec<f32> {
        let mut rng = StableRng::new(9, stream);
        (0..n).map(|_| (0.1 * rng.normal()) as f32).collect()
    }

    #[test]
    fn gaussian_noise_has_a_kurtosis_of_six_and_softer_noise_a_ratio_of_one() {
        let noisy = noise(96_000, 0);
        let cells = NoiseOnly::new(&[0.0; 96_000], &noisy, 48_000).unwrap();
        assert!((cells.kurtosis - 6.0).abs() < 0.5, "{}", cells.kurtosis);
        let soft: Vec<f32> = noisy.iter().map(|x| 0.1 * x).collect();
        let left = cells.measure(&soft).unwrap();
        assert!(left.log_kurtosis_ratio.abs() < 0.01, "{left:?}");
        assert!((left.left_db + 20.0).abs() < 0.1, "{left:?}");
        // One power in a thousand exceeds ln 1000 times the mean.
        assert!((left.islands_db + 20.0 - 8.4).abs() < 0.7, "{left:?}");
    }

    #[test]
    fn chirps_raise_it_silence_does_not() {
        let n = 96_000;
        let noisy = noise(n, 0);
        let cells = NoiseOnly::new(&vec![0.0; n], &noisy, 48_000).unwrap();
        let silence = cells.measure(&vec![0.0; n]).unwrap();
        assert!(silence.log_kurtosis_ratio < 0.0, "{silence:?}");
        assert!((silence.left_db + FLOOR_DB).abs() < 1e-9);
        // Tones of 40 ms at random places of a soft noise.
        let mut chirping: Vec<f32> = noisy.iter().map(|x| 0.05 * x).collect();
        let mut rng = StableRng::new(1, 1);
        for _ in 0..40 {
            let (start, hz) = (rng.below(n - 2000), rng.uniform_in(200.0, 8000.0));
            for (i, x) in chirping[start..start + 1920].iter_mut().enumerate() {
                let fade = (std::f64::consts::PI * i as f64 / 1920.0).sin();
                let turn = std::f64::consts::TAU * hz * i as f64 / 48_000.0;
                *x += (0.02 * fade * turn.sin()) as f32;
            }
        }
        let chirps = cells.measure(&chirping).unwrap();
        assert!(chirps.log_kurtosis_ratio > 2.0, "{chirps:?}");
        assert!(chirps.left_db < -10.0, "{chirps:?}");
    }

    #[test]
    fn cells_with_music_are_left_out() {
        let n = 96_000;
        let clean: Vec<f32> = (0..n).map(|i| 0.3 * (i as f32 * 0.1).sin()).collect();
        let noisy: Vec<f32> = clean.iter().zip(noise(n, 0)).map(|(c, x)| c + x).collect();
        let cells = NoiseOnly::new(&clean, &noisy, 48_000).unwrap();
        // An estimate that keeps the music only has nothing left.
        let left = cells.measure(&clean).unwrap();
        assert!(left.left_db < -20.0, "{left:?}");
        assert!(NoiseOnly::new(&clean, &clean, 48_000).is_none());
        assert!(NoiseOnly::new(&clean[..100], &noisy[..100], 48_000).is_none());
        assert!(cells.measure(&vec![f32::NAN; n]).is_none());
    }
}
