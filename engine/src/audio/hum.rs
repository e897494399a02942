//! Mains hum, taken away as a sum of sines instead of by a gain, so that notes at the same pitch are left whole.
//!
//! Hum is the one noise whose waveform can be foretold: harmonics of a mains frequency that changes slowly, each of an amplitude
//! and phase that stand still. [`HumCanceller`] looks for such a comb around 50 and 60 Hz, turns with it in a phase-locked loop
//! over all harmonics, averages the amplitude of each over two seconds with little regard for what sticks out (notes), and takes
//! the sum away, sample by sample and without delay. What is left for the spectral steps is noise without these lines:
//! [`HumCanceller::soften_into`] says so.

use pulp::Arch;
use realfft::num_complex::Complex32;

use super::denoiser::BROKEN_ABOVE;
use super::noise::{KEPT, NoiseSpectrum};

mod comb;
mod lines;
mod search;
#[cfg(test)]
pub(super) mod tests;

use self::comb::{PIECE, turn_back};
use self::lines::{Fate, Lines, MOST};
use self::search::Search;

/// Mains frequencies in Hz.
pub(super) const MAINS_HZ: [f64; 2] = [50.0, 60.0];
/// Samples at 48 kHz from one estimate to the next, 85 ms; windows are twice as long, so that harmonics do not mix.
const HOP_AT_48K: f64 = 4096.0;
/// New amplitudes are reached in so many pieces of 64 samples, so that nothing clicks.
const GLIDE: usize = 16;
/// Harmonics above this share of the sample rate are left alone.
const HIGHEST_SHARE: f64 = 0.45;
/// What is left of the power of a line in the noise spectrum where it is taken away as a sine.
const RESIDUE: f32 = 0.01;
/// Bins to either side that a line covers in kept spectra (drift included); the next beyond are taken for the noise around it.
const LOBE: usize = 3;
/// A peak is a line if it is this much above the noise around it.
const PEAK: f32 = 1.5;
/// Hops that analysis windows under way may reach back.
const HOPS_BACK: usize = 2;

/// Takes mains hum out of one channel.
#[derive(Clone)]
pub struct HumCanceller {
    arch: Arch,
    rate_hz: u32,
    hop: usize,
    /// Rising half of the window, a piece at a time.
    rise: Vec<[f32; PIECE]>,
    heard: [f32; PIECE],
    hum: [f32; PIECE],
    /// Samples of the piece, and pieces of the hop, that are done.
    filled: usize,
    pieces: usize,
    searches: [Search; 2],
    lines: Lines,
    /// Whether lines are followed (or looked for).
    following: bool,
    /// Amplitude that is being taken away, its change over a piece, and pieces that it still changes for.
    taken: Vec<Complex32>,
    change: Vec<Complex32>,
    gliding: usize,
    /// How far each line has been believed in the last hops, newest first.
    believed: [Vec<f32>; HOPS_BACK + 1],
}

impl HumCanceller {
    /// For one channel at `rate_hz`. Allocates everything it will ever need; not for the audio thread.
    #[must_use]
    pub fn new(rate_hz: u32) -> Self {
        let pieces = (HOP_AT_48K * f64::from(rate_hz) / 48_000.0 / PIECE as f64).round() as usize;
        let pieces = pieces.max(1);
        let hop = pieces * PIECE;
        let rise = (0..pieces)
            .map(|p| {
                std::array::from_fn(|i| {
                    let along = (p * PIECE + i) as f64 + 0.5;
                    (0.5 - 0.5 * libm::cos(std::f64::consts::PI * along / hop as f64)) as f32
                })
            })
            .collect();
        Self {
            arch: Arch::new(),
            rate_hz,
            hop,
            rise,
            heard: [0.0; PIECE],
            hum: [0.0; PIECE],
            filled: 0,
            pieces: 0,
            searches: MAINS_HZ.map(|hz| Search::new(rate_hz, hz, hop)),
            lines: Lines::new(rate_hz, hop),
            following: false,
            taken: vec![Complex32::default(); MOST],
            change: vec![Complex32::default(); MOST],
            gliding: 0,
            believed: std::array::from_fn(|_| vec![0.0; MOST]),
        }
    }

    /// Forgets everything. Never allocates.
    pub fn clear(&mut self) {
        self.hum.fill(0.0);
        self.filled = 0;
        self.pieces = 0;
        self.search_again();
    }

    fn search_again(&mut self) {
        for search in &mut self.searches {
            search.clear();
        }
        self.following = false;
        self.taken.fill(Complex32::default());
        self.change.fill(Complex32::default());
        self.gliding = 0;
        for believed in &mut self.believed {
            believed.fill(0.0);
        }
    }

    /// Samples until the estimate changes.
    #[must_use]
    pub const fn wanted(&self) -> usize {
        self.hop - self.pieces * PIECE - self.filled
    }

