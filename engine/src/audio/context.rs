//! Context features: smoothed powers around a bin, in time and frequency, at bounded cost per frame.
//!
//! Time means are running sums (`TimeMean`), frequency means are differences of a prefix sum, so a context costs the
//! same however wide it is. Running sums are refreshed from their frames a slice of bins at a time, so rounding
//! errors of a loud passage die out.

use serde::{Deserialize, Serialize};

use super::kernel::{BIN_TILE, Lane};

/// Which spectrum a feature looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plane {
    /// The whitened input Y.
    Noisy,
    /// The first estimate Z of an earlier step.
    First,
    /// A second estimate, from a longer window.
    Long,
}

/// How powers are averaged over time; frames are relative to the output frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mean {
    /// Frames `from..=to`.
    Span {
        /// First frame, at most `to`.
        from: i16,
        /// Last frame, at most the look-ahead.
        to: i16,
    },
    /// One-pole average with a time constant in frames, up to the output frame.
    Ema {
        /// Time constant.
        frames: f32,
    },
}

/// A power averaged over time and frequency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Power {
    /// What is averaged.
    pub plane: Plane,
    /// Over which frames.
    pub mean: Mean,
    /// Over how many bins, odd.
    pub bins: u16,
}

/// One context input of a model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Context {
    /// Log power at the bin plus `offset` bins.
    Power {
        /// Which power.
        power: Power,
        /// Distance in bins.
        offset: i16,
    },
    /// Log power at `numerator / denominator` times the frequency.
    Harmonic {
        /// Which power.
        power: Power,
        /// Multiple of the frequency.
        numerator: u8,
        /// Divisor of the frequency.
        denominator: u8,
    },
    /// Log of the decision-directed a priori SNR (Ephraim and Malah 1984) at the bin plus `offset`.
    APrioriSnr {
        /// Weight of the past.
        alpha: f32,
        /// Distance in bins.
        offset: i16,
    },
    /// How steady the phase advance over `lag` frames is: 0 for noise, 1 for a partial.
    Coherence {
        /// Frames between the two spectra.
        lag: u8,
        /// Time constant of the average in frames.
        frames: f32,
    },
    /// Log of the frequency.
    Frequency,
    /// Strength of the best harmonic series that has a partial here.
    Salience {
        /// Which power the partials are read from.
        power: Power,
    },
}

/// `log10(x)` to about 1e-5, the same on every machine; `x` must be positive and normal.
#[inline(always)]
#[must_use]
pub fn fast_log10(x: f32) -> f32 {
    let bits = x.to_bits() as i32;
    // Take the exponent so that the mantissa lies in [sqrt(1/2), sqrt(2)).
    let e = (bits - 0x3f35_04f3) >> 23;
    let m = f32::from_bits((bits - (e << 23)) as u32) - 1.0;
    let q = LOG[0] + m * (LOG[1] + m * (LOG[2] + m * (LOG[3] + m * (LOG[4] + m * LOG[5]))));
    e as f32 * std::f32::consts::LOG10_2 + m * q
}

/// `log10(1 + m) / m` on `[sqrt(1/2) - 1, sqrt(2) - 1]` in rising powers of m, by Chebyshev fit.
const LOG: [f32; 6] = [
    0.434_296_52,
    -0.217_105_4,
    0.144_432_35,
    -0.110_301_38,
    0.095_850_09,
    -0.062_270_5,
];

/// [`fast_log10`] of neighbouring lanes at once; written so that the compiler uses vectors.
#[inline(always)]
#[must_use]
pub fn fast_log10_lanes(x: Lane) -> Lane {
    let mut e = [0i32; BIN_TILE];
    let mut m = [0.0f32; BIN_TILE];
    for i in 0..BIN_TILE {
        let bits = x[i].to_bits() as i32;
        e[i] = (bits - 0x3f35_04f3) >> 23;
        m[i] = f32::from_bits((bits - (e[i] << 23)) as u32) - 1.0;
    }
    let mut q = [LOG[5]; BIN_TILE];
    for c in LOG.iter().rev().skip(1) {
        for (q, m) in q.iter_mut().zip(&m) {
            *q = c + m * *q;
        }
    }
    let mut log = [0.0; BIN_TILE];
    for i in 0..BIN_TILE {
        log[i] = e[i] as f32 * std::f32::consts::LOG10_2 + m[i] * q[i];
    }
    log
}

