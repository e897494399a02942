//! Learning the noise while it is heard: as [`NoiseSpectrum::learn`], but sample by sample and without allocation.

use realfft::num_complex::Complex32;

use super::noise::{KEPT, NoiseSpectrum};
use super::noise_average::NoiseAverage;
use super::stft::{FrameTransform, History, TransformScratch};

/// Averages the spectrum of each channel of a stretch of noise.
pub struct NoiseLearner {
    rate_hz: u32,
    transform: FrameTransform,
    scratch: TransformScratch,
    spectrum: Vec<Complex32>,
    channels: Vec<Heard>,
    filled: usize,
    samples: usize,
    frames: u32,
}

struct Heard {
    history: History,
    average: NoiseAverage,
}

impl NoiseLearner {
    /// A learner that has heard nothing. Allocates everything it will ever need.
    #[must_use]
    pub fn new(rate_hz: u32, channels: usize) -> Self {
        let shape = KEPT.at_rate(rate_hz);
        let transform = FrameTransform::for_measuring(shape);
        Self {
            rate_hz,
            scratch: transform.make_scratch(),
            transform,
            spectrum: vec![Complex32::default(); shape.bins()],
            channels: (0..channels)
                .map(|_| Heard {
                    history: History::new(shape.window),
                    average: NoiseAverage::new(shape.bins(), rate_hz as f32 / shape.window as f32),
                })
                .collect(),
            filled: 0,
            samples: 0,
            frames: 0,
        }
    }

    /// Seconds heard since the last [`Self::clear`].
    #[must_use]
    pub fn seconds(&self) -> f32 {
        self.samples as f32 / self.rate_hz as f32
    }

    /// Whether enough was heard for a spectrum.
    #[must_use]
    pub const fn has_estimate(&self) -> bool {
        self.frames > 0
    }

    /// Forgets everything. Never allocates.
    pub fn clear(&mut self) {
        for heard in &mut self.channels {
            heard.history.clear();
            heard.average.clear();
        }
        self.filled = 0;
        self.samples = 0;
        self.frames = 0;
    }

    /// Takes in a block of any length, one slice a channel. Samples that are not finite count as silence. Never
    /// allocates.
    pub fn push(&mut self, block: &[&mut [f32]]) {
        let length = block.iter().map(|c| c.len()).min().unwrap_or(0);
        let shape = self.transform.shape();
        let mut start = 0;
        while start < length {
            // The first frame needs a whole window, each further one a hop.
            let due = if self.frames == 0 {
                shape.window
            } else {
                shape.hop
            };
            let n = (length - start).min(due - self.filled).min(PIECE);
            for (heard, samples) in self.channels.iter_mut().zip(block) {
                let mut piece = [0.0f32; PIECE];
                for (p, x) in piece.iter_mut().zip(&samples[start..start + n]) {
                    *p = if x.is_finite() { *x } else { 0.0 };
                }
                heard.history.push(&piece[..n]);
            }
            start += n;
            self.filled += n;
            self.samples += n;
            if self.filled == due {
                self.filled = 0;
                self.take_frame();
            }
        }
    }

    fn take_frame(&mut self) {
        for heard in &mut self.channels {
            let (older, newer) = heard.history.parts();
            self.transform
                .analyse_into(older, newer, &mut self.scratch, &mut self.spectrum);
            heard
                .average
                .add(self.spectrum.iter().map(|y| y.norm_sqr()));
        }
        self.frames += 1;
    }

    /// Writes what was learned about a channel; false, and `out` as it was, if that is nothing, or silence. `out` must
    /// be of the learner's rate. Never allocates.
    pub fn learned_into(&mut self, channel: usize, out: &mut NoiseSpectrum) -> bool {
        self.channels
            .get_mut(channel)
            .is_some_and(|heard| heard.average.settle_into(out))
    }
}

/// Samples copied at once.
const PIECE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    #[test]
    fn learns_what_the_whole_stretch_says_for_any_blocks() {
        let mut rng = StableRng::new(5, 0);
        let shape = KEPT.at_rate(48_000);
        let n = shape.window + 7 * shape.hop;
        let mut left: Vec<f32> = (0..n).map(|_| 0.1 * rng.normal() as f32).collect();
        let mut right: Vec<f32> = (0..n).map(|_| 0.01 * rng.normal() as f32).collect();
        let mut learner = NoiseLearner::new(48_000, 2);
        let mut out = NoiseSpectrum::white(48_000, 0.0);
        assert!(!learner.learned_into(0, &mut out));
        for block in [1usize, 333, 4096] {
            learner.clear();
            for (l, r) in left.chunks_mut(block).zip(right.chunks_mut(block)) {
                learner.push(&[l, r]);
            }
            for (c, x) in [&left, &right].into_iter().enumerate() {
                assert!(learner.learned_into(c, &mut out));
                assert_eq!(out, NoiseSpectrum::learn(48_000, &[x]).unwrap());
            }
        }
        assert!((learner.seconds() - n as f32 / 48_000.0).abs() < 1e-6);
    }

    #[test]
    fn silence_and_broken_samples_teach_nothing() {
        let mut learner = NoiseLearner::new(44_100, 1);
        let mut out = NoiseSpectrum::white(44_100, 0.25);
        learner.push(&[&mut [0.0; 30_000]]);
        assert!(!learner.learned_into(0, &mut out));
        learner.push(&[&mut [f32::NAN; 30_000]]);
        assert!(!learner.learned_into(0, &mut out));
        assert_eq!(out, NoiseSpectrum::white(44_100, 0.25));
        assert!(!learner.learned_into(1, &mut out));
    }
}
