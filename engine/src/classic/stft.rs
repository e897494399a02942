//! Square-root-Hann short-time Fourier transform with perfect reconstruction up to both ends.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::ClassicError;

/// Longest window accepted, in samples: beyond it a mistake is likelier than a wish.
const MAX_WINDOW: usize = 1 << 20;

/// A transform for one window length and hop.
///
/// The periodic square-root-Hann window has unit energy (sum of squares 1), so white noise of variance s^2 has the
/// power s^2 in every bin. The signal counts as silent before its start and after its end, and the frames reach
/// over both, so every sample lies in the same number of frames.
pub(super) struct Stft {
    window: Vec<f32>,
    hop: usize,
    /// Sum of squared windows at a sample, by (sample - first frame start) modulo hop.
    overlap: Vec<f32>,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

impl Stft {
    /// A transform of `window_len` samples every `hop` samples.
    ///
    /// # Errors
    /// [`ClassicError::BadWindow`] unless `4 <= window_len <= 2^20` and `1 <= hop <= window_len / 2`.
    pub(super) fn new(window_len: usize, hop: usize) -> Result<Self, ClassicError> {
        if !(4..=MAX_WINDOW).contains(&window_len) || hop == 0 || hop > window_len / 2 {
            return Err(ClassicError::BadWindow {
                window: window_len,
                hop,
            });
        }
        let n = window_len as f64;
        let window: Vec<f32> = (0..window_len)
            // sin is the square root of the Hann window, whose sum is n / 2.
            .map(|i| ((std::f64::consts::PI * i as f64 / n).sin() * (2.0 / n).sqrt()) as f32)
            .collect();
        let mut overlap = vec![0.0f64; hop];
        for (i, w) in window.iter().enumerate() {
            overlap[i % hop] += f64::from(*w) * f64::from(*w);
        }
        let mut planner = RealFftPlanner::new();
        Ok(Self {
            window,
            hop,
            overlap: overlap.into_iter().map(|x| x as f32).collect(),
            forward: planner.plan_fft_forward(window_len),
            inverse: planner.plan_fft_inverse(window_len),
        })
    }

    /// Bins per frame: half the window plus one.
    pub(super) fn bins(&self) -> usize {
        self.forward.complex_len()
    }

    /// Frames that [`Stft::filter`] and [`Stft::powers`] make of `len` samples.
    pub(super) fn frame_count(&self, len: usize) -> usize {
        if len == 0 {
            return 0;
        }
        (len + self.window.len() - self.hop).div_ceil(self.hop)
    }

    /// Passes every frame through `edit(frame index, bins)` and puts the result together: same length, aligned.
    /// Samples that are not finite count as 0.
    pub(super) fn filter(
        &self,
        samples: &[f32],
        mut edit: impl FnMut(usize, &mut [Complex32]),
    ) -> Result<Vec<f32>, ClassicError> {
        let len = self.window.len();
        let mut frame = self.forward.make_input_vec();
        let mut bins = self.forward.make_output_vec();
        let mut forward_scratch = self.forward.make_scratch_vec();
        let mut inverse_scratch = self.inverse.make_scratch_vec();
        let mut out = vec![0.0f32; samples.len()];
        let scale = 1.0 / len as f32;
        for t in 0..self.frame_count(samples.len()) {
            let (skip, first) = self.place(t);
            self.fill(samples, (skip, first), &mut frame);
            self.forward
                .process_with_scratch(&mut frame, &mut bins, &mut forward_scratch)?;
            edit(t, &mut bins);
            // Real signals have real edge bins; the inverse refuses anything else.
            if let Some(dc) = bins.first_mut() {
                dc.im = 0.0;
            }
            if len.is_multiple_of(2)
                && let Some(nyquist) = bins.last_mut()
            {
                nyquist.im = 0.0;
            }
            self.inverse
                .process_with_scratch(&mut bins, &mut frame, &mut inverse_scratch)?;
            let target = out.iter_mut().skip(first);
            let source = frame.iter().zip(&self.window).skip(skip);
            for (o, (x, w)) in target.zip(source) {
                *o += x * w * scale;
            }
        }
        // Sample 0 lies window - hop samples after the start of the first frame.
        let phase = (len - self.hop) % self.hop;
        for (o, w) in out.iter_mut().zip(self.overlap.iter().cycle().skip(phase)) {
            *o /= w;
        }
        Ok(out)
    }

