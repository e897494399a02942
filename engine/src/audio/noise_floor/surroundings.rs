//! What is seen around a bin: levels over several stretches of time and of frequency, relative to a quantile of minima.

use pulp::{Arch, Simd, WithSimd};

use super::selection::{Pass, Selection};
use crate::audio::kernel::BINS_PER_PASS;

/// Values per bin by which the level of the noise is judged.
pub const CONTEXTS: usize = 17;
/// With two more, by which it is only judged how steady it is. By what they say of its level wind is taken for music (guitar at
/// 0 dB: 1.1 dB lost).
pub const SEEN: usize = CONTEXTS + 2;
/// Highest frequency that is looked at in Hz; above it the noise is smooth and instruments are soft.
const HIGHEST_HZ: f32 = 10_000.0;
/// Frames of the means: 0.5 s and 2.7 s.
const MEAN_FRAMES: f32 = 12.0;
const SLOW_FRAMES: f32 = 64.0;
/// Half widths in bins of the near and the wide neighbourhood, 23 and 70 Hz.
const NEAR: usize = 4;
const WIDE: usize = 12;
/// Keeps logarithms of silence finite.
const TINY: f32 = 1e-14;

/// What the tracker knows of a frame, per bin.
pub struct Frame<'a> {
    /// Power smoothed over 0.17 s.
    pub smoothed: &'a [f32],
    /// Minima of that over 2.7 s.
    pub lowest: &'a [f32],
    /// Low quantile over 560 Hz of the minima, times `bias`.
    pub quantile: &'a [f32],
    /// Factor in `quantile`.
    pub bias: f32,
}

impl Frame<'_> {
    /// What the noise of bin `f` is told relative to.
    #[must_use]
    pub fn reference(&self, f: usize) -> f32 {
        self.quantile[f] / self.bias
    }
}

/// Keeps what is seen up to date, frame after frame, and tells it bin after bin.
pub struct Surroundings {
    bins: usize,
    frames: usize,
    mean: Vec<f32>,
    slow: Vec<f32>,
    /// Means of the logarithm of the smoothed power and of its square.
    log_mean: Vec<f32>,
    log_square: Vec<f32>,
    /// The same of the low quantile over the wide neighbourhood: what lies between the partials.
    low_mean: Vec<f32>,
    low_square: Vec<f32>,
    log_hz: Vec<f32>,
    log_total: f32,
    /// Logarithms of the mean, of the smoothed power and of its minima, up to the last bin that a window reaches: a quantile of
    /// logarithms is the logarithm of the quantile. Behind the last bin there is room for those of a whole pass.
    logs: [Vec<f32>; 3],
    logged: usize,
    near_mean: Selection,
    near_lowest: Selection,
    wide_mean: Selection,
    wide_low: Selection,
    next: usize,
    arch: Arch,
}

fn log(x: f32) -> f32 {
    libm::logf(x + TINY)
}

impl Surroundings {
    /// For spectra of `bins` bins of `bin_hz`. Allocates everything it will ever need.
    #[must_use]
    pub fn new(bins: usize, bin_hz: f32) -> Self {
        let looked_at = ((HIGHEST_HZ / bin_hz) as usize).min(bins);
        let seen = (looked_at + WIDE).min(bins);
        Self {
            bins: looked_at,
            frames: 0,
            mean: vec![0.0; seen],
            slow: vec![0.0; seen],
            log_mean: vec![0.0; looked_at],
            log_square: vec![0.0; looked_at],
            low_mean: vec![0.0; looked_at],
            low_square: vec![0.0; looked_at],
            log_hz: (0..looked_at)
                .map(|f| libm::logf(f as f32 * bin_hz + 15.0))
                .collect(),
            log_total: 0.0,
            logs: std::array::from_fn(|_| vec![0.0; seen + BINS_PER_PASS]),
            logged: 0,
            near_mean: Selection::new(NEAR, &[0.2, 0.8]),
            near_lowest: Selection::new(NEAR, &[0.2]),
            wide_mean: Selection::new(WIDE, &[0.3, 0.7]),
            wide_low: Selection::new(WIDE, &[0.3]),
            next: 0,
            arch: Arch::new(),
        }
    }

    /// Bins that are looked at, from bin 0 on.
    #[must_use]
    pub const fn bins(&self) -> usize {
        self.bins
    }

    /// The bin that [`Self::next_into`] tells of.
    #[must_use]
    pub const fn next_bin(&self) -> usize {
        self.next
    }

