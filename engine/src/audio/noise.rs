//! The noise spectrum: one type for every way of knowing the noise.
//!
//! Learned from a stretch of noise, or tracked blindly; both end in a [`NoiseSpectrum`], which whitening reads at the
//! resolution of whatever frames it works on.

use realfft::num_complex::Complex32;

use super::noise_average::NoiseAverage;
use super::stft::{FrameDurations, FrameTransform, TransformScratch};
use super::unsteadiness::Unsteadiness;

/// Frames on which noise spectra are kept: 8192 samples at 48 kHz, 5.9 Hz a bin.
pub(super) const KEPT: FrameDurations = FrameDurations::symmetric(8192, 4);
/// Lowest noise power per sample, -120 dB below full scale: below 16-bit rounding, above where numbers get silly.
pub(super) const FLOOR: f32 = 1e-12;
/// Noise power per bin in the units of unit-energy windows (white noise of variance s^2 has s^2 everywhere), and how much its
/// level changes.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseSpectrum {
    pub(super) rate_hz: u32,
    pub(super) power: Vec<f32>,
    pub(super) unsteadiness: Unsteadiness,
}

impl NoiseSpectrum {
    /// White noise of the given variance.
    #[must_use]
    pub fn white(rate_hz: u32, variance: f32) -> Self {
        Self {
            rate_hz,
            power: vec![variance.max(FLOOR); KEPT.at_rate(rate_hz).bins()],
            unsteadiness: Unsteadiness::NONE,
        }
    }

    /// The average spectrum of a stretch of noise, several channels averaged; steady lines (hum) stay sharp, and a few
    /// notes in the stretch are left out. Stretches shorter than a window are padded with silence and scaled up. `None`
    /// if there is nothing but silence or values that are not finite.
    #[must_use]
    pub fn learn(rate_hz: u32, channels: &[&[f32]]) -> Option<Self> {
        let shape = KEPT.at_rate(rate_hz);
        let transform = FrameTransform::for_measuring(shape);
        let mut scratch = transform.make_scratch();
        let mut spectrum = vec![Complex32::default(); shape.bins()];
        let mut average = NoiseAverage::new(shape.bins(), rate_hz as f32 / shape.window as f32);
        let mut frame = vec![0.0; shape.window];
        for samples in channels {
            if samples.iter().any(|x| !x.is_finite()) {
                return None;
            }
            if samples.len() < shape.window {
                frame.fill(0.0);
                frame[..samples.len()].copy_from_slice(samples);
                // In the middle of the window, where it would show most; of the window's energy only the part that
                // lies on samples counts.
                frame.rotate_right((shape.window - samples.len()) / 2);
                let from = (shape.window - samples.len()) / 2;
                let energy: f32 = transform.analysis()[from..from + samples.len()]
                    .iter()
                    .map(|a| a * a)
                    .sum();
                add(
                    &transform,
                    &frame,
                    &mut scratch,
                    &mut spectrum,
                    &mut average,
                    energy,
                );
                continue;
            }
            for start in (0..=samples.len() - shape.window).step_by(shape.hop) {
                frame.copy_from_slice(&samples[start..start + shape.window]);
                add(
                    &transform,
                    &frame,
                    &mut scratch,
                    &mut spectrum,
                    &mut average,
                    1.0,
                );
            }
        }
        let mut learned = Self::white(rate_hz, 0.0);
        average.settle_into(&mut learned).then_some(learned)
    }

    /// The sample rate it belongs to.
    #[must_use]
    pub const fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Power per kept bin.
    #[must_use]
    pub fn power(&self) -> &[f32] {
        &self.power
    }

    /// Whether anything is known of the noise; of silence, nothing is.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.power.iter().any(|p| *p > FLOOR)
    }

    /// How much its level changes from moment to moment, as far as that is known.
    #[must_use]
    pub const fn unsteadiness(&self) -> &Unsteadiness {
        &self.unsteadiness
    }

    /// Mean noise power per sample.
    #[must_use]
    pub fn variance(&self) -> f32 {
        self.power.iter().sum::<f32>() / self.power.len() as f32
    }
}

/// Adds the power spectrum of a frame, of whose window the share `energy` lies on samples.
fn add(
    transform: &FrameTransform,
    frame: &[f32],
    scratch: &mut TransformScratch,
    spectrum: &mut [Complex32],
    average: &mut NoiseAverage,
    energy: f32,
) {
    transform.analyse_into(frame, &[], scratch, spectrum);
    let scale = 1.0 / energy.max(1e-9);
    average.add(spectrum.iter().map(|y| y.norm_sqr() * scale));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::noise_response::FrameResponse;
    use crate::rng::StableRng;

    fn noise(n: usize, scale: f32, seed: u64) -> Vec<f32> {
        let mut rng = StableRng::new(seed, 0);
        (0..n).map(|_| scale * rng.normal() as f32).collect()
    }

    #[test]
    fn learned_white_noise_has_its_variance_at_every_resolution() {
        let x = noise(96_000, 0.1, 1);
        let spectrum = NoiseSpectrum::learn(48_000, &[&x]).unwrap();
        assert!((spectrum.variance() / 0.01 - 1.0).abs() < 0.03);
        for window in [512, 2048, 4096, 8192, 16384] {
            let shape = FrameDurations::symmetric(window, 4).at_rate(48_000);
            let mut power = vec![0.0; shape.bins()];
            FrameResponse::new(shape, 48_000).apply_into(&spectrum, &mut power);
            for p in power {
                assert!((p / 0.01 - 1.0).abs() < 0.7, "{window}: {p}");
            }
        }
    }

    #[test]
    fn short_silent_and_broken_stretches() {
        let x = noise(1000, 0.1, 2);
        let short = NoiseSpectrum::learn(48_000, &[&x]).unwrap();
        assert!((10.0 * (short.variance() / 0.01).log10()).abs() < 1.0);
        assert!(NoiseSpectrum::learn(48_000, &[&[0.0; 9000]]).is_none());
        assert!(NoiseSpectrum::learn(48_000, &[&[f32::NAN; 9000]]).is_none());
        assert!(NoiseSpectrum::learn(48_000, &[]).is_none());
    }
}