    /// |bin|^2 of every frame of [`Stft::filter`], frame after frame: `frame_count(samples.len()) * bins()` values.
    pub(super) fn powers(&self, samples: &[f32]) -> Result<Vec<f32>, ClassicError> {
        let frames = self.frame_count(samples.len());
        let mut powers = Vec::with_capacity(frames * self.bins());
        self.visit(samples, (0..frames).map(|t| self.place(t)), |bins| {
            powers.extend(bins.iter().map(Complex32::norm_sqr));
        })?;
        Ok(powers)
    }

    /// Mean |bin|^2 over the frames that lie wholly inside `samples`; `None` when not one does.
    pub(super) fn mean_power(&self, samples: &[f32]) -> Result<Option<Vec<f64>>, ClassicError> {
        let Some(spare) = samples.len().checked_sub(self.window.len()) else {
            return Ok(None);
        };
        let frames = spare / self.hop + 1;
        let mut mean = vec![0.0f64; self.bins()];
        let places = (0..frames).map(|t| (0, t * self.hop));
        self.visit(samples, places, |bins| {
            for (m, bin) in mean.iter_mut().zip(bins) {
                *m += f64::from(bin.norm_sqr()) / frames as f64;
            }
        })?;
        Ok(Some(mean))
    }

    /// Shows the spectrum of the frame at each place, (leading samples outside the signal, first signal sample).
    fn visit(
        &self,
        samples: &[f32],
        places: impl Iterator<Item = (usize, usize)>,
        mut show: impl FnMut(&[Complex32]),
    ) -> Result<(), ClassicError> {
        let mut frame = self.forward.make_input_vec();
        let mut bins = self.forward.make_output_vec();
        let mut scratch = self.forward.make_scratch_vec();
        for place in places {
            self.fill(samples, place, &mut frame);
            self.forward
                .process_with_scratch(&mut frame, &mut bins, &mut scratch)?;
            show(&bins);
        }
        Ok(())
    }

    /// Where frame `t` meets the signal: (samples of the frame before the signal, first signal sample).
    fn place(&self, t: usize) -> (usize, usize) {
        let end = (t + 1) * self.hop;
        let len = self.window.len();
        (len.saturating_sub(end), end.saturating_sub(len))
    }

    fn fill(&self, samples: &[f32], (skip, first): (usize, usize), frame: &mut [f32]) {
        frame.fill(0.0);
        let source = samples.iter().skip(first);
        for ((f, w), x) in frame.iter_mut().zip(&self.window).skip(skip).zip(source) {
            *f = if x.is_finite() { x * w } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    fn noise(n: usize) -> Vec<f32> {
        let mut rng = StableRng::new(3, 0);
        (0..n).map(|_| rng.uniform_in(-1.0, 1.0) as f32).collect()
    }

    #[test]
    fn unit_gain_gives_the_input_back() {
        for (window, hop) in [(512, 128), (512, 256), (470, 118), (471, 118), (64, 7)] {
            let stft = Stft::new(window, hop).unwrap();
            for len in [0, 1, hop, window - 1, window, 3 * window + 17] {
                let x = noise(len);
                let y = stft.filter(&x, |_, _| {}).unwrap();
                assert_eq!(y.len(), len);
                for (a, b) in x.iter().zip(&y) {
                    assert!((a - b).abs() < 1e-6, "{window}/{hop}, {len}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn white_noise_has_its_variance_in_every_bin() {
        let stft = Stft::new(256, 64).unwrap();
        let x = noise(200_000);
        let powers = stft.powers(&x).unwrap();
        let frames = stft.frame_count(x.len());
        assert_eq!(powers.len(), frames * stft.bins());
        for k in 0..stft.bins() {
            let mean = (0..frames)
                .map(|t| powers[t * stft.bins() + k])
                .sum::<f32>()
                / frames as f32;
            assert!((mean * 3.0 - 1.0).abs() < 0.25, "bin {k}: {mean}");
        }
    }

    #[test]
    fn a_broken_sample_does_not_spread() {
        let stft = Stft::new(256, 64).unwrap();
        let mut x = noise(2000);
        x[700] = f32::NAN;
        x[900] = f32::INFINITY;
        assert!(
            stft.filter(&x, |_, _| {})
                .unwrap()
                .iter()
                .all(|v| v.is_finite())
        );
    }

    #[test]
    fn impossible_windows_are_refused() {
        for (window, hop) in [(0, 0), (3, 1), (512, 0), (512, 257), (1 << 21, 512)] {
            assert!(Stft::new(window, hop).is_err());
        }
    }
}
