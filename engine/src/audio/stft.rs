//! Short-time Fourier frames: window pairs, streaming analysis and overlap-add synthesis.
//!
//! Frame lengths are *durations*: the same model works at every sample rate, because the spacing of the bins in
//! hertz and of the frames in seconds stays the same. Spectra are zero-phase about the centre of mass of the
//! analysis window, so a partial has one phase across its main lobe, and windows have unit energy, so white noise
//! of variance s^2 has expectation s^2 in every bin.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use serde::{Deserialize, Serialize};

/// The durations that define a short-time Fourier transform, independent of the sample rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameDurations {
    /// Length of the analysis window in samples at 48 kHz.
    pub window_at_48k: u32,
    /// Length of the synthesis window in samples at 48 kHz; shorter than the analysis window for low latency
    /// (Mauler and Martin, "A low delay, variable resolution, perfect reconstruction spectral analysis-synthesis
    /// system", EUSIPCO 2007).
    pub synthesis_at_48k: u32,
    /// Hops per synthesis window, at least 2.
    pub overlap: u32,
}

impl FrameDurations {
    /// A symmetric pair of square-root Hann windows.
    #[must_use]
    pub const fn symmetric(window_at_48k: u32, overlap: u32) -> Self {
        Self {
            window_at_48k,
            synthesis_at_48k: window_at_48k,
            overlap,
        }
    }

    /// The lengths in samples at `rate_hz`.
    #[must_use]
    pub fn at_rate(&self, rate_hz: u32) -> FrameShape {
        let scale = f64::from(rate_hz) / 48_000.0;
        let hop = friendly_length(
            f64::from(self.synthesis_at_48k) / f64::from(self.overlap) * scale,
            2,
        );
        let synthesis = hop * self.overlap as usize;
        let hops_per_window = (f64::from(self.window_at_48k) * f64::from(self.overlap)
            / f64::from(self.synthesis_at_48k))
        .round();
        FrameShape {
            window: hop * hops_per_window as usize,
            synthesis,
            hop,
        }
    }
}

/// The whole number nearest to `length` that is a multiple of `multiple` and has no prime factor above 13, searched
/// within 4 %; lengths that fast Fourier transforms like.
fn friendly_length(length: f64, multiple: usize) -> usize {
    let centre = ((length / multiple as f64).round() as usize).max(1);
    let reach = centre / 25 + 1;
    (0..=reach)
        .flat_map(|d| [centre.saturating_sub(d), centre + d])
        .find(|&n| n > 0 && is_smooth(n))
        .unwrap_or(centre)
        * multiple
}

fn is_smooth(mut n: usize) -> bool {
    for p in [2, 3, 5, 7, 11, 13] {
        while n.is_multiple_of(p) {
            n /= p;
        }
    }
    n == 1
}

/// Frame lengths in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameShape {
    /// Length of the analysis window and of the transform.
    pub window: usize,
    /// Length of the non-zero, last part of the synthesis window.
    pub synthesis: usize,
    /// Samples from one frame to the next.
    pub hop: usize,
}

impl FrameShape {
    /// Bins of a spectrum: 0 to the Nyquist frequency.
    #[must_use]
    pub const fn bins(&self) -> usize {
        self.window / 2 + 1
    }

    /// Frames after which the phase advance of a bin repeats.
    #[must_use]
    pub const fn hops_per_window(&self) -> usize {
        self.window / self.hop
    }

    /// The analysis window (unit energy) and the synthesis window (zero before its last `synthesis` samples),
    /// scaled so that overlap-add gives the input back.
    #[must_use]
    pub fn windows(&self) -> (Vec<f32>, Vec<f32>) {
        let (n, s) = (self.window, self.synthesis);
        let half = s / 2;
        let rise = n - half;
        let analysis: Vec<f64> = (0..n)
            .map(|i| {
                let x = if i < rise {
                    i as f64 / (2.0 * rise as f64)
                } else {
                    0.5 + (i - rise) as f64 / s as f64
                };
                libm::sin(std::f64::consts::PI * x)
            })
            .collect();
        let norm = libm::sqrt(analysis.iter().map(|a| a * a).sum::<f64>());
        // The product of the two windows is a Hann window over the last `s` samples, whose shifts by one hop add
        // up to s / (2 hop).
        let overlap_gain = s as f64 / (2.0 * self.hop as f64);
        let synthesis = (0..n)
            .map(|i| {
                if i <= n - s || analysis[i] <= 0.0 {
                    return 0.0;
                }
                let h = libm::sin(std::f64::consts::PI * (i - (n - s)) as f64 / s as f64);
                (h * h / analysis[i] * norm / overlap_gain) as f32
            })
            .collect();
        (
            analysis.iter().map(|a| (a / norm) as f32).collect(),
            synthesis,
        )
    }

