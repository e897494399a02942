//! Minimum statistics: the floor between notes and between partials.

use pulp::{Arch, Simd, WithSimd};

use super::noise::FLOOR;

/// Time constant of the power smoothing, in hops of a quarter window (43 ms).
const SMOOTHING: f32 = 0.75;
/// Half width in bins of the smoothing over frequency after a gap.
const RESUMING: usize = 4;
/// The minimum is searched over this many stretches ...
const STRETCHES: usize = 8;
/// ... of this many hops each: 2.7 s in all.
const STRETCH_HOPS: usize = 8;
/// Half width of the quantile over frequency, in bins: 280 Hz, wider than a partial and its skirt.
const QUANTILE_HALF_WIDTH: usize = 48;
/// Values of a window that are looked at side by side, and places for all of them.
const LANES: usize = 16;
const PLACES: usize = (2 * QUANTILE_HALF_WIDTH + 1).next_multiple_of(LANES);
/// The quantile changes slowly over frequency: it is taken at every so many bins and interpolated.
const STRIDE: usize = 8;
/// The quantile over frequency that stands for the noise: the floor between the partials.
const QUANTILE: f32 = 0.3;
/// Minimum and quantile lie below the mean by this much on white noise (measured by the test of the tracker), and a noise
/// estimate had better err high: `shared/RECIPE.md` 7.2.
pub const BIAS: f32 = 4.2;

/// Minima over time of power spectra (Martin, "Noise power spectral density estimation based on optimal smoothing and
/// minimum statistics", IEEE TSAP 2001) and a low quantile over frequency of them, because a note that lasts longer than the
/// search window would otherwise pass for noise.
pub struct Minima {
    frames: usize,
    /// The next frame follows a gap, before which it may have been louder.
    resumes: bool,
    smoothed: Vec<f32>,
    stretch_minimum: Vec<f32>,
    stretches: Vec<Vec<f32>>,
    /// The lowest of all stretches, per bin.
    lowest: Vec<f32>,
    /// The last stride of the quantile in the making: its bin, the quantile of the minima there, and what is made of it.
    previous: (usize, f32, f32),
    arch: Arch,
}

impl Minima {
    /// For spectra of `bins` bins. Allocates everything it will ever need.
    #[must_use]
    pub fn new(bins: usize) -> Self {
        Self {
            frames: 0,
            resumes: false,
            smoothed: vec![0.0; bins],
            stretch_minimum: vec![f32::MAX; bins],
            stretches: vec![vec![f32::MAX; bins]; STRETCHES],
            lowest: vec![0.0; bins],
            previous: (0, 0.0, FLOOR),
            arch: Arch::new(),
        }
    }

    /// Smooths a frame's power and finds the minima; true at the end of a whole search. Never allocates.
    pub fn take_frame(&mut self, power: &[f32]) -> bool {
        if std::mem::take(&mut self.resumes) {
            for (f, s) in self.smoothed.iter_mut().enumerate() {
                let near = &power[f.saturating_sub(RESUMING)..(f + RESUMING + 1).min(power.len())];
                *s = s.min(near.iter().sum::<f32>() / near.len() as f32);
            }
        }
        let keep = if self.frames == 0 { 0.0 } else { SMOOTHING };
        self.frames += 1;
        for ((s, p), m) in self
            .smoothed
            .iter_mut()
            .zip(power)
            .zip(&mut self.stretch_minimum)
        {
            *s = keep * *s + (1.0 - keep) * p;
            *m = m.min(*s);
        }
        if self.frames.is_multiple_of(STRETCH_HOPS) {
            self.stretches.rotate_right(1);
            std::mem::swap(&mut self.stretches[0], &mut self.stretch_minimum);
            self.stretch_minimum.copy_from_slice(&self.smoothed);
        }
        self.lowest.copy_from_slice(&self.stretch_minimum);
        for minima in &self.stretches {
            for (lowest, m) in self.lowest.iter_mut().zip(minima) {
                *lowest = lowest.min(*m);
            }
        }
        self.frames.is_multiple_of(STRETCH_HOPS * STRETCHES)
    }

    /// What was heard before a gap says little about how loud the next frame is: where that is softer, it is smoothed over
    /// frequency instead of over time. Never allocates.
    pub const fn resume(&mut self) {
        self.resumes = true;
    }

    /// Power smoothed over 0.17 s.
    #[must_use]
    pub fn smoothed(&self) -> &[f32] {
        &self.smoothed
    }

    /// Minima of the smoothed power over 2.7 s.
    #[must_use]
    pub fn lowest(&self) -> &[f32] {
        &self.lowest
    }

    /// Number of strides that a quantile is made of.
    #[must_use]
    pub fn strides(&self) -> usize {
        (self.lowest.len() - 1).div_ceil(STRIDE) + 1
    }

    /// The quantile over frequency of the minima, times [`BIAS`], for some strides in rising order. Never allocates.
    pub fn take_quantiles(&mut self, strides: std::ops::Range<usize>, noise: &mut [f32]) {
        let bins = self.lowest.len();
        for stride in strides {
            let f = (stride * STRIDE).min(bins - 1);
            let to = (f + QUANTILE_HALF_WIDTH + 1).min(bins);
            let window = &self.lowest[f.saturating_sub(QUANTILE_HALF_WIDTH)..to];
            let (g0, near, value0) = self.previous;
            let quantile = self.arch.dispatch(Quantile { window, near });
            let value = (quantile * BIAS).max(FLOOR);
            let (g0, value0) = if stride == 0 {
                (0, value)
            } else {
                (g0, value0)
            };
            for (g, noise) in noise.iter_mut().enumerate().take(f + 1).skip(g0) {
                let t = if f > g0 {
                    (g - g0) as f32 / (f - g0) as f32
                } else {
                    1.0
                };
                *noise = value0 + t * (value - value0);
            }
            self.previous = (f, quantile, value);
        }
    }

