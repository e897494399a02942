//! Spectra to be looked at: levels in dB at points that lie evenly on a logarithmic frequency axis.

use realfft::num_complex::Complex32;

use super::noise::NoiseSpectrum;
use super::stft::{FrameDurations, FrameTransform, History, TransformScratch};

/// Lowest and highest frequency of the axis in Hz.
pub const AXIS_HZ: (f32, f32) = (20.0, 20_000.0);
/// Lowest level that is told apart, in dB.
pub const LOWEST_DB: f32 = -160.0;
/// Frames of the analysis: 171 ms, 5.9 Hz a bin.
const FRAMES: FrameDurations = FrameDurations::symmetric(8192, 4);
/// How fast the shown level falls.
const RELEASE_DB_PER_SECOND: f32 = 40.0;

/// The frequency of a point of the axis in Hz, `x` from 0 to 1.
#[must_use]
pub fn axis_hz(x: f32) -> f32 {
    AXIS_HZ.0 * libm::powf(AXIS_HZ.1 / AXIS_HZ.0, x)
}

/// Where a frequency lies on the axis, 0 to 1 inside it.
#[must_use]
pub fn axis_position(hz: f32) -> f32 {
    libm::logf(hz.max(1e-3) / AXIS_HZ.0) / libm::logf(AXIS_HZ.1 / AXIS_HZ.0)
}

/// Turns samples into levels, fast to rise and slow to fall. A sine of full scale has 0 dB.
pub struct Analyser {
    rate_hz: u32,
    transform: FrameTransform,
    scratch: TransformScratch,
    spectrum: Vec<Complex32>,
    history: History,
    filled: usize,
    /// Bins of each point: the first and the last, with fractions.
    ranges: Vec<(f32, f32)>,
    levels_db: Vec<f32>,
    reference_db: f32,
}

impl Analyser {
    /// An analyser with `points` points on the axis.
    #[must_use]
    pub fn new(rate_hz: u32, points: usize) -> Self {
        let shape = FRAMES.at_rate(rate_hz);
        let transform = FrameTransform::new(shape);
        let bins_per_hz = shape.window as f32 / rate_hz as f32;
        let half = 0.5 / points.max(2) as f32;
        let ranges = (0..points)
            .map(|i| {
                let x = i as f32 / (points.max(2) - 1) as f32;
                (
                    axis_hz(x - half) * bins_per_hz,
                    axis_hz(x + half) * bins_per_hz,
                )
            })
            .collect();
        Self {
            rate_hz,
            scratch: transform.make_scratch(),
            spectrum: vec![Complex32::default(); shape.bins()],
            history: History::new(shape.window),
            filled: 0,
            ranges,
            levels_db: vec![LOWEST_DB; points],
            reference_db: reference_db(rate_hz),
            transform,
        }
    }

    /// Takes in samples; true when the levels have changed.
    pub fn push(&mut self, samples: &[f32]) -> bool {
        let hop = self.transform.shape().hop;
        let mut changed = false;
        let mut rest = samples;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(rest.len().min(hop - self.filled));
            self.history.push(piece);
            self.filled += piece.len();
            rest = later;
            if self.filled == hop {
                self.filled = 0;
                self.take_frame();
                changed = true;
            }
        }
        changed
    }

    fn take_frame(&mut self) {
        let shape = self.transform.shape();
        let (older, newer) = self.history.parts();
        self.transform
            .analyse_into(older, newer, &mut self.scratch, &mut self.spectrum);
        let release = RELEASE_DB_PER_SECOND * shape.hop as f32 / self.rate_hz as f32;
        for (level, (low, high)) in self.levels_db.iter_mut().zip(&self.ranges) {
            let power = mean_power(&self.spectrum, *low, *high);
            let db = (10.0 * libm::log10f(power + 1e-20) - self.reference_db).max(LOWEST_DB);
            *level = db.max(*level - release);
        }
    }

    /// The levels in dB, from [`AXIS_HZ`].0 to .1.
    #[must_use]
    pub fn levels_db(&self) -> &[f32] {
        &self.levels_db
    }
}