    /// A Hann window of unit energy.
    fn measuring_window(&self) -> Vec<f32> {
        let n = self.window as f64;
        let mut window: Vec<f32> = (0..self.window)
            .map(|i| libm::sin(std::f64::consts::PI * i as f64 / n).powi(2) as f32)
            .collect();
        let norm = window.iter().map(|a| a * a).sum::<f32>().sqrt();
        for a in &mut window {
            *a /= norm;
        }
        window
    }

    /// The sample of the analysis window that phases refer to: its centre of mass.
    #[must_use]
    pub fn phase_centre(&self) -> usize {
        if self.synthesis == self.window {
            return self.window / 2;
        }
        let (a, _) = self.windows();
        let (mut mass, mut moment) = (0.0, 0.0);
        for (i, &a) in a.iter().enumerate() {
            let e = f64::from(a);
            mass += e;
            moment += e * i as f64;
        }
        (moment / mass).round() as usize
    }
}

/// `exp(2 pi i m / n)` for `m` in `0..n`.
fn twiddles(n: usize) -> Vec<Complex32> {
    (0..n)
        .map(|m| {
            let (sin, cos) = libm::sincos(std::f64::consts::TAU * m as f64 / n as f64);
            Complex32::new(cos as f32, sin as f32)
        })
        .collect()
}

/// Which windows a frame is cut with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Windows {
    /// Those of [`FrameShape::windows`].
    Pair,
    /// A Hann window, and none for synthesis.
    Measuring,
}

/// Windows, phases and plans of one frame shape.
struct Tables {
    shape: FrameShape,
    windows: Windows,
    analysis: Vec<f32>,
    synthesis: Vec<f32>,
    /// Per bin: turns the phase reference from the first sample to the phase centre.
    centring: Vec<Complex32>,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

/// All that are in use. The seven transforms of a stereo stream of `best` have three shapes and two lengths: 3 MB less at 192 kHz.
static TABLES: Mutex<Vec<Weak<Tables>>> = Mutex::new(Vec::new());

impl Tables {
    fn shared(shape: FrameShape, windows: Windows) -> Arc<Self> {
        let mut all = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|t| t.strong_count() > 0);
        let mut plans = None;
        for tables in all.iter().filter_map(Weak::upgrade) {
            if tables.shape == shape && tables.windows == windows {
                return tables;
            }
            if tables.shape.window == shape.window {
                plans = Some((Arc::clone(&tables.forward), Arc::clone(&tables.inverse)));
            }
        }
        let (forward, inverse) = plans.unwrap_or_else(|| {
            let mut planner = RealFftPlanner::new();
            (
                planner.plan_fft_forward(shape.window),
                planner.plan_fft_inverse(shape.window),
            )
        });
        let (analysis, synthesis) = match windows {
            Windows::Pair => shape.windows(),
            Windows::Measuring => (shape.measuring_window(), Vec::new()),
        };
        let table = twiddles(shape.window);
        let centre = shape.phase_centre();
        let tables = Arc::new(Self {
            shape,
            windows,
            analysis,
            synthesis,
            centring: (0..shape.bins())
                .map(|f| table[f * centre % shape.window])
                .collect(),
            forward,
            inverse,
        });
        all.push(Arc::downgrade(&tables));
        tables
    }
}

/// Analyses and synthesises frames of one shape. All transforms of a shape share their tables.
#[derive(Clone)]
pub struct FrameTransform {
    shape: FrameShape,
    tables: Arc<Tables>,
}

impl FrameTransform {
    /// Plans the transforms of `shape`, unless another has them. Allocates and waits for others that do; not for the audio thread.
    #[must_use]
    pub fn new(shape: FrameShape) -> Self {
        Self {
            shape,
            tables: Tables::shared(shape, Windows::Pair),
        }
    }

