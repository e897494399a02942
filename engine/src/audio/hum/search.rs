//! Is there hum, and at which frequency? Where hum is, the phases of many harmonics advance in step from hop to hop.

use realfft::num_complex::Complex32;

use super::comb::Comb;

/// Harmonics that are looked at.
const SOUGHT: usize = 16;
/// Grids keep within 0.4 % of their nominal frequency; ...
pub(super) const TOLERANCE: f64 = 0.004;
/// ... so many frequencies to either side are tried.
const TRIED: usize = 20;
/// A harmonic agrees if its phases advance as they should by this mean cosine or more.
const AGREES: f32 = 0.7;
/// After so many hops, ...
const LEAST_HOPS: usize = 8;
/// ... so many must agree; what is found is put to a harder test before it is believed.
const NEEDED: usize = 5;
/// Memory in hops.
const MEMORY: f32 = 24.0;

/// Looks for hum around one nominal frequency.
#[derive(Clone)]
pub(super) struct Search {
    nominal_hz: f64,
    comb: Comb,
    now: Vec<Complex32>,
    before: Vec<Complex32>,
    /// Mean advance of the phase of each harmonic, as a phasor.
    advance: Vec<Complex32>,
    /// For each frequency tried, the advance of each harmonic.
    wanted: Vec<[Complex32; SOUGHT]>,
    hops: usize,
}

impl Search {
    /// Allocates everything it will ever need; hops are of `hop` samples.
    pub(super) fn new(rate_hz: u32, nominal_hz: f64, hop: usize) -> Self {
        let hop_seconds = hop as f64 / f64::from(rate_hz);
        let wanted = (0..=2 * TRIED)
            .map(|i| {
                let offset_hz = offset(nominal_hz, i);
                std::array::from_fn(|h| {
                    let angle = std::f64::consts::TAU * (h + 1) as f64 * offset_hz * hop_seconds;
                    Complex32::new(libm::cos(angle) as f32, libm::sin(angle) as f32)
                })
            })
            .collect();
        let mut search = Self {
            nominal_hz,
            comb: Comb::new(rate_hz, SOUGHT),
            now: vec![Complex32::default(); SOUGHT],
            before: vec![Complex32::default(); SOUGHT],
            advance: vec![Complex32::default(); SOUGHT],
            wanted,
            hops: 0,
        };
        search.clear();
        search
    }

    pub(super) fn clear(&mut self) {
        self.comb.start(self.nominal_hz, SOUGHT);
        self.before.fill(Complex32::default());
        self.advance.fill(Complex32::default());
        self.hops = 0;
    }

    pub(super) const fn comb_mut(&mut self) -> &mut Comb {
        &mut self.comb
    }

    /// Ends a hop; how well the harmonics agree on hum, and on which frequency, if they do.
    pub(super) fn end_hop(&mut self, hop: usize) -> Option<(f32, f64)> {
        self.comb.end_hop(hop, &mut self.now);
        self.hops += 1;
        // The first hop has nothing before it, the second no window before it.
        let counted = self.hops.saturating_sub(2);
        if counted > 0 {
            let share = (1.0 / counted as f32).max(1.0 / MEMORY);
            for ((mean, now), before) in self.advance.iter_mut().zip(&self.now).zip(&self.before) {
                let turned = now * before.conj();
                let length = turned.norm();
                if length > 1e-30 {
                    *mean += (turned / length - *mean) * share;
                } else {
                    *mean *= 1.0 - share;
                }
            }
        }
        self.before.copy_from_slice(&self.now);
        (counted >= LEAST_HOPS).then(|| self.best()).flatten()
    }

    fn best(&self) -> Option<(f32, f64)> {
        let agreement = |wanted: &[Complex32; SOUGHT]| {
            let cosines = || {
                let pairs = self.advance.iter().zip(wanted);
                pairs.map(|(mean, wanted)| (mean * wanted.conj()).re)
            };
            let agreeing = cosines().filter(|c| *c > AGREES).count();
            let sum: f32 = cosines().map(|c| (c - 0.3).max(0.0)).sum();
            (agreeing, sum)
        };
        let (best, (agreeing, sum)) = self
            .wanted
            .iter()
            .map(agreement)
            .enumerate()
            .max_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b))?;
        (agreeing >= NEEDED).then(|| (sum, self.nominal_hz + offset(self.nominal_hz, best)))
    }
}

/// The offset of the `i`th frequency tried, in Hz.
fn offset(nominal_hz: f64, i: usize) -> f64 {
    TOLERANCE * nominal_hz * (i as f64 / TRIED as f64 - 1.0)
}
