//! Following lines of a learned noise that do not stand still: the whine of a fan or of a power supply that warms up.

use super::noise::NoiseSpectrum;

/// Most lines that are followed, the lowest first.
const MOST: usize = 64;
/// A line stands out of what is beside it by this factor, 9 dB.
const STANDS_OUT: f32 = 8.0;
/// Its core are the bins that hold at least this share of its highest.
const CORE: f32 = 0.7;
/// Bins to either side of the core that go with it: the slopes of the window's lobe.
const SLOPE: usize = 3;
/// It has moved by so many bins when a peak as far beside the core has been its like in so many frames in a row (0.2 s), and no more than
/// this share of its power in the middle of the core, ...
const STEP: usize = 2;
const LEAVING: isize = 3;
const LEFT: f32 = 0.25;
/// ... its like being what has its power, within these factors ...
const LEAST: f32 = 0.35;
const MOST_LOUDER: f32 = 2.5;
/// ... and fewer frames than this (0.3 s) are missing in which it was seen.
const SURE: u32 = 6;
/// A line that has not been seen for so many frames (0.5 s) is looked for ...
const LOST: u32 = 12;
/// ... over this share of its frequency, at most so many bins, ...
const REACH: f32 = 0.08;
const MOST_REACH: usize = 64;
/// ... where a peak of its power, within this factor, moves by no more than a bin a frame for so many frames (1 s) and stands out of
/// the bins so far beside it.
const ALIKE: f32 = 1.6;
const PROOF: u32 = 24;
const BESIDE: usize = 4;
/// A line also stays where it was in the last frames (0.5 s), which modes with latency are still at work on.
const RECENT: usize = 12;
/// What is known of a tone that moves errs by this factor: between two bins it looks softer than on one.
const MOVING: f32 = 2.5;

/// A line, in bins.
#[derive(Clone, Copy, Default)]
struct Line {
    /// The core as it was learned.
    first: usize,
    last: usize,
    power: f32,
    /// By how much it has moved, and had in the last frames.
    shift: isize,
    recent: [isize; RECENT],
    /// Frames in which it was not seen, less those in which it was.
    unseen: u32,
    /// Frames for which it has been above the core, or minus those for which it has been below.
    leaving: isize,
    /// Where it may be instead, and frames for which that has been so.
    candidate: usize,
    proof: u32,
}

impl Line {
    /// Where a bin of the learned line is now.
    fn moved(&self, bin: usize, bins: usize) -> usize {
        bin.saturating_add_signed(self.shift).min(bins - 1)
    }

    /// Least and most that it has moved by lately.
    fn lately(&self) -> (isize, isize) {
        let shifts = self.recent.iter();
        shifts.fold((self.shift, self.shift), |(a, b), s| (a.min(*s), b.max(*s)))
    }
}

/// Follows the lines of a learned spectrum.
///
/// Measured on 6 guitar and 3 flute recordings of `train`, mode best, SNR out at 0 dB in: a tone of 4.3 kHz that has drifted by up to
/// 60 Hz since it was learned, guitar 1.2 to 28.5 dB, flute 1.2 to 27.3 dB (the best classical filter 21.9 and 23.2 dB). Without the
/// proof that a line has left its place, notes dragged the harmonics of learned hum along: guitar 23.7 to 13.8 dB. Without the factor
/// for what moves, a tone at 10 Hz a second leaked in bursts: 27 dB on one flute, 15 without.
pub struct LineFollower {
    lines: Vec<Line>,
}

impl LineFollower {
    /// Allocates everything it will ever need.
    #[must_use]
    pub fn new() -> Self {
        Self {
            lines: Vec::with_capacity(MOST),
        }
    }

    /// Begins anew with a reference; `is_line` tells which of its bins belong to lines. Never allocates.
    pub fn refer_to(&mut self, reference: &NoiseSpectrum, is_line: &[bool]) {
        self.lines.clear();
        let power = reference.power();
        let mut from = 0;
        while from < power.len() && self.lines.len() < MOST {
            if !is_line[from] {
                from += 1;
                continue;
            }
            let length = is_line[from..].iter().take_while(|l| **l).count();
            let run = from..from + length;
            from = run.end;
            let highest = power[run.clone()].iter().fold(0.0f32, |h, p| h.max(*p));
            let beside =
                power[run.start.saturating_sub(1)].max(power[run.end.min(power.len() - 1)]);
            let in_core = |f: &usize| power[*f] >= CORE * highest;
            let core = (run.clone().find(in_core), run.clone().rev().find(in_core));
            if let (Some(first), Some(last)) = core
                && highest >= STANDS_OUT * beside
            {
                self.lines.push(Line {
                    first,
                    last,
                    power: highest,
                    unseen: LOST,
                    ..Line::default()
                });
            }
        }
    }