    /// The same for spectra that are only looked at: a Hann window of unit energy, whose side lobes fall off faster, so
    /// that the valleys between loud partials show the noise in them. Nothing can be synthesised with it.
    #[must_use]
    pub fn for_measuring(shape: FrameShape) -> Self {
        Self {
            shape,
            tables: Tables::shared(shape, Windows::Measuring),
        }
    }

    /// The frame lengths.
    #[must_use]
    pub const fn shape(&self) -> FrameShape {
        self.shape
    }

    /// The analysis window, of unit energy.
    #[must_use]
    pub fn analysis(&self) -> &[f32] {
        &self.tables.analysis
    }

    /// The spectrum of samples as they are, followed by silence up to the length of the window. Allocates.
    #[must_use]
    pub fn spectrum_of(&self, samples: &[f32]) -> Vec<Complex32> {
        let mut time = vec![0.0; self.shape.window];
        for (t, x) in time.iter_mut().zip(samples) {
            *t = *x;
        }
        let mut spectrum = vec![Complex32::default(); self.shape.bins()];
        // The lengths agree by construction, so the transform cannot fail.
        let done = self.tables.forward.process(&mut time, &mut spectrum);
        debug_assert!(done.is_ok());
        spectrum
    }

    /// Working memory for [`Self::analyse_into`] and [`Self::synthesise_into`].
    #[must_use]
    pub fn make_scratch(&self) -> TransformScratch {
        TransformScratch {
            time: vec![0.0; self.shape.window],
            spectrum: vec![Complex32::default(); self.shape.bins()],
            fft: vec![
                Complex32::default();
                self.tables
                    .forward
                    .get_scratch_len()
                    .max(self.tables.inverse.get_scratch_len())
            ],
        }
    }

    /// The spectrum of the `window` samples `older` followed by `newer`. Never allocates.
    pub fn analyse_into(
        &self,
        older: &[f32],
        newer: &[f32],
        scratch: &mut TransformScratch,
        out: &mut [Complex32],
    ) {
        let (first, last) = scratch.time.split_at_mut(older.len());
        for (t, (x, w)) in first
            .iter_mut()
            .zip(older.iter().zip(&self.tables.analysis))
        {
            *t = x * w;
        }
        for (t, (x, w)) in last
            .iter_mut()
            .zip(newer.iter().zip(&self.tables.analysis[older.len()..]))
        {
            *t = x * w;
        }
        self.forward_into(scratch, out);
    }

    /// The newest `samples` samples of the frame of `spectrum`, which may lack its highest bins, as the analysis window left them.
    /// Never allocates.
    pub fn newest_of<'a>(
        &self,
        samples: usize,
        spectrum: &[Complex32],
        scratch: &'a mut TransformScratch,
    ) -> &'a [f32] {
        self.invert(spectrum, scratch);
        let norm = 1.0 / self.shape.window as f32;
        let newest = &mut scratch.time[self.shape.window - samples..];
        for t in &mut *newest {
            *t *= norm;
        }
        newest
    }

    /// Adds the frame of `spectrum` to `accumulator`, whose last sample is the frame's last one and which holds the
    /// `synthesis` newest samples. Never allocates.
    pub fn synthesise_into(
        &self,
        spectrum: &[Complex32],
        scratch: &mut TransformScratch,
        accumulator: &mut [f32],
    ) {
        self.invert(spectrum, scratch);
        let skip = self.shape.window - self.shape.synthesis;
        let norm = 1.0 / self.shape.window as f32;
        for (a, (t, w)) in accumulator.iter_mut().zip(
            scratch.time[skip..]
                .iter()
                .zip(&self.tables.synthesis[skip..]),
        ) {
            *a += t * w * norm;
        }
    }

    /// The inverse transform, not yet divided by the length of the window, goes to the scratch's samples.
    fn invert(&self, spectrum: &[Complex32], scratch: &mut TransformScratch) {
        for (s, (x, c)) in scratch
            .spectrum
            .iter_mut()
            .zip(spectrum.iter().zip(&self.tables.centring))
        {
            *s = x * c.conj();
        }
        scratch.spectrum[spectrum.len()..].fill(Complex32::default());
        let nyquist = scratch.spectrum.len() - 1;
        scratch.spectrum[0].im = 0.0;
        scratch.spectrum[nyquist].im = 0.0;
        let done = self.tables.inverse.process_with_scratch(
            &mut scratch.spectrum,
            &mut scratch.time,
            &mut scratch.fft,
        );
        debug_assert!(done.is_ok());
    }

    /// The spectrum of `window` samples that need other factors than those of the analysis window. Never allocates.
    pub fn transform_into(
        &self,
        samples: &[f32],
        factors: &[f32],
        scratch: &mut TransformScratch,
        out: &mut [Complex32],
    ) {
        for (t, (x, w)) in scratch.time.iter_mut().zip(samples.iter().zip(factors)) {
            *t = x * w;
        }
        self.forward_into(scratch, out);
    }

    /// The spectrum of the scratch's samples.
    fn forward_into(&self, scratch: &mut TransformScratch, out: &mut [Complex32]) {
        // The lengths agree by construction, so the transform cannot fail.
        let done =
            self.tables
                .forward
                .process_with_scratch(&mut scratch.time, out, &mut scratch.fft);
        debug_assert!(done.is_ok());
        for (y, c) in out.iter_mut().zip(&self.tables.centring) {
            *y *= c;
        }
    }
}

