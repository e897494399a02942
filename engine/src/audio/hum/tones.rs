//! Steady tones in a spectrum that was learned from noise alone: whistles, whines and buzzes, and combs of them.
//!
//! Where somebody says that nothing but noise is heard, a tone is no note, and need not be put to the proof as one is that is
//! found blindly.

use super::harmonics::Harmonics;
use super::lines::MOST;
use crate::audio::noise::{KEPT, NoiseSpectrum};

/// Most lines that are looked at.
const LINES: usize = 160;
/// A line stands out of the noise beside it by this factor, 9 dB.
const STANDS_OUT: f32 = 8.0;
/// Bins to either side that belong to a line, and the last of those beyond from which the noise beside it is taken.
const LOBE: usize = 3;
const BESIDE: usize = 5;
/// A tone has the shape that the window gives to a sine, but for this share of its power; what warbles is wider.
const MISFIT: f32 = 0.15;
/// A line belongs to a comb if it is no further from a harmonic than this, in bins.
const TOLERANCE: f64 = 0.15;
/// Lowest fundamental in Hz.
const LOWEST_HZ: f64 = 30.0;
/// A comb has at least so many lines. Of fewer the phase is lost when a note sounds at their pitch (a whistle at G7 beside a flute at
/// 0 dB: 25.9 dB by the spectral steps alone, 20.4 dB with it taken out as a sine).
const MEMBERS: usize = 4;
/// Fundamentals that are tried: each of so many of the loudest lines, divided by up to the other.
const LOUDEST: usize = 6;
const DIVISORS: usize = 32;
/// A line's vote is how far it stands out in dB, up to this.
const MOST_DB: f32 = 30.0;

/// A frequency is a multiple of another if it is no further from that than this, times the other.
const HARMONIC: f64 = 0.01;

/// A comb of tones.
#[derive(Clone, PartialEq)]
pub(super) struct Tones {
    /// The fundamental, in Hz; 0 if there is none.
    pub(super) hz: f64,
    /// Harmonics up to the highest that is there.
    pub(super) count: usize,
    /// Amplitude of each, in full scale; 0 where there is none.
    pub(super) amplitude: Vec<f32>,
}

impl Tones {
    /// None. Allocates everything it will ever need.
    pub(super) fn none() -> Self {
        Self {
            hz: 0.0,
            count: 0,
            amplitude: vec![0.0; MOST],
        }
    }

    pub(super) const fn is_none(&self) -> bool {
        self.count == 0
    }

    /// Whether one fundamental is a multiple of the other.
    pub(super) fn share_lines_with(&self, hz: f64) -> bool {
        let times = if self.hz > hz {
            self.hz / hz
        } else {
            hz / self.hz
        };
        !self.is_none() && (times - times.round()).abs() < HARMONIC
    }

    /// Never allocates.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.hz = other.hz;
        self.count = other.count;
        self.amplitude.copy_from_slice(&other.amplitude);
    }

    pub(super) fn forget(&mut self) {
        self.hz = 0.0;
        self.count = 0;
        self.amplitude.fill(0.0);
    }
}

/// A line of the spectrum.
#[derive(Clone, Copy)]
struct Line {
    hz: f64,
    amplitude: f32,
    vote: f32,
    taken: bool,
}

/// Finds the loudest combs in `noise`; what is left over of `combs` is none. Never allocates.
pub(super) fn find<'a>(noise: &NoiseSpectrum, combs: impl Iterator<Item = &'a mut Tones>) {
    let mut lines = [Line {
        hz: 0.0,
        amplitude: 0.0,
        vote: 0.0,
        taken: true,
    }; LINES];
    let count = lines_of(noise, &mut lines);
    let lines = &mut lines[..count];
    let bin_hz = f64::from(noise.rate_hz()) / KEPT.at_rate(noise.rate_hz()).window as f64;
    for comb in combs {
        comb.forget();
        let Some(hz) = best_fundamental(lines, bin_hz) else {
            continue;
        };
        let Tones {
            amplitude, count, ..
        } = comb;
        let settled = members(lines, hz, bin_hz, |h, line| {
            amplitude[h] = line.amplitude;
            *count = (*count).max(h + 1);
            line.taken = true;
        });
        comb.hz = settled;
    }
}

