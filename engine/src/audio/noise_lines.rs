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

#[cfg(test)]
mod tests {
    use super::*;

    const BIN_HZ: f32 = 48_000.0 / 8192.0;
    const BINS: usize = 512;
    const AROUND: f32 = 1.0;

    /// Minima of noise with the main lobes of lines at these frequencies and powers.
    fn minima(lines: &[(f32, f32)]) -> Vec<f32> {
        (0..BINS)
            .map(|f| {
                let lobes = lines.iter().map(|(hz, power)| {
                    let x = f as f32 - hz / BIN_HZ;
                    power * libm::expf(-1.5 * x * x)
                });
                0.1 * AROUND + lobes.sum::<f32>()
            })
            .collect()
    }

    /// The noise at these frequencies after the last of several searches.
    fn found(searches: &[Vec<f32>], hz: &[f32]) -> Vec<f32> {
        let mut finder = LineFinder::new(BINS, BIN_HZ);
        let (last, earlier) = searches.split_last().unwrap();
        for minima in earlier {
            finder.remember(minima);
        }
        let mut noise = vec![AROUND; BINS];
        finder.add_lines(last, &vec![AROUND; BINS], &mut noise);
        hz.iter()
            .map(|hz| noise[(hz / BIN_HZ).round() as usize])
            .collect()
    }

    fn hum() -> Vec<(f32, f32)> {
        [50.0, 100.0, 200.0, 250.0, 300.0]
            .map(|hz| (hz, 50.0))
            .to_vec()
    }

    #[test]
    fn what_sounds_beside_a_harmonic_is_no_hum() {
        // D3 beside 150 Hz, in the bin next to it; F4 beside 350 Hz, too close to tell.
        let mut lines = hum();
        lines.extend([(146.8, 1000.0), (349.2, 1000.0)]);
        let db = found(&[minima(&lines)], &[100.0, 200.0, 146.8, 349.2]);
        assert!(db[0] > 30.0 && db[1] > 30.0, "{db:?}");
        assert_eq!(db[2], AROUND);
        assert!(db[3] > 500.0, "{db:?}");
    }

    #[test]
    fn hum_is_no_louder_than_it_was() {
        let before = minima(&[hum(), vec![(350.0, 20.0)]].concat());
        let with_note = minima(&[hum(), vec![(349.2, 1000.0)]].concat());
        let there = found(&[before, with_note], &[349.2])[0];
        assert!((15.0..40.0).contains(&there), "{there}");
    }

    #[test]
    fn lines_that_are_no_hum_stand_still_for_twenty_seconds() {
        let line = |power: f32| minima(&[(1000.0, power)]);
        let at = |searches: Vec<Vec<f32>>| found(&searches, &[1000.0])[0];
        assert!(at(vec![line(50.0); 9]) > 30.0);
        assert_eq!(at(vec![line(50.0); 7]), AROUND);
        // Notes of its pitch sounded through two of the searches, ...
        let mut notes = vec![line(50.0); 9];
        notes[2] = line(1000.0);
        notes[5] = line(1000.0);
        assert!(at(notes.clone()) > 30.0);
        // ... or it was the partial of a riff.
        for m in [0, 4, 6] {
            notes[m] = line(1000.0);
        }
        assert_eq!(at(notes), AROUND);
    }
}
