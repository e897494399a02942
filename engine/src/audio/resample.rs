//! Changing the sample rate of a whole recording.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};
use thiserror::Error;

use super::reader::RATES_HZ;

/// Input frames the transform takes at least at once: long enough for a steep filter, short enough for little pre-ringing.
const MIN_CHUNK_FRAMES: u32 = 1024;

/// Why a recording could not be resampled.
#[derive(Debug, Error)]
pub enum ResampleError {
    /// A rate outside [`RATES_HZ`].
    #[error(
        "cannot resample from {from_hz} Hz to {to_hz} Hz: both rates must lie within 1000 to 768000 Hz"
    )]
    Rate {
        /// Rate of the input in Hz.
        from_hz: u32,
        /// Rate wanted in Hz.
        to_hz: u32,
    },
    /// The resampler refused.
    #[error(
        "resampling from {from_hz} Hz to {to_hz} Hz failed ({reason}): use more usual sample rates"
    )]
    Failed {
        /// Rate of the input in Hz.
        from_hz: u32,
        /// Rate wanted in Hz.
        to_hz: u32,
        /// The resampler's reason.
        reason: String,
    },
}

/// Resamples one channel from `from_hz` to `to_hz`: aligned with the input (no delay), and exactly
/// `round(samples.len() * to_hz / from_hz)` long. Equal rates copy.
///
/// # Errors
/// [`ResampleError::Rate`], or a refusal of the resampler.
pub fn resample(samples: &[f32], from_hz: u32, to_hz: u32) -> Result<Vec<f32>, ResampleError> {
    if !RATES_HZ.contains(&from_hz) || !RATES_HZ.contains(&to_hz) {
        return Err(ResampleError::Rate { from_hz, to_hz });
    }
    if from_hz == to_hz || samples.is_empty() {
        return Ok(samples.to_vec());
    }
    let failed = |reason: String| ResampleError::Failed {
        from_hz,
        to_hz,
        reason,
    };
    // An even number of the smallest possible blocks: an odd block has its delay between two samples, and the
    // result would lie half a sample off.
    let pair = 2 * (from_hz / greatest_common_divisor(from_hz, to_hz));
    let chunk = MIN_CHUNK_FRAMES.next_multiple_of(pair);
    let mut resampler = Fft::<f32>::new_custom(
        from_hz as usize,
        to_hz as usize,
        chunk as usize,
        1,
        1,
        WindowFunction::BlackmanHarris2,
        FixedSync::Both,
    )
    .map_err(|e| failed(e.to_string()))?;
    let input =
        InterleavedSlice::new(samples, 1, samples.len()).map_err(|e| failed(e.to_string()))?;
    let mut out = resampler
        .process_all(&input, samples.len(), None)
        .map_err(|e| failed(e.to_string()))?
        .take_data();
    let exact = samples.len() as u128 * u128::from(to_hz) * 2 + u128::from(from_hz);
    let len =
        usize::try_from(exact / (2 * u128::from(from_hz))).map_err(|e| failed(e.to_string()))?;
    out.resize(len, 0.0);
    Ok(out)
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::audio::snr_db;

    fn sine(hz: f64, rate_hz: u32, n: usize) -> Vec<f32> {
        (0..n)
            .map(|i| (std::f64::consts::TAU * hz * i as f64 / f64::from(rate_hz)).sin() as f32)
            .collect()
    }

    #[test]
    fn sines_keep_their_phase() {
        for (from, to) in [
            (44_100, 48_000),
            (48_000, 44_100),
            (96_000, 48_000),
            (48_000, 96_000),
            (16_000, 48_000),
            (44_101, 48_000),
        ] {
            for hz in [100.0, 997.0, 5000.0] {
                let n = from as usize;
                let got = resample(&sine(hz, from, n), from, to).unwrap();
                assert_eq!(got.len(), to as usize);
                let want = sine(hz, to, to as usize);
                let inside = got.len() / 5..got.len() * 4 / 5;
                let snr = snr_db(&want[inside.clone()], &got[inside]);
                assert!(snr > 80.0, "{from} to {to}, {hz} Hz: {snr} dB");
            }
        }
    }

    #[test]
    fn an_impulse_stays_where_it_is() {
        for (from, to) in [(44_100u32, 48_000u32), (48_000, 44_100), (48_000, 96_000)] {
            let mut x = vec![0.0f32; 6000];
            x[2940] = 1.0;
            let y = resample(&x, from, to).unwrap();
            let peak = (0..y.len()).max_by(|a, b| y[*a].total_cmp(&y[*b])).unwrap();
            let want = 2940.0 * f64::from(to) / f64::from(from);
            assert!((peak as f64 - want).abs() <= 0.5, "{peak} {want}");
        }
    }

    #[test]
    fn what_does_not_fit_the_new_rate_goes() {
        let y = resample(&sine(20_000.0, 48_000, 48_000), 48_000, 16_000).unwrap();
        let rms = (y.iter().map(|v| v * v).sum::<f32>() / y.len() as f32).sqrt();
        assert!(rms < 1e-3, "{rms}");
    }

    #[test]
    fn lengths_are_exact_even_for_scraps() {
        for n in [0usize, 1, 2, 3, 100, 1023, 1024, 1025, 5000] {
            let x = vec![0.5f32; n];
            for (from, to) in [(44_100u32, 48_000u32), (48_000, 8_000), (1_000, 768_000)] {
                let len = (n as f64 * f64::from(to) / f64::from(from)).round() as usize;
                assert_eq!(
                    resample(&x, from, to).unwrap().len(),
                    len,
                    "{n} {from} {to}"
                );
            }
        }
        assert!(resample(&[1.0], 0, 48_000).is_err());
        assert_eq!(resample(&[1.0, 2.0], 48_000, 48_000).unwrap(), [1.0, 2.0]);
    }
}