    /// Whether there is any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Takes every line to be where it was learned, until it is seen elsewhere. Never allocates.
    pub fn clear(&mut self) {
        for line in &mut self.lines {
            line.shift = 0;
            line.recent = [0; RECENT];
            line.unseen = LOST;
            line.leaving = 0;
            line.proof = 0;
        }
    }

    /// Takes in the power spectrum of the next frame. Never allocates.
    pub fn take_frame(&mut self, power: &[f32]) {
        for line in &mut self.lines {
            line.recent.rotate_right(1);
            line.recent[0] = line.shift;
            line.take_frame(power);
        }
    }

    /// Puts the lines that have moved where they are in `noise`, whose shape is `reference`. Never allocates.
    pub fn apply_into(&self, reference: &NoiseSpectrum, noise: &mut NoiseSpectrum) {
        let bins = noise.power.len();
        for line in &self.lines {
            let (least, most) = line.lately();
            if (least, most) == (0, 0) {
                continue;
            }
            for f in line.first.saturating_sub(SLOPE)..(line.last + SLOPE + 1).min(bins) {
                for shift in least..=most {
                    let p = &mut noise.power[f.saturating_add_signed(shift).min(bins - 1)];
                    *p = p.max(MOVING * reference.power()[f]);
                }
            }
        }
    }
}

impl Line {
    fn take_frame(&mut self, power: &[f32]) {
        let first = self.moved(self.first, power.len());
        let last = self.moved(self.last, power.len());
        let alike = |p: f32| (LEAST..=MOST_LOUDER).contains(&(p / self.power));
        let core = max(&power[first..=last]);
        let before = max(&power[first.saturating_sub(STEP)..first]);
        let after = max(&power[(last + 1).min(power.len())..(last + 1 + STEP).min(power.len())]);
        // It goes from one side of the core to beyond the other, or it is a note that sounds beside it.
        let middle = if last >= first + 2 {
            max(&power[first + 1..last])
        } else {
            core
        };
        let left = middle < LEFT * self.power;
        if alike(core) && !(left && core < before.max(after)) {
            self.unseen = self.unseen.saturating_sub(1);
            self.leaving = 0;
            self.proof = 0;
        } else if left && alike(before.max(after)) && self.unseen < SURE {
            let side = if after > before { 1 } else { -1 };
            self.leaving = if self.leaving.signum() == side {
                self.leaving + side
            } else {
                side
            };
            if self.leaving.abs() >= LEAVING {
                self.shift += STEP as isize * side;
                self.leaving = 0;
            }
        } else {
            self.leaving = 0;
            // Something louder may hide it.
            self.unseen = (self.unseen + u32::from(core <= MOST_LOUDER * self.power)).min(LOST);
            if self.unseen == LOST {
                self.look_around(power);
            }
        }
    }

    /// Looks for a peak that could be the line.
    fn look_around(&mut self, power: &[f32]) {
        let bins = power.len();
        let centre = self.moved(usize::midpoint(self.first, self.last), bins);
        let reach = ((REACH * centre as f32) as usize).clamp(STEP, MOST_REACH);
        let from = centre.saturating_sub(reach).max(BESIDE);
        let to = (centre + reach).min(bins.saturating_sub(BESIDE + 1));
        let is_alike = |f: &usize| {
            let p = power[*f];
            (self.power / ALIKE..=self.power * ALIKE).contains(&p)
                && p > power[f - 1]
                && p >= power[f + 1]
                && p > STANDS_OUT * power[f - BESIDE].max(power[f + BESIDE])
        };
        // The one that is watched, else the nearest.
        let watched = (self.proof > 0).then_some(self.candidate);
        let peak = (from..=to)
            .filter(is_alike)
            .min_by_key(|f| f.abs_diff(watched.unwrap_or(centre)));
        let Some(peak) = peak else {
            self.proof = 0;
            return;
        };
        let goes_on = watched.is_some_and(|w| w.abs_diff(peak) <= 1);
        self.proof = if goes_on { self.proof + 1 } else { 1 };
        self.candidate = peak;
        if self.proof >= PROOF {
            let learned = usize::midpoint(self.first, self.last);
            self.shift = peak as isize - learned as isize;
            self.recent = [self.shift; RECENT];
            self.unseen = 0;
            self.proof = 0;
        }
    }
}

fn max(power: &[f32]) -> f32 {
    power.iter().fold(0.0, |m, p| m.max(*p))
}

#[cfg(test)]
mod tests {
    use crate::audio::noise::NoiseSpectrum;
    use crate::audio::noise_tracker::NoiseTracker;
    use crate::rng::StableRng;

    const RATE_HZ: u32 = 48_000;
    const AMPLITUDE: f32 = 0.05;
    /// Power of the tone in its bin: a^2 / 4 * n * 2 / 3.
    const THERE: f32 = AMPLITUDE * AMPLITUDE / 4.0 * 8192.0 * 2.0 / 3.0;