/// Mean power between two places on the axis of bins: over the bins there, or, where those are wider than the stretch,
/// between the two next ones.
fn mean_power(spectrum: &[Complex32], low: f32, high: f32) -> f32 {
    let at = |bin: usize| spectrum.get(bin).map_or(0.0, |y| y.norm_sqr());
    if high - low < 1.0 {
        let middle = 0.5 * (low + high);
        let bin = middle as usize;
        let share = middle - bin as f32;
        // On the scale of levels, so that a peak has the same shape as everywhere.
        let log = |p: f32| libm::logf(p + 1e-20);
        return libm::expf(log(at(bin)) + share * (log(at(bin + 1)) - log(at(bin))));
    }
    let first = low.round() as usize;
    let end = (high.round() as usize).clamp(first + 1, spectrum.len().max(first + 1));
    (first..end).map(at).sum::<f32>() / (end - first) as f32
}

/// Level in dB of a full-scale sine in the units of unit-energy windows.
fn reference_db(rate_hz: u32) -> f32 {
    let (window, _) = FRAMES.at_rate(rate_hz).windows();
    let sum: f32 = window.iter().sum();
    20.0 * libm::log10f(0.5 * sum)
}

/// A noise spectrum in the units of [`Analyser::levels_db`].
#[must_use]
pub fn noise_levels_db(noise: &NoiseSpectrum, points: usize) -> Vec<f32> {
    let reference = reference_db(noise.rate_hz());
    (0..points)
        .map(|i| {
            let hz = axis_hz(i as f32 / (points.max(2) - 1) as f32);
            (10.0 * libm::log10f(noise.at_hz(hz)) - reference).max(LOWEST_DB)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    #[test]
    fn a_full_scale_sine_has_no_decibels_where_it_is() {
        for rate_hz in [44_100u32, 48_000, 96_000] {
            let mut analyser = Analyser::new(rate_hz, 300);
            let x: Vec<f32> = (0..rate_hz)
                .map(|i| (i as f32 * 1000.0 * std::f32::consts::TAU / rate_hz as f32).sin())
                .collect();
            assert!(analyser.push(&x));
            let (top, level) = analyser
                .levels_db()
                .iter()
                .enumerate()
                .max_by(|a, b| a.1.total_cmp(b.1))
                .unwrap();
            let hz = axis_hz(top as f32 / 299.0);
            assert!((hz / 1000.0 - 1.0).abs() < 0.03, "{hz}");
            // A point averages the four bins or so that lie next to it.
            assert!((-9.0..0.5).contains(level), "{level}");
            assert!(analyser.levels_db()[20] < -60.0);
        }
    }

    #[test]
    fn noise_and_its_spectrum_lie_on_each_other() {
        let mut rng = StableRng::new(3, 0);
        let x: Vec<f32> = (0..96_000).map(|_| 0.01 * rng.normal() as f32).collect();
        let noise = NoiseSpectrum::learn(48_000, &[&x]).unwrap();
        let mut analyser = Analyser::new(48_000, 200);
        analyser.push(&x);
        let drawn = noise_levels_db(&noise, 200);
        // High up many bins are averaged in a point, so both are steady; the shown level is the highest of late.
        let mean = |v: &[f32]| v[150..].iter().sum::<f32>() / 50.0;
        let difference = mean(analyser.levels_db()) - mean(&drawn);
        assert!((-1.0..3.0).contains(&difference), "{difference}");
    }

    #[test]
    fn the_axis_goes_both_ways() {
        for hz in [20.0f32, 440.0, 20_000.0] {
            assert!((axis_hz(axis_position(hz)) / hz - 1.0).abs() < 1e-4);
        }
    }
}
