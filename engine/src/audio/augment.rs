//! Training mixtures: clean music plus the noise users have, in units of the noise power that the denoiser will be
//! told.
//!
//! A model trained on exactly known white noise falls below a Wiener filter as soon as the level is 2 dB off, so most
//! mixtures get a wrong level, a wrong spectral shape and a slowly drifting gain, and half of the music a spectral tilt
//! such as whitening by a falling noise spectrum causes.

use realfft::RealFftPlanner;
use serde::{Deserialize, Serialize};

use crate::rng::StableRng;

/// Ranges that mixtures are drawn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Augmentation {
    /// Input SNR in dB, uniform.
    pub snr_db: (f64, f64),
    /// Share of mixtures whose noise is not exactly what the denoiser is told.
    pub inexact_share: f64,
    /// Error of the level in dB, uniform.
    pub level_db: (f64, f64),
    /// Standard deviation of the spectral shape in dB at each of `shape_knots` frequencies.
    pub shape_db: f64,
    /// Number of frequencies, spaced evenly in log frequency.
    pub shape_knots: usize,
    /// Standard deviation of the slow gain in dB.
    pub drift_db: f64,
    /// Seconds between its knots.
    pub drift_seconds: f64,
    /// Share of music that is tilted.
    pub tilt_share: f64,
    /// Largest tilt in dB per octave.
    pub tilt_db_per_octave: f64,
}

impl Default for Augmentation {
    /// Measured in `shared/RECIPE.md` 7.3: costs 0.03 to 0.07 dB on exact white noise and wins 1.5 to 2 dB where the
    /// noise is not what one thinks.
    fn default() -> Self {
        Self {
            snr_db: (-5.0, 30.0),
            inexact_share: 0.9,
            level_db: (-2.0, 2.0),
            shape_db: 1.2,
            shape_knots: 17,
            drift_db: 0.9,
            drift_seconds: 0.3,
            tilt_share: 0.5,
            tilt_db_per_octave: 8.0,
        }
    }
}

/// A training pair: `noisy = clean + noise`, in units in which the assumed noise has variance 1.
pub struct Mixture {
    /// Clean music.
    pub clean: Vec<f32>,
    /// Clean music plus noise.
    pub noisy: Vec<f32>,
}

/// Draws a mixture of `excerpt`. Silence stays silence and gets noise only.
#[must_use]
pub fn mix(
    excerpt: &[f32],
    rate_hz: u32,
    augmentation: &Augmentation,
    rng: &mut StableRng,
) -> Mixture {
    let n = excerpt.len();
    let mut clean = excerpt.to_vec();
    let snr_db = rng.uniform_in(augmentation.snr_db.0, augmentation.snr_db.1);
    if rng.uniform() < augmentation.tilt_share {
        let slope = -rng.uniform() * augmentation.tilt_db_per_octave;
        filter(&mut clean, rate_hz, |hz| {
            slope * libm::log2(hz.clamp(50.0, 7_700.0) / 50.0)
        });
    }
    let power = clean.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / n.max(1) as f64;
    if power > 0.0 {
        let gain = libm::sqrt(libm::exp10(snr_db / 10.0) / power) as f32;
        for x in &mut clean {
            *x *= gain;
        }
    }
    let mut noise: Vec<f32> = (0..n).map(|_| rng.normal() as f32).collect();
    if rng.uniform() < augmentation.inexact_share {
        let level = rng.uniform_in(augmentation.level_db.0, augmentation.level_db.1);
        let knots: Vec<f64> = (0..augmentation.shape_knots.max(2))
            .map(|_| level + augmentation.shape_db * rng.normal())
            .collect();
        let (low, high) = (30.0, f64::from(rate_hz) / 2.0);
        let octaves = libm::log2(high / low);
        filter(&mut noise, rate_hz, |hz| {
            interpolate(&knots, libm::log2(hz.max(low) / low) / octaves)
        });
        let seconds = n as f64 / f64::from(rate_hz);
        let count = (seconds / augmentation.drift_seconds).ceil() as usize + 2;
        let drift: Vec<f64> = (0..count)
            .map(|_| augmentation.drift_db * rng.normal())
            .collect();
        for (i, x) in noise.iter_mut().enumerate() {
            let db = interpolate(&drift, i as f64 / n as f64);
            *x *= libm::exp10(db / 20.0) as f32;
        }
    }
    let noisy = clean.iter().zip(&noise).map(|(x, e)| x + e).collect();
    Mixture { clean, noisy }
}