    /// Takes in the power of the next frame. Never allocates.
    pub fn begin_frame(&mut self, power: &[f32]) {
        self.frames += 1;
        self.next = 0;
        let share = |frames: f32| 1.0 / (self.frames as f32).min(frames);
        let (fast, slow) = (share(MEAN_FRAMES), share(SLOW_FRAMES));
        self.logged = 0;
        let mut total = 0.0;
        for ((mean, s), p) in self.mean.iter_mut().zip(&mut self.slow).zip(power) {
            *mean += fast * (p - *mean);
            *s += slow * (p - *s);
            total += *s;
        }
        self.log_total = log(total);
    }

    /// Bins of the next pass: as many as a pass has, if there are so many left.
    #[must_use]
    pub fn next_count(&self) -> usize {
        (self.bins - self.next).min(BINS_PER_PASS)
    }

    /// The values of the bins of the next pass, [`Self::next_count`] of them, those about their steadiness last. Never allocates.
    pub fn next_into(&mut self, frame: &Frame<'_>, values: &mut [Pass; SEEN]) {
        let arch = self.arch;
        arch.dispatch(Next {
            surroundings: self,
            frame,
            values,
        });
    }

    /// Forgets what was heard. Never allocates.
    pub fn clear(&mut self) {
        self.frames = 0;
        self.next = 0;
        for means in [
            &mut self.mean,
            &mut self.slow,
            &mut self.log_mean,
            &mut self.log_square,
            &mut self.low_mean,
            &mut self.low_square,
        ] {
            means.fill(0.0);
        }
    }
}

/// One pass of [`Surroundings::next_into`].
struct Next<'a> {
    surroundings: &'a mut Surroundings,
    frame: &'a Frame<'a>,
    values: &'a mut [Pass; SEEN],
}

impl WithSimd for Next<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            surroundings: around,
            frame,
            values,
        } = self;
        let (first, count) = (around.next, around.next_count());
        around.next += count;
        let seen = around.mean.len();
        let reached = (first + count + WIDE).min(seen);
        for g in around.logged..reached {
            around.logs[0][g] = log(around.mean[g]);
            around.logs[1][g] = log(frame.smoothed[g]);
            around.logs[2][g] = log(frame.lowest[g]);
        }
        around.logged = reached;
        let [means, levels, minima] = &around.logs;
        let (mut near, mut wide) = ([[0.0; BINS_PER_PASS]; 2], [[0.0; BINS_PER_PASS]; 2]);
        let [mut near_minima, mut low_minima, mut low] = [[[0.0; BINS_PER_PASS]]; 3];
        let pass = (first, count);
        around.near_mean.pick_into(means, seen, pass, &mut near);
        around.wide_mean.pick_into(means, seen, pass, &mut wide);
        around
            .near_lowest
            .pick_into(minima, seen, pass, &mut near_minima);
        around
            .wide_low
            .pick_into(minima, seen, pass, &mut low_minima);
        around.wide_low.pick_into(levels, seen, pass, &mut low);
        let share = 1.0 / (around.frames as f32).min(SLOW_FRAMES);
        for i in 0..count {
            let f = first + i;
            let (mean, level, minimum) = (means[f], levels[f], minima[f]);
            around.log_mean[f] += share * (level - around.log_mean[f]);
            around.log_square[f] += share * (level * level - around.log_square[f]);
            let (log_mean, log_square) = (around.log_mean[f], around.log_square[f]);
            let low = low[0][i];
            around.low_mean[f] += share * (low - around.low_mean[f]);
            around.low_square[f] += share * (low * low - around.low_square[f]);
            let low_mean = around.low_mean[f];
            let low_variance = (around.low_square[f] - low_mean * low_mean).max(0.0);
            let variance = (log_square - log_mean * log_mean).max(0.0);
            let reference = log(frame.reference(f));
            let slow = log(around.slow[f]);
            let [wide_low, wide_high] = [wide[0][i], wide[1][i]];
            let [near_low, near_high] = [near[0][i], near[1][i]];
            let (near_minimum, low_minimum) = (near_minima[0][i], low_minima[0][i]);
            let spread = |x: f32, least: f32| libm::logf(x.max(0.0) + least);
            let seen = [
                // Levels.
                level - reference,
                mean - reference,
                slow - reference,
                minimum - reference,
                log_mean - reference,
                wide_low - reference,
                low_minimum - reference,
                near_low - reference,
                near_minimum - reference,
                // How steady it is.
                spread(variance.sqrt(), 0.05),
                spread(slow - minimum, 0.1),
                // How even its neighbourhood is.
                spread(wide_high - wide_low, 0.2),
                spread(near_high - near_low, 0.2),
                // How far it stands out.
                mean - near_low,
                minimum - near_minimum,
                around.log_hz[f],
                around.log_total - reference,
                // How steady what lies between the partials is.
                spread(low_variance.sqrt(), 0.05),
                low_mean - low_minimum,
            ];
            for (place, value) in values.iter_mut().zip(seen) {
                place[i] = value;
            }
        }
    }
}
