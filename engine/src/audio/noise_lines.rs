//! Lines in a blindly tracked noise: mains hum and whistles, which stand still as no note does.

use super::hum::MAINS_HZ;

/// Grids keep within 0.4 % of them; 98 Hz (G2) is not 100 Hz.
const TOLERANCE: f32 = 0.004;
/// How well the frequency of a line is known, in Hz.
const PRECISION_HZ: f32 = 0.6;
/// Harmonics that are looked for, and how many of them must be there.
const SOUGHT: usize = 16;
const NEEDED: usize = 4;
/// A line is this much above the noise around it (whose estimate errs high).
const ABOVE: f32 = 2.0;
/// The minimum of a steady line lies below its mean by about this.
const MINIMUM_BIAS: f32 = 1.5;
/// Bins to either side that the main lobe of a line covers.
const LOBE: usize = 2;
/// Minima of so many searches (2.7 s each) must hold a line that is no hum: no note lasts that long. Partials that a riff has in common
/// do, ...
const SEARCHES: usize = 8;
/// ... but not at one level: in no more than so many searches is the minimum of a line louder than this times the lowest.
const UNEVEN_SEARCHES: usize = 2;
const EVEN: f32 = 2.0;

/// Finds lines in the minima over time of power spectra.
pub struct LineFinder {
    bin_hz: f32,
    /// Minima of earlier searches, newest first.
    earlier: Vec<Vec<f32>>,
    searches: usize,
}

impl LineFinder {
    /// Allocates everything it will ever need.
    #[must_use]
    pub fn new(bins: usize, bin_hz: f32) -> Self {
        Self {
            bin_hz,
            earlier: vec![vec![0.0; bins]; SEARCHES],
            searches: 0,
        }
    }

    /// Forgets everything. Never allocates.
    pub fn clear(&mut self) {
        self.searches = 0;
    }

    /// Remembers the minima of a whole search; call it once a search. Never allocates.
    pub fn remember(&mut self, minima: &[f32]) {
        self.earlier.rotate_right(1);
        self.earlier[0].copy_from_slice(minima);
        self.searches = (self.searches + 1).min(SEARCHES);
    }

    /// Adds the lines in `minima`, which stand out from `around`, what may be the space between them, to `noise`. Never allocates.
    pub fn add_lines(&mut self, minima: &[f32], around: &[f32], noise: &mut [f32]) {
        let mains_hz = MAINS_HZ
            .iter()
            .find_map(|nominal| self.find_mains(*nominal as f32, minima, around));
        if let Some(mains_hz) = mains_hz {
            let highest = ((minima.len() - 1) as f32 * self.bin_hz / mains_hz) as usize;
            for h in 1..=highest {
                self.add_harmonic(h as f32 * mains_hz, minima, around, noise);
            }
        }
        if self.searches == SEARCHES {
            for (f, (p, around)) in noise.iter_mut().zip(around).enumerate() {
                let lowest = self.lowest(f, minima);
                let louder = |m: &&Vec<f32>| m[f] > EVEN * lowest;
                if lowest > ABOVE * around
                    && self.earlier.iter().filter(louder).count() <= UNEVEN_SEARCHES
                {
                    *p = lowest * MINIMUM_BIAS;
                }
            }
        }
    }

    /// Adds a harmonic that hums if there is a line just there, no louder than it always was: a note that is held beside it, or on
    /// it, is none.
    fn add_harmonic(&self, wanted_hz: f32, minima: &[f32], around: &[f32], noise: &mut [f32]) {
        let Some((peak, hz)) = self.peak_near(wanted_hz, minima) else {
            return;
        };
        if !Self::is_near(hz, wanted_hz) {
            return;
        }
        let lobe = peak.saturating_sub(LOBE)..(peak + LOBE + 1).min(minima.len());
        for f in lobe {
            let lowest = self.lowest(f, minima);
            if lowest > ABOVE * around[f] {
                noise[f] = lowest * MINIMUM_BIAS;
            }
        }
    }

    /// The lowest of a bin's minima now and in the earlier searches.
    fn lowest(&self, f: usize, now: &[f32]) -> f32 {
        let earlier = self.earlier.iter().take(self.searches);
        earlier.map(|m| m[f]).fold(now[f], f32::min)
    }

    /// The top of a line in the bins around a frequency: its bin and its frequency.
    fn peak_near(&self, wanted_hz: f32, minima: &[f32]) -> Option<(usize, f32)> {
        let at = (wanted_hz / self.bin_hz).round() as usize;
        let peak = (at.max(2) - 1..=at + 1)
            .filter(|f| f + 1 < minima.len())
            .max_by(|a, b| minima[*a].total_cmp(&minima[*b]))?;
        let (left, middle, right) = (minima[peak - 1], minima[peak], minima[peak + 1]);
        if left > middle || right > middle {
            return None;
        }
        // The top of the parabola through the logarithms.
        let [left, middle, right] = [left, middle, right].map(|p| libm::logf(p.max(1e-30)));
        let bend = (left - 2.0 * middle + right).min(-1e-6);
        Some((
            peak,
            (peak as f32 + 0.5 * (left - right) / bend) * self.bin_hz,
        ))
    }

    /// Whether a line can be a harmonic that is wanted there.
    fn is_near(hz: f32, wanted_hz: f32) -> bool {
        (hz - wanted_hz).abs() <= PRECISION_HZ + TOLERANCE * wanted_hz
    }

    /// The mains frequency near `nominal` that enough harmonics agree on.
    fn find_mains(&self, nominal: f32, minima: &[f32], around: &[f32]) -> Option<f32> {
        let mut found = 0;
        let mut weighted = 0.0;
        let mut weights = 0.0;
        for h in 1..=SOUGHT {
            let wanted = nominal * h as f32;
            let Some((peak, hz)) = self.peak_near(wanted, minima) else {
                continue;
            };
            if minima[peak] <= ABOVE * around[peak] {
                continue;
            }
            if Self::is_near(hz, wanted) {
                found += 1;
                weighted += hz;
                weights += h as f32;
            }
        }
        (found >= NEEDED).then(|| weighted / weights)
    }
}