/// The lines that have the shape of a steady tone, by frequency; how many there are.
fn lines_of(noise: &NoiseSpectrum, lines: &mut [Line]) -> usize {
    let kept = noise.power();
    let window = KEPT.at_rate(noise.rate_hz()).window as f32;
    let bin_hz = f64::from(noise.rate_hz()) / f64::from(window);
    // Kept lines are a bin wider to either side than they were heard.
    let power = |b: usize| kept[b - 1].min(kept[b]).min(kept[b + 1]);
    let mut count = 0;
    for b in BESIDE + 1..kept.len().saturating_sub(BESIDE + 1) {
        let top = power(b);
        if (1..=2).any(|d| power(b - d) >= top || power(b + d) > top) {
            continue;
        }
        let least = |bins: std::ops::RangeInclusive<usize>| {
            bins.fold(f32::MAX, |least, b| least.min(kept[b]))
        };
        let beside = 0.5 * (least(b - BESIDE..=b - LOBE) + least(b + LOBE..=b + BESIDE));
        if top < STANDS_OUT * beside {
            continue;
        }
        let clear = |at: usize| (power(at) - beside).max(0.0);
        // Between the top and the higher of its neighbours (Grandke 1983, for Hann windows).
        let (side, other) = if power(b + 1) > power(b - 1) {
            (1.0, b + 1)
        } else {
            (-1.0, b - 1)
        };
        let ratio = (clear(other) / clear(b)).sqrt();
        let offset = side * ((2.0 * ratio - 1.0) / (1.0 + ratio)).clamp(0.0, 0.5);
        let height = clear(b) / shape(offset);
        let (mut misfit, mut sum) = (0.0, 0.0);
        for at in b - 2..=b + 2 {
            let expected = height * shape(offset - (at as f32 - b as f32));
            misfit += (clear(at) - expected).abs();
            sum += clear(at);
        }
        if misfit > MISFIT * sum || count == lines.len() {
            continue;
        }
        lines[count] = Line {
            hz: (b as f64 + f64::from(offset)) * bin_hz,
            // A sine of amplitude a has a^2 N / 6 at the top under a Hann window of unit energy.
            amplitude: (6.0 * height / window).sqrt(),
            vote: (10.0 * libm::log10f(top / beside.max(1e-30))).min(MOST_DB),
            taken: false,
        };
        count += 1;
    }
    count
}

/// Power of a Hann window's lobe `x` bins from its top.
fn shape(x: f32) -> f32 {
    let turn = std::f32::consts::PI * x;
    let sinc = if turn.abs() < 1e-3 {
        1.0
    } else {
        libm::sinf(turn) / turn
    };
    let below = 1.0 - x * x;
    // At one bin from the top both go to zero, and their quotient to a half.
    let value = if below.abs() < 1e-3 {
        0.5
    } else {
        sinc / below
    };
    value * value
}

/// The fundamental of which most of the lines are harmonics: the less likely it is that a line is one by chance, the more it counts.
fn best_fundamental(lines: &mut [Line], bin_hz: f64) -> Option<f64> {
    let mut best = None;
    let mut most = 0.0;
    let mut louder_than = f32::MAX;
    for _ in 0..LOUDEST {
        let left = lines
            .iter()
            .filter(|l| !l.taken && l.amplitude < louder_than)
            .max_by(|a, b| a.amplitude.total_cmp(&b.amplitude))
            .map(|l| (l.hz, l.amplitude));
        let Some((line_hz, amplitude)) = left else {
            break;
        };
        louder_than = amplitude;
        for divisor in 1..=DIVISORS {
            let hz = line_hz / divisor as f64;
            if hz < LOWEST_HZ {
                break;
            }
            let (mut votes, mut count) = (0.0, 0);
            members(lines, hz, bin_hz, |_, line| {
                votes += line.vote;
                count += 1;
            });
            if count < MEMBERS {
                continue;
            }
            let score = f64::from(votes) * libm::log(hz / (2.0 * TOLERANCE * bin_hz));
            if score > most {
                most = score;
                best = Some(hz);
            }
        }
    }
    best
}