    /// Whether hum is being taken away, so that [`Self::soften_into`] has something to say.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.following && self.lines.is_proven()
    }

    /// The mains frequency in Hz, if hum is being taken away.
    #[must_use]
    pub fn mains_hz(&self) -> Option<f64> {
        self.is_active().then(|| self.lines.comb.hz())
    }

    /// Takes hum out of `input`, into `output` of the same length; true if a hop ended, so that [`Self::soften_into`] has
    /// changed. Broken samples are passed on, but not listened to. Never allocates, locks or waits: safe on the audio thread.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) -> bool {
        let mut ended = false;
        let mut done = 0;
        while done < input.len() {
            let n = (PIECE - self.filled).min(input.len() - done);
            for i in 0..n {
                let x = input[done + i];
                output[done + i] = x - self.hum[self.filled + i];
                // NaN is not below anything.
                let usable = x.abs() <= BROKEN_ABOVE;
                self.heard[self.filled + i] = if usable { x } else { 0.0 };
            }
            self.filled += n;
            done += n;
            if self.filled == PIECE {
                self.filled = 0;
                ended |= self.end_piece();
            }
        }
        ended
    }

    fn end_piece(&mut self) -> bool {
        let arch = self.arch;
        let rise = &self.rise[self.pieces];
        if self.following {
            arch.dispatch(|| self.lines.comb.hear(&self.heard, rise));
        } else {
            for search in &mut self.searches {
                arch.dispatch(|| search.comb_mut().hear(&self.heard, rise));
            }
        }
        self.pieces += 1;
        let mut changed = false;
        if self.pieces == self.rise.len() {
            self.pieces = 0;
            let was_active = self.is_active();
            self.end_hop();
            changed = was_active || self.is_active();
        }
        self.begin_piece();
        changed
    }

    fn begin_piece(&mut self) {
        if !self.following {
            self.hum.fill(0.0);
            for search in &mut self.searches {
                search.comb_mut().begin_piece();
            }
            return;
        }
        self.lines.comb.begin_piece();
        if !self.lines.is_proven() {
            self.hum.fill(0.0);
            return;
        }
        let arch = self.arch;
        arch.dispatch(|| {
            self.lines
                .comb
                .sum_into(&self.taken, &self.change, &mut self.hum);
        });
        if self.gliding > 0 {
            self.gliding -= 1;
            for (taken, change) in self.taken.iter_mut().zip(&mut self.change) {
                *taken += *change;
                if self.gliding == 0 {
                    *change = Complex32::default();
                }
            }
        }
    }

    fn end_hop(&mut self) {
        if !self.following {
            let mut best = None;
            let mut most = 0.0;
            for (search, nominal_hz) in self.searches.iter_mut().zip(MAINS_HZ) {
                if let Some((agreement, hz)) = search.end_hop(self.hop)
                    && agreement > most
                {
                    most = agreement;
                    best = Some((nominal_hz, hz));
                }
            }
            if let Some((nominal_hz, hz)) = best {
                let count = HIGHEST_SHARE * f64::from(self.rate_hz) / hz;
                self.lines.start(nominal_hz, hz, count as usize);
                self.following = true;
            }
            return;
        }
        let (fate, angle) = self.lines.end_hop(self.hop);
        if fate == Fate::Gone {
            self.search_again();
            return;
        }
        turn_back(&mut self.taken, angle);
        self.believed.rotate_right(1);
        let proven = self.lines.is_proven();
        for h in 0..self.lines.comb.count() {
            let weight = if proven { self.lines.weight(h) } else { 0.0 };
            self.believed[0][h] = weight;
            let target = self.lines.amplitude(h) * weight;
            self.change[h] = (target - self.taken[h]) / GLIDE as f32;
        }
        self.gliding = GLIDE;
    }

    /// Gets to know the hum from the beginning of a recording: hears `samples` backwards, so that it ends where the
    /// recording starts. Not for the audio thread.
    pub fn prime(&mut self, samples: &[f32]) {
        self.clear();
        let whole = samples.len() / PIECE * PIECE;
        let mut piece = [0.0; PIECE];
        let mut out = [0.0; PIECE];
        for chunk in samples[..whole].rchunks(PIECE) {
            for (p, x) in piece.iter_mut().zip(chunk.iter().rev()) {
                *p = *x;
            }
            self.process(&piece, &mut out);
        }
        if !self.is_active() {
            self.clear();
            return;
        }
        self.lines.turn_round();
        self.pieces = 0;
        for h in 0..self.lines.comb.count() {
            self.taken[h] = self.lines.amplitude(h) * self.lines.weight(h);
        }
        self.change.fill(Complex32::default());
        self.gliding = 0;
        let newest = self.believed[0].clone();
        for believed in &mut self.believed {
            believed.copy_from_slice(&newest);
        }
        self.lines
            .comb
            .sum_into(&self.taken, &self.change, &mut self.hum);
    }

    /// The noise that is left when the hum has been taken out of `noise`. Never allocates.
    pub fn soften_into(&self, noise: &NoiseSpectrum, left: &mut NoiseSpectrum) {
        left.copy_from(noise);
        if !self.is_active() {
            return;
        }
        let window = KEPT.at_rate(self.rate_hz).window as f32;
        let bin_hz = self.rate_hz as f32 / window;
        let bins = noise.power.len();
        for h in 0..self.lines.comb.count() {
            let believed = self
                .believed
                .iter()
                .fold(1.0f32, |least, b| least.min(b[h]));
            let centre = ((h + 1) as f32 * self.lines.comb.hz() as f32 / bin_hz).round() as usize;
            if believed <= 0.0 || centre <= LOBE || centre + LOBE + 1 >= bins {
                continue;
            }
            let lobe = centre - LOBE..centre + LOBE + 1;
            let around = 0.5 * (noise.power[lobe.start - 1] + noise.power[lobe.end]);
            let peak = noise.power[lobe.clone()]
                .iter()
                .fold(0.0f32, |m, p| m.max(*p));
            if peak <= PEAK * around {
                continue;
            }
            // A sine of amplitude a has a^2 N / 6 at the top under a Hann window of unit energy.
            let line = self.lines.amplitude(h).norm_sqr() * window / 6.0;
            let share = believed * (line / peak).min(1.0);
            for p in &mut left.power[lobe] {
                let rest = *p * (1.0 - share * (1.0 - RESIDUE));
                *p = rest.max(around.min(*p));
            }
        }
    }
}
