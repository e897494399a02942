//! The noise spectrum: one type for every way of knowing the noise.
//!
//! Learned from a stretch of noise, or tracked blindly; both end in a [`NoiseSpectrum`], which whitening reads at the
//! resolution of whatever frames it works on.

use realfft::num_complex::Complex32;

use super::stft::{FrameDurations, FrameShape, FrameTransform, History, TransformScratch};

/// Frames on which noise spectra are kept: 8192 samples at 48 kHz, 5.9 Hz a bin.
pub(super) const KEPT: FrameDurations = FrameDurations::symmetric(8192, 4);
/// Lowest noise power per sample, -120 dB below full scale: below 16-bit rounding, above where numbers get silly.
pub(super) const FLOOR: f32 = 1e-12;
/// Bins averaged in a learned spectrum: 53 Hz, as wide as five bins of a 4096 window.
pub(super) const LEARNED_SMOOTHING_BINS: usize = 9;

/// Noise power per bin in the units of unit-energy windows: white noise of variance s^2 has s^2 everywhere.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseSpectrum {
    pub(super) rate_hz: u32,
    pub(super) power: Vec<f32>,
}

impl NoiseSpectrum {
    /// White noise of the given variance.
    #[must_use]
    pub fn white(rate_hz: u32, variance: f32) -> Self {
        Self {
            rate_hz,
            power: vec![variance.max(FLOOR); KEPT.at_rate(rate_hz).bins()],
        }
    }