/// Working memory of a [`FrameTransform`].
#[derive(Clone)]
pub struct TransformScratch {
    time: Vec<f32>,
    spectrum: Vec<Complex32>,
    fft: Vec<Complex32>,
}

/// The newest samples of one channel.
#[derive(Clone)]
pub struct History {
    samples: Vec<f32>,
    /// Where the next sample goes: the oldest one.
    next: usize,
}

impl History {
    /// Silence.
    #[must_use]
    pub fn new(length: usize) -> Self {
        Self {
            samples: vec![0.0; length],
            next: 0,
        }
    }

    /// Takes in samples; never allocates.
    pub fn push(&mut self, input: &[f32]) {
        for part in input.chunks(self.samples.len()) {
            let first = part.len().min(self.samples.len() - self.next);
            self.samples[self.next..self.next + first].copy_from_slice(&part[..first]);
            self.samples[..part.len() - first].copy_from_slice(&part[first..]);
            self.next = (self.next + part.len()) % self.samples.len();
        }
    }

    /// All samples, oldest first, in two parts.
    #[must_use]
    pub fn parts(&self) -> (&[f32], &[f32]) {
        self.parts_before(self.samples.len(), 0)
    }

    /// The `window` samples before the newest `age` ones, oldest first, in two parts; `window + age` at most the length.
    #[must_use]
    pub fn parts_before(&self, window: usize, age: usize) -> (&[f32], &[f32]) {
        let length = self.samples.len();
        debug_assert!(window + age <= length);
        let end = (self.next + length - age) % length;
        let start = (end + length - window) % length;
        if start < end {
            (&self.samples[start..end], &[])
        } else {
            (&self.samples[start..], &self.samples[..end])
        }
    }

    /// Back to silence.
    pub fn clear(&mut self) {
        self.samples.fill(0.0);
        self.next = 0;
    }
}

/// Overlap-add of one channel: a frame in, one hop of finished samples out.
#[derive(Clone)]
pub struct OverlapAdd {
    sum: Vec<f32>,
    hop: usize,
}

impl OverlapAdd {
    /// Silence, for frames of `shape`.
    #[must_use]
    pub fn new(shape: FrameShape) -> Self {
        Self {
            sum: vec![0.0; shape.synthesis],
            hop: shape.hop,
        }
    }

    /// Adds a frame and writes the `hop` samples that no later frame touches. Never allocates.
    pub fn push(
        &mut self,
        transform: &FrameTransform,
        spectrum: &[Complex32],
        scratch: &mut TransformScratch,
        out: &mut [f32],
    ) {
        transform.synthesise_into(spectrum, scratch, &mut self.sum);
        out.copy_from_slice(&self.sum[..self.hop]);
        self.sum.copy_within(self.hop.., 0);
        let kept = self.sum.len() - self.hop;
        self.sum[kept..].fill(0.0);
    }

