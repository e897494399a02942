//! Is there a buzz that nobody told of, and at which frequency? Where one is, many bins turn steadily from hop to hop, at frequencies
//! that are whole multiples of one, to a fraction of a hertz: strings are too inharmonic for that, and breath too unsteady.

use realfft::num_complex::Complex32;

use super::MAINS_HZ;
use super::comb::PIECE;
use super::harmonics::Harmonics;
use super::search::TOLERANCE;
use crate::audio::noise::KEPT;
use crate::audio::noise_tracker::MOST_CHANNELS;
use crate::audio::stft::{FrameTransform, History, TransformScratch};

/// Lines are looked for up to this frequency in Hz.
const HIGHEST_HZ: f64 = 12_000.0;
/// Lowest fundamental in Hz.
const LOWEST_HZ: f64 = 30.0;
/// Memory in hops, 2 s; the first hops, whose windows reach back before the start; and hops after which there is something to be said.
const MEMORY: usize = 24;
const SETTLING: usize = 4;
const LEAST_HOPS: usize = 24;
/// The phase of a line advances as it should by this mean cosine or more.
const STEADY: f32 = 0.7;
/// Bins that a line may lie beside the middle of its own.
const BESIDE: f64 = 0.8;
/// Most lines that are looked at.
const LINES: usize = 200;
/// A line belongs to a comb if it is no further from a harmonic than this, in Hz.
const TOLERANCE_HZ: f64 = 0.15;
/// A comb has at least so many lines, of which so many come right after one another. In a prototype that looked up to 6 kHz, of all
/// stretches of 3 s in `guitar/train` and `flute/train` none had more than 5 (4); a dimmer under guitar mostly had 50 to 64.
const MEMBERS: usize = 12;
const PAIRS: usize = 5;
/// At the mains frequency or twice that, what a rectifier makes of it, so many will do.
const MAINS_MEMBERS: usize = 8;
/// What is heard is taken in over so many pieces, from low to high.
const PARTS: usize = 3;
/// Fundamentals that are tried: each of so many of the steadiest lines, one a piece, divided by up to the second, and by what its
/// distance from so many of the next lines says.
const TRIED: usize = 6;
const DIVISORS: u32 = 16;
const NEXT: usize = 4;

/// A line of the spectrum, and the mean cosine with which its phase advances.
#[derive(Clone, Copy)]
struct Line {
    hz: f64,
    steadiness: f32,
}

/// What may be a fundamental.
#[derive(Clone, Copy)]
struct Candidate {
    hz: f64,
    score: f64,
}

/// Looks for a comb of any frequency.
#[derive(Clone)]
pub(super) struct Finder {
    rate_hz: f64,
    hop: usize,
    /// Piece of a hop with which the work begins.
    begins: usize,
    transform: FrameTransform,
    scratch: TransformScratch,
    history: History,
    spectrum: Vec<Complex32>,
    before: Vec<Complex32>,
    /// Per bin up to the highest, mean advance of the phase as a phasor, and mean root of the amplitude, which bursts move little.
    advance: Vec<Complex32>,
    strength: Vec<f32>,
    hops: usize,
    lines: Vec<Line>,
    /// Of the lines that have been tried, how steady the last one was.
    tried_down_to: f32,
    best: Option<Candidate>,
}

impl Finder {
    /// Allocates everything it will ever need; hops are of `hop` samples. Channels of other numbers do their work in other blocks,
    /// with the same results.
    pub(super) fn new(rate_hz: u32, hop: usize, number: usize) -> Self {
        let spare = (hop / PIECE).saturating_sub(1 + PARTS + 1 + TRIED);
        let shape = KEPT.at_rate(rate_hz);
        let transform = FrameTransform::for_measuring(shape);
        let bin_hz = f64::from(rate_hz) / shape.window as f64;
        let bins = ((HIGHEST_HZ / bin_hz) as usize + 2).min(shape.bins());
        Self {
            rate_hz: f64::from(rate_hz),
            hop,
            begins: spare / MOST_CHANNELS * (number % MOST_CHANNELS),
            scratch: transform.make_scratch(),
            history: History::new(shape.window + hop),
            spectrum: vec![Complex32::default(); shape.bins()],
            transform,
            before: vec![Complex32::default(); bins],
            advance: vec![Complex32::default(); bins],
            strength: vec![0.0; bins],
            hops: 0,
            lines: Vec::with_capacity(LINES),
            tried_down_to: f32::MAX,
            best: None,
        }
    }

    pub(super) fn clear(&mut self) {
        self.history.clear();
        self.before.fill(Complex32::default());
        self.advance.fill(Complex32::default());
        self.strength.fill(0.0);
        self.hops = 0;
        self.lines.clear();
        self.best = None;
    }

    /// Hears the next piece, the `number`th of a hop. What is to be done once a hop is spread over some of them.
    pub(super) fn hear(&mut self, piece: &[f32; PIECE], number: usize) {
        if number >= self.begins {
            match number - self.begins {
                0 => self.analyse(number * PIECE),
                n if n <= PARTS => self.take_part(n - 1),
                n if n == PARTS + 1 => self.find_lines(),
                n if n < PARTS + 2 + TRIED => self.try_next(),
                _ => {}
            }
        }
        self.history.push(piece);
    }