    /// The average spectrum of a stretch of noise, several channels averaged. Stretches shorter than a window are
    /// padded with silence and scaled up. `None` if there is nothing but silence or values that are not finite.
    #[must_use]
    pub fn learn(rate_hz: u32, channels: &[&[f32]]) -> Option<Self> {
        let shape = KEPT.at_rate(rate_hz);
        let transform = FrameTransform::new(shape);
        let mut scratch = transform.make_scratch();
        let mut spectrum = vec![Complex32::default(); shape.bins()];
        let mut sum = vec![0.0f64; shape.bins()];
        let mut weight = 0.0f64;
        for samples in channels {
            if samples.iter().any(|x| !x.is_finite()) {
                return None;
            }
            let mut frame = vec![0.0; shape.window];
            if samples.len() < shape.window {
                frame[..samples.len()].copy_from_slice(samples);
                // Of the window's energy only the part that lies on samples counts.
                let (analysis, _) = shape.windows();
                weight += analysis[..samples.len()]
                    .iter()
                    .map(|a| f64::from(a * a))
                    .sum::<f64>();
                accumulate(&transform, &frame, &mut scratch, &mut spectrum, &mut sum);
                continue;
            }
            for start in (0..=samples.len() - shape.window).step_by(shape.hop) {
                frame.copy_from_slice(&samples[start..start + shape.window]);
                accumulate(&transform, &frame, &mut scratch, &mut spectrum, &mut sum);
                weight += 1.0;
            }
        }
        let scale = 1.0 / weight.max(1e-9);
        if sum.iter().all(|s| s * scale < 1e-20) {
            return None;
        }
        let mean: Vec<f32> = sum.iter().map(|s| (s * scale) as f32).collect();
        let mut power = vec![0.0; mean.len()];
        smooth_into(&mean, LEARNED_SMOOTHING_BINS, &mut power);
        for p in &mut power {
            *p = p.max(FLOOR);
        }
        Some(Self { rate_hz, power })
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

    /// Mean noise power per sample.
    #[must_use]
    pub fn variance(&self) -> f32 {
        self.power.iter().sum::<f32>() / self.power.len() as f32
    }

    /// The noise power in the bins of frames of `shape`; `out` has `shape.bins()` places. Never allocates.
    pub fn at_shape_into(&self, shape: FrameShape, out: &mut [f32]) {
        let kept_bins_per_bin = 2.0 * (self.power.len() - 1) as f32 / shape.window as f32;
        let last = self.power.len() - 1;
        for (f, o) in out.iter_mut().enumerate() {
            let x = f as f32 * kept_bins_per_bin;
            if kept_bins_per_bin <= 1.0 {
                let i = (x as usize).min(last);
                let j = (i + 1).min(last);
                *o = self.power[i]
                    + (x - i as f32).clamp(0.0, 1.0) * (self.power[j] - self.power[i]);
            } else {
                let low = (x - 0.5 * kept_bins_per_bin).round().max(0.0) as usize;
                let high = ((x + 0.5 * kept_bins_per_bin).round() as usize).min(last);
                let low = low.min(high);
                let slice = &self.power[low..=high];
                *o = slice.iter().sum::<f32>() / slice.len() as f32;
            }
        }
    }
}

fn accumulate(
    transform: &FrameTransform,
    frame: &[f32],
    scratch: &mut TransformScratch,
    spectrum: &mut [Complex32],
    sum: &mut [f64],
) {
    transform.analyse_into(frame, &[], scratch, spectrum);
    for (s, y) in sum.iter_mut().zip(spectrum.iter()) {
        *s += f64::from(y.norm_sqr());
    }
}

/// Centred moving average, shorter at the ends.
pub(super) fn smooth_into(input: &[f32], bins: usize, out: &mut [f32]) {
    let half = bins / 2;
    for (f, o) in out.iter_mut().enumerate() {
        let slice = &input[f.saturating_sub(half)..(f + half + 1).min(input.len())];
        *o = slice.iter().sum::<f32>() / slice.len() as f32;
    }
}

/// Time constant of the power smoothing of the tracker, in hops of a quarter window (43 ms).
const TRACKER_SMOOTHING: f32 = 0.75;
/// The minimum is searched over this many stretches ...
const STRETCHES: usize = 8;
/// ... of this many hops each: 2.7 s in all.
const STRETCH_HOPS: usize = 8;
/// Half width of the quantile over frequency, in bins: 280 Hz, wider than a partial and its skirt.
const QUANTILE_HALF_WIDTH: usize = 48;
/// The quantile changes slowly over frequency: it is taken at every so many bins and interpolated.
const STRIDE: usize = 8;
/// The quantile over frequency that stands for the noise: the floor between the partials.
const QUANTILE: f32 = 0.3;
/// Minimum and quantile lie below the mean by this much on white noise (measured by the test below), and a noise
/// estimate had better err high: `shared/RECIPE.md` 7.2.
const TRACKER_BIAS: f32 = 4.2;

/// Blind noise tracking by minimum statistics (Martin, "Noise power spectral density estimation based on optimal
/// smoothing and minimum statistics", IEEE TSAP 2001) with a low quantile over frequency after it, because a note
/// that lasts longer than the search window would otherwise pass for noise.
pub struct NoiseTracker {
    transform: FrameTransform,
    scratch: TransformScratch,
    history: Vec<History>,
    filled: usize,
    frames: usize,
    spectrum: Vec<Complex32>,
    power: Vec<f32>,
    smoothed: Vec<f32>,
    stretch_minimum: Vec<f32>,
    minima: Vec<Vec<f32>>,
    sorting: Vec<f32>,
    /// The quantile in the making, its strides done, and the last of them; `None` when it is finished.
    next: Vec<f32>,
    stride: Option<usize>,
    previous: (usize, f32),
    known: bool,
    estimate: NoiseSpectrum,
}

impl NoiseTracker {
    /// A tracker for `channels` linked channels that knows nothing yet.
    #[must_use]
    pub fn new(rate_hz: u32, channels: usize) -> Self {
        let shape = KEPT.at_rate(rate_hz);
        let transform = FrameTransform::new(shape);
        Self {
            scratch: transform.make_scratch(),
            transform,
            history: vec![History::new(shape.window); channels],
            filled: 0,
            frames: 0,
            spectrum: vec![Complex32::default(); shape.bins()],
            power: vec![0.0; shape.bins()],
            smoothed: vec![0.0; shape.bins()],
            stretch_minimum: vec![f32::MAX; shape.bins()],
            minima: vec![vec![f32::MAX; shape.bins()]; STRETCHES],
            sorting: Vec::with_capacity(2 * QUANTILE_HALF_WIDTH + 1),
            next: vec![FLOOR; shape.bins()],
            stride: None,
            previous: (0, FLOOR),
            known: false,
            estimate: NoiseSpectrum::white(rate_hz, 0.0),
        }
    }

    /// Samples until the next frame, or the estimate from the last one, is complete.
    #[must_use]
    pub fn wanted(&self) -> usize {
        let border = if self.stride.is_some() {
            self.half_hop()
        } else {
            self.transform.shape().hop
        };
        border - self.filled
    }

    /// Samples over which the costly part of a frame is spread.
    fn half_hop(&self) -> usize {
        (self.transform.shape().hop / 2).max(1)
    }

    /// Takes in up to [`Self::wanted`] samples of every channel; true when the estimate has changed. Never allocates.
    pub fn push(&mut self, channels: &[&[f32]]) -> bool {
        let n = channels.first().map_or(0, |c| c.len());
        for (history, samples) in self.history.iter_mut().zip(channels) {
            history.push(samples);
        }
        self.filled += n;
        let half = self.half_hop();
        if let Some(done) = self.stride {
            // The costly part is spread over half a hop, so that no block is much dearer than another.
            let strides = (self.power.len() - 1).div_ceil(STRIDE) + 1;
            let until = strides * self.filled.min(half) / half;
            self.take_quantiles(done..until);
            self.stride = (until < strides).then_some(until);
            if self.stride.is_none() {
                self.estimate.power.copy_from_slice(&self.next);
                self.known = true;
                return true;
            }
            return false;
        }
        if self.wanted() > 0 {
            return false;
        }
        self.filled = 0;
        self.power.fill(0.0);
        for history in &self.history {
            let (older, newer) = history.parts();
            self.transform
                .analyse_into(older, newer, &mut self.scratch, &mut self.spectrum);
            for (p, y) in self.power.iter_mut().zip(&self.spectrum) {
                *p += y.norm_sqr() / self.history.len() as f32;
            }
        }
        self.frames += 1;
        // Frames that reach back before the first sample would pass for silence.
        if self.frames < self.transform.shape().hops_per_window() {
            return false;
        }
        self.take_frame();
        self.stride = Some(0);
        false
    }