/// The value at `position` in 0..=1 along evenly spaced `knots`.
fn interpolate(knots: &[f64], position: f64) -> f64 {
    let x = position.clamp(0.0, 1.0) * (knots.len() - 1) as f64;
    let i = (x as usize).min(knots.len() - 2);
    let t = x - i as f64;
    knots[i] * (1.0 - t) + knots[i + 1] * t
}

/// Multiplies the spectrum of `samples` by a gain in dB that depends on the frequency.
fn filter(samples: &mut [f32], rate_hz: u32, gain_db: impl Fn(f64) -> f64) {
    let n = samples.len();
    if n == 0 {
        return;
    }
    let mut planner = RealFftPlanner::<f32>::new();
    let forward = planner.plan_fft_forward(n);
    let mut spectrum = forward.make_output_vec();
    if forward.process(samples, &mut spectrum).is_err() {
        return;
    }
    for (f, s) in spectrum.iter_mut().enumerate() {
        let hz = f as f64 * f64::from(rate_hz) / n as f64;
        *s *= (libm::exp10(gain_db(hz) / 20.0) / n as f64) as f32;
    }
    if let Some(first) = spectrum.first_mut() {
        first.im = 0.0;
    }
    if n.is_multiple_of(2)
        && let Some(last) = spectrum.last_mut()
    {
        last.im = 0.0;
    }
    // Cannot fail: the lengths come from the planner.
    let done = planner.plan_fft_inverse(n).process(&mut spectrum, samples);
    debug_assert!(done.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixture_has_unit_noise_and_the_snr_asked_for() {
        let music: Vec<f32> = (0..48_000).map(|i| (i as f32 * 0.05).sin()).collect();
        let exact = Augmentation {
            snr_db: (10.0, 10.0),
            inexact_share: 0.0,
            tilt_share: 0.0,
            ..Augmentation::default()
        };
        let m = mix(&music, 48_000, &exact, &mut StableRng::new(1, 1));
        let power =
            |x: &[f32]| x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / x.len() as f64;
        let noise: Vec<f32> = m.noisy.iter().zip(&m.clean).map(|(y, x)| y - x).collect();
        assert!((power(&m.clean) - 10.0).abs() < 1e-3);
        assert!((power(&noise) - 1.0).abs() < 0.03);
    }

    #[test]
    fn inexact_noise_is_inexact_and_silence_is_safe() {
        let silence = vec![0.0; 24_000];
        let wrong = Augmentation {
            inexact_share: 1.0,
            level_db: (3.0, 3.0),
            ..Augmentation::default()
        };
        let m = mix(&silence, 48_000, &wrong, &mut StableRng::new(1, 2));
        assert!(m.clean.iter().all(|x| *x == 0.0));
        let power = m.noisy.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 24_000.0;
        assert!((10.0 * power.log10() - 3.0).abs() < 1.5, "{power}");
        assert!(m.noisy.iter().all(|x| x.is_finite()));
    }

    #[test]
    fn filter_with_zero_gain_changes_nothing() {
        for n in [1, 2, 999, 1000] {
            let x: Vec<f32> = (0..n).map(|i| (i as f32).cos()).collect();
            let mut y = x.clone();
            filter(&mut y, 48_000, |_| 0.0);
            for (a, b) in x.iter().zip(&y) {
                assert!((a - b).abs() < 1e-5);
            }
        }
    }
}