    /// Forgets everything. Never allocates.
    pub fn clear(&mut self) {
        self.frames = 0;
        self.resumes = false;
        self.smoothed.fill(0.0);
        self.stretch_minimum.fill(f32::MAX);
        for m in &mut self.stretches {
            m.fill(f32::MAX);
        }
    }
}

/// The value below which the share [`QUANTILE`] of a window lies, found by walking up or down from a value near it: from one stride
/// to the next few values come and go, so it is a few steps away, and each looks at all values side by side.
struct Quantile<'a> {
    window: &'a [f32],
    near: f32,
}

impl WithSimd for Quantile<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        let count = self.window.len();
        let rank = (count.saturating_sub(1) as f32 * QUANTILE) as usize;
        // What is no number lies neither below nor above any.
        let mut values = [f32::NAN; PLACES];
        values[..count].copy_from_slice(self.window);
        let mut at = self.near;
        // One step more than there are values, should `near` be none of them.
        for _ in 0..=count {
            let around = Around::of(at, &values);
            if total(around.below) > rank {
                at = around
                    .next_below
                    .into_iter()
                    .fold(f32::NEG_INFINITY, f32::max);
            } else if count - total(around.above) <= rank {
                at = around.next_above.into_iter().fold(f32::INFINITY, f32::min);
            } else {
                break;
            }
        }
        at
    }
}

/// How the values of a window lie around one, those of each lane for themselves.
struct Around {
    /// How many are smaller, and how many larger.
    below: [i32; LANES],
    above: [i32; LANES],
    /// The largest of the smaller and the smallest of the larger ones.
    next_below: [f32; LANES],
    next_above: [f32; LANES],
}

impl Around {
    #[inline(always)]
    fn of(at: f32, values: &[f32; PLACES]) -> Self {
        let mut around = Self {
            below: [0; LANES],
            above: [0; LANES],
            next_below: [f32::NEG_INFINITY; LANES],
            next_above: [f32::INFINITY; LANES],
        };
        for vector in values.chunks_exact(LANES) {
            for (lane, &x) in vector.iter().enumerate() {
                let (smaller, larger) = (x < at, x > at);
                around.below[lane] += i32::from(smaller);
                around.above[lane] += i32::from(larger);
                let low = if smaller { x } else { f32::NEG_INFINITY };
                let high = if larger { x } else { f32::INFINITY };
                // Not `max` and `min`, which would look for what is no number.
                if low > around.next_below[lane] {
                    around.next_below[lane] = low;
                }
                if high < around.next_above[lane] {
                    around.next_above[lane] = high;
                }
            }
        }
        around
    }
}

fn total(counts: [i32; LANES]) -> usize {
    counts.iter().sum::<i32>() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    const BINS: usize = 513;

    /// Mean of the smoothed powers in dB, some frames after noise of -60 dB became noise of `then_db`.
    fn after(then_db: f32, frames: usize, resumes: bool) -> f32 {
        let mut minima = Minima::new(BINS);
        let mut rng = StableRng::new(6, 0);
        let mut hear = |minima: &mut Minima, db: f32| {
            let level = libm::exp10f(0.1 * db);
            let mut half = || rng.normal().powi(2) as f32;
            let power: Vec<f32> = (0..BINS).map(|_| 0.5 * level * (half() + half())).collect();
            minima.take_frame(&power);
        };
        for _ in 0..100 {
            hear(&mut minima, -60.0);
        }
        if resumes {
            minima.resume();
        }
        for _ in 0..frames {
            hear(&mut minima, then_db);
        }
        10.0 * (minima.smoothed().iter().sum::<f32>() / BINS as f32).log10()
    }

    #[test]
    fn quantiles_are_those_of_sorted_windows() {
        let mut rng = StableRng::new(7, 0);
        for bins in [1, 5, 48, 200, BINS] {
            // Twice over the same spectrum: what is near is what was left by the last frame. Few values, so that equals come.
            let mut minima = Minima::new(bins);
            for _ in 0..2 {
                for lowest in &mut minima.lowest {
                    *lowest = rng.below(30) as f32 + 0.5;
                }
                let mut noise = vec![0.0; bins];
                minima.take_quantiles(0..minima.strides(), &mut noise);
                for f in (0..bins).step_by(STRIDE).chain([bins - 1]) {
                    let to = (f + QUANTILE_HALF_WIDTH + 1).min(bins);
                    let mut slow =
                        minima.lowest[f.saturating_sub(QUANTILE_HALF_WIDTH)..to].to_vec();
                    slow.sort_by(f32::total_cmp);
                    assert_eq!(
                        noise[f],
                        slow[(slow.len() - 1) * 3 / 10] * BIAS,
                        "{bins} {f}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_softer_after_a_gap_is_believed_at_once_and_what_is_as_loud_stays() {
        let (slow, fast) = (after(-90.0, 1, false), after(-90.0, 1, true));
        println!("{slow:.1} {fast:.1} {:.1}", after(-60.0, 1, true));
        assert!(slow > -63.0 && (fast + 90.0).abs() < 1.0, "{slow} {fast}");
        // The minimum of two smooth powers is a little lower than either.
        assert!((after(-60.0, 1, true) + 60.0).abs() < 1.5);
        assert!((after(-60.0, 20, true) + 60.0).abs() < 0.5);
    }
}