/// Log of smoothed noisy powers in units of the noise: nearly log SNR above the noise, flat below it.
#[inline(always)]
#[must_use]
pub fn log_noisy(power: Lane) -> Lane {
    fast_log10_lanes(power.map(|p| {
        let above = if p > 1.0 { p - 1.0 } else { 0.0 };
        above + 0.03 + 0.02 * p
    }))
}

/// Log of smoothed powers of an estimate in units of the noise.
#[inline(always)]
#[must_use]
pub fn log_estimate(power: Lane) -> Lane {
    fast_log10_lanes(power.map(|p| p + 0.01))
}

/// The newest frames of a power spectrum.
pub struct PowerRing {
    frames: Vec<f32>,
    bins: usize,
    depth: usize,
    newest: usize,
}

impl PowerRing {
    /// Holds `depth` frames of silence.
    #[must_use]
    pub fn new(bins: usize, depth: usize) -> Self {
        Self {
            frames: vec![0.0; bins * depth],
            bins,
            depth,
            newest: 0,
        }
    }

    /// Makes room for the next frame and gives it out to be written.
    pub fn push(&mut self) -> &mut [f32] {
        self.newest = (self.newest + 1) % self.depth;
        &mut self.frames[self.newest * self.bins..][..self.bins]
    }

    /// The frame `age` frames before the newest; `age` below the depth.
    #[must_use]
    pub fn frame(&self, age: usize) -> &[f32] {
        let i = (self.newest + self.depth - age) % self.depth;
        &self.frames[i * self.bins..][..self.bins]
    }

    /// Back to silence.
    pub fn clear(&mut self) {
        self.frames.fill(0.0);
    }
}

/// How many frames it takes until every bin of a running sum has been computed afresh.
const REFRESH_FRAMES: usize = 256;

/// A power averaged over time, updated once a frame, with its prefix sum over frequency.
pub struct TimeMean {
    plane: Plane,
    mean: Mean,
    /// Age of the newest frame inside the mean, counted from the newest frame known.
    age: usize,
    sum: Vec<f64>,
    /// 1 / frames of the sum.
    scale: f64,
    /// Prefix sum over frequency of the mean; empty when only single bins are asked for.
    prefix: Vec<f64>,
    refresh: usize,
}

impl TimeMean {
    /// Silence.
    #[must_use]
    pub fn new(plane: Plane, mean: Mean, bins: usize, lookahead: usize) -> Self {
        let to = match mean {
            Mean::Span { to, .. } => i64::from(to),
            Mean::Ema { .. } => 0,
        };
        Self {
            plane,
            mean,
            age: usize::try_from(lookahead as i64 - to).unwrap_or(0),
            sum: vec![0.0; bins],
            scale: match mean {
                Mean::Span { from, to } => {
                    1.0 / f64::from(i32::from(to) - i32::from(from) + 1).max(1.0)
                }
                Mean::Ema { .. } => 1.0,
            },
            prefix: Vec::new(),
            refresh: 0,
        }
    }

    /// Prepares for questions about `bins` bins at a time. Allocates.
    pub fn will_ask(&mut self, bins: u16) {
        if bins > 1 {
            self.prefix.resize(self.sum.len() + 1, 0.0);
        }
    }

    /// Whether this is the mean asked for.
    #[must_use]
    pub fn is(&self, plane: Plane, mean: Mean) -> bool {
        self.plane == plane && self.mean == mean
    }

    /// The plane it reads.
    #[must_use]
    pub const fn plane(&self) -> Plane {
        self.plane
    }