    /// Smooths the frame's power and leaves the minima in its place.
    fn take_frame(&mut self) {
        let first = self.frames == self.transform.shape().hops_per_window();
        let keep = if first { 0.0 } else { TRACKER_SMOOTHING };
        for ((s, p), m) in self
            .smoothed
            .iter_mut()
            .zip(&self.power)
            .zip(&mut self.stretch_minimum)
        {
            *s = keep * *s + (1.0 - keep) * p;
            *m = m.min(*s);
        }
        if self.frames.is_multiple_of(STRETCH_HOPS) {
            self.minima.rotate_right(1);
            std::mem::swap(&mut self.minima[0], &mut self.stretch_minimum);
            self.stretch_minimum.copy_from_slice(&self.smoothed);
        }
        for (f, p) in self.power.iter_mut().enumerate() {
            let mut low = self.stretch_minimum[f];
            for m in &self.minima {
                low = low.min(m[f]);
            }
            *p = low;
        }
    }

    /// The quantile over frequency of the minima, for some strides.
    fn take_quantiles(&mut self, strides: std::ops::Range<usize>) {
        let bins = self.power.len();
        for stride in strides {
            let f = (stride * STRIDE).min(bins - 1);
            self.sorting.clear();
            let from = f.saturating_sub(QUANTILE_HALF_WIDTH);
            let to = (f + QUANTILE_HALF_WIDTH + 1).min(bins);
            self.sorting.extend_from_slice(&self.power[from..to]);
            let rank = ((self.sorting.len() - 1) as f32 * QUANTILE) as usize;
            let (_, value, _) = self.sorting.select_nth_unstable_by(rank, f32::total_cmp);
            let value = (*value * TRACKER_BIAS).max(FLOOR);
            if stride == 0 {
                self.previous = (0, value);
            }
            let (g0, value0) = self.previous;
            for g in g0..=f {
                let t = if f > g0 {
                    (g - g0) as f32 / (f - g0) as f32
                } else {
                    1.0
                };
                self.next[g] = value0 + t * (value - value0);
            }
            self.previous = (f, value);
        }
    }

    /// Whether there is an estimate at all.
    #[must_use]
    pub const fn has_estimate(&self) -> bool {
        self.known
    }

    /// What is known so far; the floor before the first frame.
    #[must_use]
    pub const fn estimate(&self) -> &NoiseSpectrum {
        &self.estimate
    }

    /// Forgets everything. Never allocates.
    pub fn clear(&mut self) {
        for history in &mut self.history {
            history.clear();
        }
        self.filled = 0;
        self.frames = 0;
        self.stride = None;
        self.known = false;
        self.smoothed.fill(0.0);
        self.stretch_minimum.fill(f32::MAX);
        for m in &mut self.minima {
            m.fill(f32::MAX);
        }
        self.estimate.power.fill(FLOOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            spectrum.at_shape_into(shape, &mut power);
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

    #[test]
    fn tracker_finds_white_noise_and_errs_high() {
        for rate_hz in [44_100, 48_000, 96_000] {
            let x = noise(rate_hz as usize * 6, 0.01, 3);
            let mut tracker = NoiseTracker::new(rate_hz, 1);
            let mut rest = x.as_slice();
            while !rest.is_empty() {
                let n = tracker.wanted().min(rest.len());
                tracker.push(&[&rest[..n]]);
                rest = &rest[n..];
            }
            let error_db = 10.0 * (tracker.estimate().variance() / 1e-4).log10();
            println!("{rate_hz}: {error_db}");
            assert!((0.0..2.0).contains(&error_db), "{rate_hz}: {error_db}");
        }
    }

    #[test]
    fn tracker_does_not_learn_a_long_note() {
        let mut x = noise(48_000 * 8, 0.001, 4);
        for (i, x) in x.iter_mut().enumerate() {
            for h in 1..10 {
                *x += 0.05 * (i as f32 * 0.0576 * h as f32).sin() / h as f32;
            }
        }
        let mut tracker = NoiseTracker::new(48_000, 1);
        let mut rest = x.as_slice();
        while !rest.is_empty() {
            let n = tracker.wanted().min(rest.len());
            tracker.push(&[&rest[..n]]);
            rest = &rest[n..];
        }
        let error_db = 10.0 * (tracker.estimate().variance() / 1e-6).log10();
        assert!(error_db.abs() < 3.0, "{error_db}");
    }
}
