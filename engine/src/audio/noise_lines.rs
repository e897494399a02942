//! Lines in a blindly tracked noise: mains hum and whistles, which stand still as no note does.

use super::hum::MAINS_HZ;
use super::noise::NoiseSpectrum;

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
/// Minima of so many searches (2.7 s each) must hold a line that is no hum: no note lasts that long.
const SEARCHES: usize = 8;

/// Finds lines in the minima over time of power spectra.
pub struct LineFinder {
    bin_hz: f32,
    /// Minima of earlier searches, newest first.
    earlier: Vec<Vec<f32>>,
    searches: usize,
    /// The mains frequency, if it hums.
    mains_hz: Option<f32>,
}

impl LineFinder {
    /// Allocates everything it will ever need.
    #[must_use]
    pub fn new(bins: usize, bin_hz: f32) -> Self {
        Self {
            bin_hz,
            earlier: vec![vec![0.0; bins]; SEARCHES],
            searches: 0,
            mains_hz: None,
        }
    }

    /// Forgets everything. Never allocates.
    pub fn clear(&mut self) {
        self.searches = 0;
        self.mains_hz = None;
    }

    /// Remembers the minima of a whole search; call it once a search. Never allocates.
    pub fn remember(&mut self, minima: &[f32]) {
        self.earlier.rotate_right(1);
        self.earlier[0].copy_from_slice(minima);
        self.searches = (self.searches + 1).min(SEARCHES);
    }

    /// Adds the lines in `minima` to `noise`, in which the space between them is known. Never allocates.
    pub fn add_lines(&mut self, minima: &[f32], noise: &mut NoiseSpectrum) {
        self.mains_hz = MAINS_HZ
            .iter()
            .find_map(|nominal| self.find_mains(*nominal as f32, minima, noise));
        if let Some(mains_hz) = self.mains_hz {
            let bins = minima.len();
            let highest = ((bins - 1) as f32 * self.bin_hz / mains_hz) as usize;
            for h in 1..=highest {
                let centre = (h as f32 * mains_hz / self.bin_hz).round() as usize;
                let lobe = centre.saturating_sub(LOBE)..(centre + LOBE + 1).min(bins);
                let places = noise.power[lobe.clone()].iter_mut();
                for (p, minimum) in places.zip(&minima[lobe]) {
                    add_line(*minimum, p);
                }
            }
        }
        if self.searches == SEARCHES {
            for (f, (p, now)) in noise.power.iter_mut().zip(minima).enumerate() {
                let lowest = self.earlier.iter().map(|m| m[f]).fold(*now, f32::min);
                add_line(lowest, p);
            }
        }
    }

    /// The mains frequency near `nominal` that enough harmonics agree on.
    fn find_mains(&self, nominal: f32, minima: &[f32], noise: &NoiseSpectrum) -> Option<f32> {
        let mut found = 0;
        let mut weighted = 0.0;
        let mut weights = 0.0;
        for h in 1..=SOUGHT {
            let wanted = nominal * h as f32;
            let at = (wanted / self.bin_hz).round() as usize;
            let Some(peak) = (at.max(2) - 1..=at + 1)
                .filter(|f| f + 1 < minima.len())
                .max_by(|a, b| minima[*a].total_cmp(&minima[*b]))
            else {
                break;
            };
            let (left, middle, right) = (minima[peak - 1], minima[peak], minima[peak + 1]);
            if middle <= ABOVE * noise.power[peak] || left > middle || right > middle {
                continue;
            }
            // The top of the parabola through the logarithms.
            let [left, middle, right] = [left, middle, right].map(|p| libm::logf(p.max(1e-30)));
            let bend = (left - 2.0 * middle + right).min(-1e-6);
            let hz = (peak as f32 + 0.5 * (left - right) / bend) * self.bin_hz;
            if (hz - wanted).abs() <= PRECISION_HZ + TOLERANCE * wanted {
                found += 1;
                weighted += hz;
                weights += h as f32;
            }
        }
        (found >= NEEDED).then(|| weighted / weights)
    }
}

fn add_line(minimum: f32, noise: &mut f32) {
    if minimum > ABOVE * *noise {
        *noise = minimum * MINIMUM_BIAS;
    }
}