/// Calls `each` with every line that is a harmonic (0 for the fundamental) of `hz` or thereabouts, in rising order; returns the
/// fundamental that fits them best.
fn members(
    lines: &mut [Line],
    hz: f64,
    bin_hz: f64,
    mut each: impl FnMut(usize, &mut Line),
) -> f64 {
    let mut harmonics = Harmonics::of(hz, TOLERANCE * bin_hz);
    for line in lines.iter_mut().filter(|l| !l.taken) {
        if let Some(order) = harmonics.take(line.hz) {
            each(order - 1, line);
        }
    }
    harmonics.hz
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    const RATE_HZ: u32 = 48_000;

    fn hiss(n: usize, scale: f32, seed: u64) -> Vec<f32> {
        let mut rng = StableRng::new(seed, 0);
        (0..n).map(|_| scale * rng.normal() as f32).collect()
    }

    /// Adds harmonics of `hz`, all of one amplitude, whose pitch goes up and down by `warble`.
    fn add_comb(x: &mut [f32], hz: f64, harmonics: usize, amplitude: f64, warble: f64) {
        let mut turn = 0.0;
        for (i, x) in x.iter_mut().enumerate() {
            let t = i as f64 / f64::from(RATE_HZ);
            turn += std::f64::consts::TAU * hz / f64::from(RATE_HZ)
                * (1.0 + warble * libm::sin(9.0 * t));
            for h in 1..=harmonics {
                let h = h as f64;
                *x += (amplitude * libm::sin(h * turn + h * h)) as f32;
            }
        }
    }

    fn found(x: &[f32]) -> [Tones; 2] {
        let noise = NoiseSpectrum::learn(RATE_HZ, &[x]).expect("it is not silent");
        let mut combs = [Tones::none(), Tones::none()];
        find(&noise, combs.iter_mut());
        combs
    }

    fn members_of(tones: &Tones) -> usize {
        tones.amplitude.iter().filter(|a| **a > 0.0).count()
    }

    #[test]
    fn two_combs_are_found_at_once_and_measured() {
        let mut x = hiss(96_000, 0.003, 1);
        add_comb(&mut x, 1000.03, 12, 0.01, 0.0);
        add_comb(&mut x, 59.97, 30, 0.003, 0.0);
        let combs = found(&x);
        for (tones, (hz, count, amplitude)) in combs
            .iter()
            .zip([(1000.03, 12, 0.01f32), (59.97, 30, 0.003)])
        {
            println!("{} {}", tones.hz, tones.count);
            assert!((tones.hz - hz).abs() < 0.03, "{}", tones.hz);
            // One of the low ones is too close to one of the others.
            assert_eq!(tones.count, count);
            assert!(members_of(tones) + 1 >= count);
            for a in tones.amplitude.iter().filter(|a| **a > 0.0) {
                assert!((a / amplitude - 1.0).abs() < 0.25, "{a}");
            }
        }
    }

    #[test]
    fn noise_warbles_and_single_whistles_are_no_combs() {
        for n in [4_000, 9_000, 20_000, 48_000, 96_000] {
            for seed in 0..8 {
                let x = hiss(n, 0.1, seed);
                assert!(found(&x).iter().all(Tones::is_none), "{n} {seed}");
            }
        }
        let mut warble = hiss(96_000, 0.003, 1);
        add_comb(&mut warble, 1000.0, 10, 0.01, 0.02);
        assert!(found(&warble).iter().all(Tones::is_none));
        let mut throbbing = vec![0.0; 96_000];
        add_comb(&mut throbbing, 1000.0, 10, 0.01, 0.0);
        for (i, x) in throbbing.iter_mut().enumerate() {
            *x *= 1.0 + libm::sinf(std::f32::consts::TAU * 10.0 * i as f32 / RATE_HZ as f32);
        }
        assert!(found(&throbbing).iter().all(Tones::is_none));
        let mut whistles = hiss(96_000, 0.003, 1);
        add_comb(&mut whistles, 3137.0, 2, 0.01, 0.0);
        assert!(found(&whistles).iter().all(Tones::is_none));
        // Few of very many harmonics.
        let mut sparse = hiss(96_000, 0.003, 1);
        for order in [20, 57, 93, 131, 170] {
            add_comb(&mut sparse, 80.0 * f64::from(order), 1, 0.01, 0.0);
        }
        assert!(found(&sparse).iter().all(Tones::is_none));
    }

    #[test]
    fn of_every_rate_and_of_nothing() {
        for rate_hz in [8_000, 44_100, 192_000] {
            let mut combs = [Tones::none()];
            find(&NoiseSpectrum::white(rate_hz, 0.0), combs.iter_mut());
            assert!(combs[0].is_none());
        }
    }
}