    /// A tone over hiss that begins at `hz` and moves by `hz_per_second`.
    fn whistle(seconds: f32, hz: f64, hz_per_second: f64) -> Vec<f32> {
        let mut rng = StableRng::new(3, 0);
        (0..(seconds * RATE_HZ as f32) as usize)
            .map(|i| {
                let t = i as f64 / f64::from(RATE_HZ);
                let turns = (hz + 0.5 * hz_per_second * t) * t;
                let tone = AMPLITUDE * libm::sin(std::f64::consts::TAU * turns) as f32;
                tone + 1e-3 * rng.normal() as f32
            })
            .collect()
    }

    fn following(learned: &[f32]) -> NoiseTracker {
        let learned = NoiseSpectrum::learn(RATE_HZ, &[learned]).unwrap();
        let mut tracker = NoiseTracker::new(RATE_HZ, 1);
        tracker.follow(&learned);
        tracker
    }

    fn hear(tracker: &mut NoiseTracker, sound: &[f32]) {
        let mut rest = sound;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(tracker.wanted().min(rest.len()));
            tracker.push(&[now]);
            rest = later;
        }
    }

    /// How far the noise that is assumed at `hz` is above the tone's.
    fn above_db(tracker: &NoiseTracker, hz: f32) -> f32 {
        10.0 * (tracker.estimate().at_hz(hz) / THERE).log10()
    }

    #[test]
    fn a_whistle_that_drifts_is_followed() {
        let mut tracker = following(&whistle(2.0, 3137.0, 0.0));
        hear(&mut tracker, &whistle(8.0, 3137.0, 10.0));
        let db = above_db(&tracker, 3216.0);
        assert!((-1.0..6.0).contains(&db), "{db:.1} dB");
        tracker.restart();
        let db = above_db(&tracker, 3216.0);
        assert!(db < -20.0, "{db:.1} dB");
    }

    #[test]
    fn a_whistle_that_has_moved_meanwhile_is_found() {
        let learned = whistle(2.0, 3137.0, 0.0);
        let sound = whistle(3.0, 3190.0, -4.0);
        let mut tracker = following(&learned);
        hear(&mut tracker, &sound);
        let db = above_db(&tracker, 3178.0);
        assert!((-1.0..6.0).contains(&db), "{db:.1} dB");
        // From the start, if it may listen to it beforehand, whatever else it hears there.
        let mut broken = sound.clone();
        broken[90_000] = f32::NAN;
        broken[90_001] = f32::INFINITY;
        for sound in [&sound, &broken] {
            let mut primed = following(&learned);
            primed.prime_lines(sound);
            let db = above_db(&primed, 3190.0);
            assert!((-1.0..6.0).contains(&db), "{db:.1} dB");
            hear(&mut primed, &whistle(1.0, 3190.0, -4.0));
            let hiss_db = 10.0 * (primed.estimate().at_hz(9000.0) / 1e-6).log10();
            assert!(hiss_db.abs() < 3.0, "{hiss_db:.1} dB");
        }
    }

    #[test]
    fn one_that_stands_still_changes_nothing_and_notes_are_not_taken_for_it() {
        let learned = whistle(2.0, 3137.0, 0.0);
        let spectrum = NoiseSpectrum::learn(RATE_HZ, &[&learned]).unwrap();
        let mut tracker = following(&learned);
        hear(&mut tracker, &whistle(3.0, 3137.0, 0.0));
        let around = 525..550;
        assert_eq!(
            tracker.estimate().power()[around.clone()],
            spectrum.power()[around.clone()]
        );
        // Nor if a note as loud sounds three bins beside it.
        let mut both = whistle(3.0, 3137.0, 0.0);
        for (i, x) in both.iter_mut().enumerate().skip(48_000) {
            let turns = 3155.0 * i as f64 / f64::from(RATE_HZ);
            *x += 1.1 * AMPLITUDE * libm::sin(std::f64::consts::TAU * turns) as f32;
        }
        hear(&mut tracker, &both);
        assert_eq!(
            tracker.estimate().power()[around.clone()],
            spectrum.power()[around]
        );
        // It has stopped; plucked notes close to it come and go.
        let mut notes = whistle(6.0, 0.0, 0.0);
        for (i, x) in notes.iter_mut().enumerate() {
            let t = i as f32 / RATE_HZ as f32;
            let (since, hz) = (t % 0.7, [3146.0, 3120.0, 3160.0][(t / 0.7) as usize % 3]);
            *x +=
                2.0 * AMPLITUDE * (-4.0 * since).exp() * (std::f32::consts::TAU * hz * since).sin();
        }
        let mut tracker = following(&learned);
        hear(&mut tracker, &notes);
        for hz in [3110.0, 3160.0, 3166.0] {
            let db = above_db(&tracker, hz);
            assert!(db < -15.0, "{hz}: {db:.1} dB");
        }
    }
}
