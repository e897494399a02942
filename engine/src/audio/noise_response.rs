//! How frames of a given shape see a noise spectrum.

use super::noise::{KEPT, NoiseSpectrum};
use super::stft::{FrameShape, FrameTransform};

/// Side lobes are followed this many bins of the frames to either side.
const REACH_BINS: f32 = 8.0;

/// The power response of the bins of a frame shape, sampled where noise spectra are kept.
///
/// A line of hum that is one bin wide in a noise spectrum fills main and side lobes of the shorter windows of the fast
/// modes; averaging over the width of a bin would miss them, and what is missed is left in the sound.
pub struct FrameResponse {
    /// Odd number of weights, sum 1, centre in the middle.
    weights: Vec<f32>,
    kept_bins_per_bin: f32,
}

impl FrameResponse {
    /// Allocates; not for the audio thread.
    #[must_use]
    pub fn new(shape: FrameShape, rate_hz: u32) -> Self {
        let kept = KEPT.at_rate(rate_hz);
        let kept_bins_per_bin = kept.window as f32 / shape.window as f32;
        let mut weights = vec![1.0];
        if shape.window < kept.window {
            let transform = FrameTransform::new(kept);
            let (analysis, _) = shape.windows();
            let spectrum = transform.spectrum_of(&analysis);
            let reach = ((REACH_BINS * kept_bins_per_bin) as usize).min(kept.bins() - 1);
            let half = spectrum.iter().take(reach + 1).map(|y| y.norm_sqr());
            let mut all: Vec<f32> = half.clone().skip(1).collect();
            all.reverse();
            all.extend(half);
            let sum: f32 = all.iter().sum();
            weights = all.into_iter().map(|w| w / sum.max(1e-30)).collect();
        }
        Self {
            weights,
            kept_bins_per_bin,
        }
    }

    /// The noise power in each bin of the frames. Never allocates.
    pub fn apply_into(&self, noise: &NoiseSpectrum, out: &mut [f32]) {
        let power = noise.power();
        let last = power.len().saturating_sub(1);
        let reach = self.weights.len() / 2;
        for (f, o) in out.iter_mut().enumerate() {
            let x = f as f32 * self.kept_bins_per_bin;
            if reach == 0 {
                let low = (x as usize).min(last);
                let high = (low + 1).min(last);
                *o = power[low] + (x - low as f32).clamp(0.0, 1.0) * (power[high] - power[low]);
                continue;
            }
            let centre = (x.round() as usize).min(last);
            *o = if centre >= reach && centre + reach <= last {
                dot(&self.weights, &power[centre - reach..=centre + reach])
            } else {
                // Spectra of real signals go on mirrored at both ends.
                let mirrored = |k: usize| {
                    let at = (centre + k).abs_diff(reach);
                    power[at.min((2 * last).saturating_sub(at))]
                };
                let weights = self.weights.iter().enumerate();
                weights.map(|(k, w)| w * mirrored(k)).sum()
            };
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0f32; LANES];
    let (a8, a_rest) = a.as_chunks::<LANES>();
    let (b8, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a8.iter().zip(b8) {
        for i in 0..LANES {
            sums[i] += x[i] * y[i];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::stft::FrameDurations;
    use realfft::num_complex::Complex32;

    /// Power of a steady tone in each bin, measured and predicted.
    fn tone(durations: FrameDurations, rate_hz: u32, hz: f32) -> (Vec<f32>, Vec<f32>) {
        let wave = |n: usize| -> Vec<f32> {
            (0..n)
                .map(|i| {
                    (std::f64::consts::TAU * f64::from(hz) * i as f64 / f64::from(rate_hz)).sin()
                        as f32
                })
                .collect()
        };
        let shape = durations.at_rate(rate_hz);
        let transform = FrameTransform::new(shape);
        let mut scratch = transform.make_scratch();
        let mut spectrum = vec![Complex32::default(); shape.bins()];
        transform.analyse_into(&wave(shape.window), &[], &mut scratch, &mut spectrum);
        let learned = NoiseSpectrum::learn(rate_hz, &[&wave(rate_hz as usize)]).unwrap();
        let mut predicted = vec![0.0; shape.bins()];
        FrameResponse::new(shape, rate_hz).apply_into(&learned, &mut predicted);
        (
            spectrum.iter().map(Complex32::norm_sqr).collect(),
            predicted,
        )
    }

    #[test]
    fn lines_of_hum_are_foreseen_in_every_window() {
        let live = FrameDurations {
            window_at_48k: 1024,
            synthesis_at_48k: 384,
            overlap: 3,
        };
        for rate_hz in [44_100, 48_000, 96_000] {
            for durations in [
                FrameDurations::symmetric(4096, 8),
                FrameDurations::symmetric(8192, 8),
                live,
            ] {
                for hz in [50.0, 1003.0, 3000.0] {
                    let (there, foreseen) = tone(durations, rate_hz, hz);
                    let peak = there.iter().copied().fold(0.0, f32::max);
                    for (f, (t, p)) in there.iter().zip(&foreseen).enumerate() {
                        if *t > 0.02 * peak {
                            let db = 10.0 * (p / t).log10();
                            assert!(
                                (-3.0..14.0).contains(&db),
                                "{rate_hz} Hz, {durations:?}, {hz} Hz, bin {f}: {db:.1} dB"
                            );
                        }
                    }
                }
            }
        }
    }
}