    /// What was found in the hop that has ended: the fundamental in Hz.
    pub(super) fn found(&mut self) -> Option<f64> {
        self.best.take().map(|c| c.hz)
    }

    /// Looks at the window that ended with the last hop, `age` samples ago.
    fn analyse(&mut self, age: usize) {
        let (older, newer) = self
            .history
            .parts_before(self.transform.shape().window, age);
        self.transform
            .analyse_into(older, newer, &mut self.scratch, &mut self.spectrum);
        self.hops += 1;
    }

    /// Takes in one part of the bins.
    fn take_part(&mut self, part: usize) {
        let counted = self.hops.saturating_sub(SETTLING);
        let share = 1.0 / counted.clamp(1, MEMORY) as f32;
        let bins = self.before.len();
        let part = bins * part / PARTS..bins * (part + 1) / PARTS;
        let known = self.advance[part.clone()]
            .iter_mut()
            .zip(&mut self.strength[part.clone()]);
        let heard = self.spectrum[part.clone()]
            .iter()
            .zip(&mut self.before[part]);
        for ((advance, strength), (now, before)) in known.zip(heard) {
            let turned = now * before.conj();
            let length = turned.norm_sqr().sqrt();
            let one = if length > 1e-30 {
                turned / length
            } else {
                Complex32::default()
            };
            *advance += (one - *advance) * share;
            *strength += (length.sqrt().sqrt() - *strength) * share;
            *before = *now;
        }
    }

    /// The lines that stand still, by frequency.
    fn find_lines(&mut self) {
        self.lines.clear();
        self.best = None;
        self.tried_down_to = f32::MAX;
        if self.hops < LEAST_HOPS {
            return;
        }
        let window = self.transform.shape().window as f64;
        let hop = self.hop as f64;
        for b in 2..self.strength.len().saturating_sub(1) {
            let s = self.strength[b];
            let steadiness = self.advance[b].norm();
            if steadiness < STEADY || s < self.strength[b - 1] || s <= self.strength[b + 1] {
                continue;
            }
            // Spectra are turned to the middle of their window, which moves on by a hop.
            let angle = f64::from(libm::atan2f(self.advance[b].im, self.advance[b].re));
            let turns = angle / std::f64::consts::TAU;
            let bin = b as f64;
            let whole = (bin * hop / window - turns).round();
            let hz = (turns + whole) * self.rate_hz / hop;
            let beside = hz * window / self.rate_hz - bin;
            if beside.abs() <= BESIDE && self.lines.len() < LINES {
                self.lines.push(Line { hz, steadiness });
            }
        }
    }

    /// Tries the next steadiest line as a harmonic.
    fn try_next(&mut self) {
        let left = self
            .lines
            .iter()
            .enumerate()
            .filter(|(_, l)| l.steadiness < self.tried_down_to)
            .max_by(|(_, a), (_, b)| a.steadiness.total_cmp(&b.steadiness));
        let Some((index, line)) = left.map(|(index, line)| (index, *line)) else {
            return;
        };
        self.tried_down_to = line.steadiness;
        for divisor in 1..=DIVISORS {
            self.try_harmonic(line.hz, f64::from(divisor));
        }
        // High harmonics: as far from one another as the fundamental is high.
        for next in index + 1..(index + 1 + NEXT).min(self.lines.len()) {
            let order = (line.hz / (self.lines[next].hz - line.hz)).round();
            self.try_harmonic(line.hz, order.max(1.0));
        }
    }

    fn try_harmonic(&mut self, hz: f64, order: f64) {
        if hz < order * LOWEST_HZ {
            return;
        }
        let fit = self.fit(hz, order);
        if fit.is_some_and(|fit| self.best.is_none_or(|best| fit.score > best.score)) {
            self.best = fit;
        }
    }

    /// The comb of which `hz` is a harmonic of this order, if there is one.
    fn fit(&self, hz: f64, order: f64) -> Option<Candidate> {
        let mut harmonics = Harmonics::with(hz, order, TOLERANCE_HZ);
        let (mut members, mut pairs, mut last) = (0, 0, None);
        for line in &self.lines {
            if let Some(order) = harmonics.take(line.hz) {
                members += 1;
                pairs += usize::from(last == Some(order - 1));
                last = Some(order);
            }
        }
        let hz = harmonics.hz;
        let needed = if is_of_mains(hz) {
            MAINS_MEMBERS
        } else {
            MEMBERS
        };
        // The less likely it is that a line is a harmonic by chance, the more it counts.
        (members >= needed && pairs >= PAIRS).then(|| Candidate {
            hz,
            score: members as f64 * libm::log(hz / (2.0 * TOLERANCE_HZ)),
        })
    }
}

/// Whether this is the mains frequency, or twice that.
pub(super) fn is_of_mains(hz: f64) -> bool {
    let is_about = |nominal_hz: f64| (hz / nominal_hz - 1.0).abs() < TOLERANCE;
    MAINS_HZ.iter().any(|n| is_about(*n) || is_about(2.0 * n))
}
