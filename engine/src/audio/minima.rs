//! Minimum statistics: the floor between notes and between partials.

use super::noise::FLOOR;
use super::sorted_window::SortedWindow;

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
    window: SortedWindow,
    /// The last stride of the quantile in the making.
    previous: (usize, f32),
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
            window: SortedWindow::new(QUANTILE_HALF_WIDTH),
            previous: (0, FLOOR),
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
            if stride == 0 {
                self.window.start(&self.lowest);
            } else {
                for g in self.previous.0 + 1..=f {
                    self.window.move_to(g, &self.lowest);
                }
            }
            let value = (self.window.quantile(QUANTILE) * BIAS).max(FLOOR);
            if stride == 0 {
                self.previous = (0, value);
            }
            let (g0, value0) = self.previous;
            for (g, noise) in noise.iter_mut().enumerate().take(f + 1).skip(g0) {
                let t = if f > g0 {
                    (g - g0) as f32 / (f - g0) as f32
                } else {
                    1.0
                };
                *noise = value0 + t * (value - value0);
            }
            self.previous = (f, value);
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
    fn what_is_softer_after_a_gap_is_believed_at_once_and_what_is_as_loud_stays() {
        let (slow, fast) = (after(-90.0, 1, false), after(-90.0, 1, true));
        println!("{slow:.1} {fast:.1} {:.1}", after(-60.0, 1, true));
        assert!(slow > -63.0 && (fast + 90.0).abs() < 1.0, "{slow} {fast}");
        // The minimum of two smooth powers is a little lower than either.
        assert!((after(-60.0, 1, true) + 60.0).abs() < 1.5);
        assert!((after(-60.0, 20, true) + 60.0).abs() < 0.5);
    }
}
