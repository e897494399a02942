//! The noise as the classical filters see it: one power per bin.

use super::ClassicError;
use super::stft::Stft;

/// Bins averaged by default: enough to calm a short recording, narrow enough for hum.
pub const DEFAULT_SMOOTH_BINS: usize = 5;

/// Noise power per bin for one window length.
///
/// Windows have unit energy, so white noise of variance s^2 has the power s^2 in every bin.
#[derive(Clone, Debug, PartialEq)]
pub struct NoisePsd {
    /// Window length in samples.
    pub window: usize,
    /// E|bin|^2 in (full scale)^2, `window / 2 + 1` values, all >= 0.
    pub power: Vec<f32>,
}

impl NoisePsd {
    /// The spectrum of white noise of `variance` (full scale squared) for a window of `window` samples.
    #[must_use]
    pub fn white(window: usize, variance: f32) -> Self {
        Self {
            window,
            power: vec![variance.max(0.0); window / 2 + 1],
        }
    }
}

/// Mean |STFT|^2 of a noise recording, smoothed over `smooth_bins` bins (a centred mean, shorter at both edges;
/// 0 and 1 do not smooth; [`DEFAULT_SMOOTH_BINS`] is the usual choice).
///
/// Only windows that lie wholly inside the recording count.
///
/// # Errors
/// [`ClassicError::BadWindow`], and [`ClassicError::NoiseTooShort`] when the recording does not fill one window.
pub fn noise_psd_of(
    noise_samples: &[f32],
    window: usize,
    hop: usize,
    smooth_bins: usize,
) -> Result<NoisePsd, ClassicError> {
    let stft = Stft::new(window, hop)?;
    let mean = stft
        .mean_power(noise_samples)?
        .ok_or(ClassicError::NoiseTooShort {
            have: noise_samples.len(),
            need: window,
        })?;
    Ok(NoisePsd {
        window,
        power: smoothed(&mean, smooth_bins),
    })
}

/// Centred moving average over `width` values; the window shrinks at the edges.
fn smoothed(values: &[f64], width: usize) -> Vec<f32> {
    let reach = width.saturating_sub(1) / 2;
    (0..values.len())
        .map(|k| {
            let around = values
                .iter()
                .skip(k.saturating_sub(reach))
                .take(k.min(reach) + 1 + reach);
            let count = around.len();
            (around.sum::<f64>() / count as f64) as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    #[test]
    fn white_noise_is_flat_at_its_variance() {
        let mut rng = StableRng::new(11, 0);
        let noise: Vec<f32> = (0..200_000).map(|_| 0.1 * rng.normal() as f32).collect();
        let psd = noise_psd_of(&noise, 512, 128, DEFAULT_SMOOTH_BINS).unwrap();
        assert_eq!(psd.power.len(), 257);
        for p in &psd.power {
            assert!((p / 0.01 - 1.0).abs() < 0.2, "{p}");
        }
    }

    #[test]
    fn smoothing_is_a_centred_mean() {
        let x = [0.0, 5.0, 0.0, 0.0, 0.0, 10.0];
        assert_eq!(smoothed(&x, 1), [0.0, 5.0, 0.0, 0.0, 0.0, 10.0]);
        let y = smoothed(&x, 5);
        let expected = [5.0 / 3.0, 5.0 / 4.0, 1.0, 3.0, 2.5, 10.0 / 3.0];
        for (a, b) in y.iter().zip(expected) {
            assert!((f64::from(*a) - b).abs() < 1e-6);
        }
    }

    #[test]
    fn one_window_is_enough_and_less_is_not() {
        assert!(noise_psd_of(&[0.1; 512], 512, 128, 5).is_ok());
        assert_eq!(
            noise_psd_of(&[0.1; 511], 512, 128, 5),
            Err(ClassicError::NoiseTooShort {
                have: 511,
                need: 512
            })
        );
    }
}