    /// Frames that the ring must hold for this mean.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.age + self.frames() + 1
    }

    fn frames(&self) -> usize {
        match self.mean {
            Mean::Span { from, to } => {
                usize::try_from(i32::from(to) - i32::from(from) + 1).unwrap_or(1)
            }
            Mean::Ema { .. } => 1,
        }
    }

    /// Takes in the newest frame of `ring`.
    pub fn update(&mut self, ring: &PowerRing) {
        let newest = ring.frame(self.age);
        match self.mean {
            Mean::Span { .. } => {
                let frames = self.frames();
                let oldest = ring.frame(self.age + frames);
                for (s, (n, o)) in self.sum.iter_mut().zip(newest.iter().zip(oldest)) {
                    *s += f64::from(*n) - f64::from(*o);
                }
                let slice = self.sum.len().div_ceil(REFRESH_FRAMES);
                let range = self.refresh..(self.refresh + slice).min(self.sum.len());
                for (f, s) in range.clone().zip(&mut self.sum[range.clone()]) {
                    *s = (0..frames)
                        .map(|a| f64::from(ring.frame(self.age + a)[f]))
                        .sum();
                }
                self.refresh = if range.end >= self.sum.len() {
                    0
                } else {
                    range.end
                };
            }
            Mean::Ema { frames } => {
                let keep = libm::exp(-1.0 / f64::from(frames.max(0.05)));
                for (s, n) in self.sum.iter_mut().zip(newest) {
                    *s += (1.0 - keep) * (f64::from(*n) - *s);
                }
            }
        }
        let mut total = 0.0;
        for (p, s) in self.prefix.iter_mut().skip(1).zip(&self.sum) {
            total += s * self.scale;
            *p = total;
        }
    }

    /// The mean over `bins` bins about `bin`, fewer at the ends of the spectrum; never negative.
    #[inline(always)]
    #[must_use]
    pub fn at(&self, bin: usize, bins: u16) -> f32 {
        if bins <= 1 {
            return ((self.sum[bin] * self.scale) as f32).max(0.0);
        }
        let half = usize::from(bins / 2);
        let low = bin.saturating_sub(half);
        let high = (bin + half + 1).min(self.prefix.len() - 1);
        // The sum is taken in 64 bits, because large numbers cancel; the division need not be.
        ((self.prefix[high] - self.prefix[low]) as f32 / (high - low) as f32).max(0.0)
    }

    /// Marks the bins whose mean over `bins` bins is above `threshold`.
    pub fn mark_above(&self, bins: u16, threshold: f32, hits: &mut [bool]) {
        let half = usize::from(bins / 2);
        let count = hits.len();
        if bins <= 1 || count <= 2 * half {
            for (f, hit) in hits.iter_mut().enumerate() {
                *hit |= self.at(f, bins) > threshold;
            }
            return;
        }
        for f in (0..half).chain(count - half..count) {
            hits[f] |= self.at(f, bins) > threshold;
        }
        let limit = f64::from(threshold) * (2 * half + 1) as f64;
        let inner = hits[half..count - half].iter_mut();
        for (hit, (low, high)) in inner.zip(self.prefix.iter().zip(&self.prefix[2 * half + 1..])) {
            *hit |= high - low > limit;
        }
    }

    /// Back to silence.
    pub fn clear(&mut self) {
        self.sum.fill(0.0);
        self.prefix.fill(0.0);
        self.refresh = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    #[test]
    fn fast_log_is_close() {
        let mut x = 1e-6f32;
        while x < 1e12 {
            let want = f64::from(x).log10();
            assert!((f64::from(fast_log10(x)) - want).abs() < 5e-5, "{x}");
            let lanes = std::array::from_fn(|i| x * (1.0 + i as f32));
            assert_eq!(fast_log10_lanes(lanes), lanes.map(fast_log10));
            x *= 1.0137;
        }
    }

    #[test]
    fn means_agree_with_sums_written_out() {
        let (bins, lookahead) = (40, 4);
        let spans = [(0, 0), (-3, 3), (-40, 4), (1, 4), (-9, -5)];
        let mut means: Vec<TimeMean> = spans
            .iter()
            .map(|&(from, to)| {
                TimeMean::new(Plane::Noisy, Mean::Span { from, to }, bins, lookahead)
            })
            .collect();
        for mean in &mut means {
            mean.will_ask(101);
        }
        let depth = means.iter().map(TimeMean::depth).max().unwrap();
        let mut ring = PowerRing::new(bins, depth);
        let mut rng = StableRng::new(3, 0);
        let mut frames: Vec<Vec<f32>> = Vec::new();
        for t in 0..200i32 {
            let frame: Vec<f32> = (0..bins)
                .map(|_| rng.normal().powi(2) as f32 * 1e3)
                .collect();
            ring.push().copy_from_slice(&frame);
            frames.push(frame);
            for (m, (from, to)) in means.iter_mut().zip(spans) {
                m.update(&ring);
                let tau = t - lookahead as i32;
                for width in [1u16, 5, 101] {
                    for bin in [0usize, 7, 39] {
                        let half = usize::from(width / 2);
                        let (low, high) = (bin.saturating_sub(half), (bin + half).min(bins - 1));
                        let mut sum = 0.0f64;
                        for s in tau + i32::from(from)..=tau + i32::from(to) {
                            let frame = usize::try_from(s).ok().and_then(|s| frames.get(s));
                            sum += frame
                                .map_or(0.0, |p| p[low..=high].iter().map(|x| f64::from(*x)).sum());
                        }
                        let want = sum / (f64::from(to - from + 1) * (high - low + 1) as f64);
                        assert!((f64::from(m.at(bin, width)) - want).abs() < 1e-3 * want.max(1.0));
                    }
                }
            }
        }
    }
}