    /// Back to silence.
    pub fn clear(&mut self) {
        self.sum.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    fn reconstruct(shape: FrameShape, input: &[f32]) -> Vec<f32> {
        let transform = FrameTransform::new(shape);
        let mut scratch = transform.make_scratch();
        let mut history = History::new(shape.window);
        let mut ola = OverlapAdd::new(shape);
        let mut spectrum = vec![Complex32::default(); shape.bins()];
        let mut out = Vec::new();
        let mut hop = vec![0.0; shape.hop];
        for part in input.chunks_exact(shape.hop) {
            history.push(part);
            let (older, newer) = history.parts();
            transform.analyse_into(older, newer, &mut scratch, &mut spectrum);
            ola.push(&transform, &spectrum, &mut scratch, &mut hop);
            out.extend_from_slice(&hop);
        }
        out
    }

    #[test]
    fn overlap_add_gives_the_input_back_after_one_synthesis_window() {
        for (durations, rate) in [
            (FrameDurations::symmetric(4096, 8), 48_000),
            (FrameDurations::symmetric(512, 4), 44_100),
            (
                FrameDurations {
                    window_at_48k: 2048,
                    synthesis_at_48k: 512,
                    overlap: 4,
                },
                48_000,
            ),
            (
                FrameDurations {
                    window_at_48k: 1024,
                    synthesis_at_48k: 128,
                    overlap: 2,
                },
                96_000,
            ),
        ] {
            let shape = durations.at_rate(rate);
            let mut rng = StableRng::new(1, 0);
            let input: Vec<f32> = (0..shape.hop * 50).map(|_| rng.normal() as f32).collect();
            let out = reconstruct(shape, &input);
            let delay = shape.synthesis - shape.hop;
            for (i, y) in out.iter().enumerate().skip(shape.window) {
                assert!((y - input[i - delay]).abs() < 2e-5, "{shape:?} at {i}");
            }
        }
    }

    #[test]
    fn white_noise_has_its_variance_in_every_bin() {
        let shape = FrameDurations::symmetric(512, 4).at_rate(48_000);
        let transform = FrameTransform::new(shape);
        let mut scratch = transform.make_scratch();
        let mut spectrum = vec![Complex32::default(); shape.bins()];
        let mut rng = StableRng::new(2, 0);
        let mut sum = vec![0.0; shape.bins()];
        let frames = 2000;
        for _ in 0..frames {
            let x: Vec<f32> = (0..shape.window)
                .map(|_| 3.0 * rng.normal() as f32)
                .collect();
            transform.analyse_into(&x, &[], &mut scratch, &mut spectrum);
            for (s, y) in sum.iter_mut().zip(&spectrum) {
                *s += f64::from(y.norm_sqr()) / f64::from(frames);
            }
        }
        for s in sum {
            assert!((s / 9.0 - 1.0).abs() < 0.2);
        }
    }

    #[test]
    fn transforms_of_a_shape_share_their_tables_while_one_is_in_use() {
        let shape = FrameShape {
            window: 90,
            synthesis: 90,
            hop: 30,
        };
        let hop = FrameShape { hop: 15, ..shape };
        let (one, two) = (FrameTransform::new(shape), FrameTransform::new(shape));
        let (other, seen) = (
            FrameTransform::new(hop),
            FrameTransform::for_measuring(shape),
        );
        assert!(Arc::ptr_eq(&one.tables, &two.tables));
        for other in [&other, &seen] {
            assert!(!Arc::ptr_eq(&one.tables, &other.tables));
            assert!(Arc::ptr_eq(&one.tables.forward, &other.tables.forward));
        }
        let tables = Arc::downgrade(&one.tables);
        drop((one, two, other, seen));
        assert_eq!(tables.strong_count(), 0);
    }

    #[test]
    fn lengths_scale_with_the_rate() {
        let d = FrameDurations::symmetric(4096, 8);
        assert_eq!(d.at_rate(48_000).window, 4096);
        assert_eq!(d.at_rate(96_000).window, 8192);
        for rate in [8_000, 11_025, 22_050, 44_100, 88_200, 192_000] {
            let shape = d.at_rate(rate);
            let seconds = shape.window as f64 / f64::from(rate);
            assert!(
                (seconds / (4096.0 / 48_000.0) - 1.0).abs() < 0.05,
                "{rate}: {shape:?}"
            );
            assert_eq!(shape.window % shape.hop, 0);
        }
    }
}
