//! The noise of a stream: found blindly, or learned before, and followed in level.

use realfft::num_complex::Complex32;

use super::floor_memory::FloorMemory;
use super::gap::GapFinder;
use super::line_follower::LineFollower;
use super::minima::{BIAS, Minima};
use super::noise::{KEPT, NoiseSpectrum};
use super::noise_floor::surroundings::Frame;
use super::noise_floor::{NoiseFloor, embedded};
use super::noise_level::{LevelFollower, level_bands};
use super::noise_lines::LineFinder;
use super::rumble::Rumble;
use super::stft::{FrameTransform, History, TransformScratch};
use super::stillness::Stillness;

/// Parts of a hop: the search takes up to four of them, the estimate of each bin eight, the level two.
const PARTS: usize = 16;
/// A frame is analysed one of these parts of a hop after its end by the first channel, two by the second and so on.
const ANALYSIS_PARTS: usize = 32;
pub(super) const MOST_CHANNELS: usize = 4;
/// Samples softer than this, -160 dB full scale, ...
const SILENCE: f32 = 1e-8;
/// ... and at least so many of them in a row are digital silence, which says nothing about the noise.
const SILENT_RUN: usize = 64;

/// What a tracker knows of the shape of the spectrum.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reference {
    /// Nothing yet.
    Unknown,
    /// What it found.
    Found,
    /// What it was told.
    Learned,
}

/// What is being done about the last frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It is to be analysed.
    Analyse,
    /// The quantile over frequency is taken, from so many samples after the frame on.
    Search { done: usize, from: usize },
    /// The noise is estimated bin by bin, from so many samples after the frame on.
    Floor { from: usize },
    /// The bands are compared with the reference, from so many samples after the frame on.
    Level { done: usize, from: usize },
    /// Everything is done.
    Wait,
}

/// Tracks the noise of a stream.
///
/// Blindly, by minimum statistics (see [`Minima`]), held near what a learned [`NoiseFloor`] takes for noise, limited where dense
/// music would pass for noise (see [`FloorMemory`]); lines that stand still as mains hum does come back in after that. Or from
/// a spectrum that was learned before. Either is then followed in level, band by band, and faster than a search for minima can, and
/// neither hears silence that no room makes (see [`GapFinder`]).
pub struct NoiseTracker {
    transform: FrameTransform,
    scratch: TransformScratch,
    history: Vec<History>,
    filled: usize,
    /// Samples since the start or the last digital silence, and the length of the silence under way.
    sounding: usize,
    silent_run: usize,
    spectrum: Vec<Complex32>,
    power: Vec<f32>,
    gap: GapFinder,
    minima: Minima,
    memory: FloorMemory,
    /// Learned estimates of the noise of each bin, if the model could be read.
    floor: Option<NoiseFloor>,
    /// The quantile of the minima, times [`BIAS`], and at last the estimate before it is limited; and the estimate in the making.
    quantile: Vec<f32>,
    next: NoiseSpectrum,
    phase: Phase,
    /// Decides when after a frame it is analysed.
    number: usize,
    lines: LineFinder,
    reference: Reference,
    spectrum_at_rest: NoiseSpectrum,
    level: LevelFollower,
    stillness: Stillness,
    wandering: LineFollower,
    rumble: Rumble,
    estimate: NoiseSpectrum,
}

impl NoiseTracker {
    /// A tracker for `channels` linked channels that knows nothing yet.
    #[must_use]
    pub fn new(rate_hz: u32, channels: usize) -> Self {
        let shape = KEPT.at_rate(rate_hz);
        let transform = FrameTransform::for_measuring(shape);
        let bin_hz = rate_hz as f32 / shape.window as f32;
        Self {
            scratch: transform.make_scratch(),
            transform,
            history: vec![History::new(shape.window + shape.hop); channels],
            filled: 0,
            sounding: 0,
            silent_run: 0,
            spectrum: vec![Complex32::default(); shape.bins()],
            power: vec![0.0; shape.bins()],
            gap: GapFinder::new(shape.bins(), shape.hops_per_window()),
            minima: Minima::new(shape.bins()),
            memory: FloorMemory::new(shape.bins()),
            floor: embedded().map(|model| NoiseFloor::new(model, shape.bins(), bin_hz)),
            quantile: vec![0.0; shape.bins()],
            next: NoiseSpectrum::white(rate_hz, 0.0),
            phase: Phase::Wait,
            number: 0,
            lines: LineFinder::new(shape.bins(), bin_hz),
            reference: Reference::Unknown,
            spectrum_at_rest: NoiseSpectrum::white(rate_hz, 0.0),
            stillness: Stillness::new(level_bands(shape.bins()).len() - 1),
            level: LevelFollower::new(shape.bins()),
            wandering: LineFollower::new(),
            rumble: Rumble::new(shape.bins(), bin_hz),
            estimate: NoiseSpectrum::white(rate_hz, 0.0),
        }
    }

    /// Takes the shape of the spectrum for known from now on, and follows its level. `learned` must be of the tracker's
    /// rate. Never allocates.
    pub fn follow(&mut self, learned: &NoiseSpectrum) {
        self.clear();
        self.spectrum_at_rest.copy_from(learned);
        let bin_hz = learned.rate_hz() as f32 / self.transform.shape().window as f32;
        learned
            .unsteadiness()
            .spread_chirps(bin_hz, &mut self.spectrum_at_rest.power);
        self.estimate.copy_from(&self.spectrum_at_rest);
        self.level.refer_to(&self.spectrum_at_rest);
        self.wandering
            .refer_to(&self.spectrum_at_rest, self.level.lines());
        self.reference = Reference::Learned;
    }

    /// Finds out where the lines of a followed spectrum are at the beginning of a recording, which may be long before or after they
    /// were learned: hears `samples` backwards, and goes back to the start. Not for the audio thread.
    pub fn prime_lines(&mut self, samples: &[f32]) {
        if self.reference != Reference::Learned || self.wandering.is_empty() {
            return;
        }
        let backwards: Vec<f32> = samples.iter().rev().copied().collect();
        let mut rest = backwards.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.wanted().min(rest.len()));
            self.push(&[now]);
            rest = later;
        }
        let wandering = std::mem::replace(&mut self.wandering, LineFollower::new());
        self.restart();
        self.wandering = wandering;
        self.wandering
            .apply_into(&self.spectrum_at_rest, &mut self.estimate);
    }

    /// The same for one of several channels that hear each other's samples at the same time: each does its share of the
    /// work in other blocks than its neighbours, with the same results.
    #[must_use]
    pub fn of_channel(rate_hz: u32, number: usize) -> Self {
        let mut tracker = Self::new(rate_hz, 1);
        tracker.number = number % MOST_CHANNELS;
        tracker
    }

    /// The same without learned estimates, so that tests see what the rest does.
    #[cfg(test)]
    pub(super) fn without_floor(mut self) -> Self {
        self.floor = None;
        self
    }

    /// An instrument is expected that sounds from `lowest_hz` on, 0 for any: what rumbles below is noise, as far as it is found
    /// blindly (see [`Rumble`]). Never allocates.
    pub fn expect_from(&mut self, lowest_hz: f32) {
        self.rumble.expect_from(lowest_hz);
    }

    fn part_of_hop(&self, part: usize, of: usize) -> usize {
        self.transform.shape().hop * part / of
    }

    /// Samples after the last frame at which the work under way is finished, or at which the next frame is complete.
    fn border(&self) -> usize {
        match self.phase {
            Phase::Analyse => self.part_of_hop(1 + self.number, ANALYSIS_PARTS),
            Phase::Search { .. } => self.part_of_hop(4, PARTS),
            Phase::Floor { .. } => self.part_of_hop(12, PARTS),
            Phase::Level { .. } => self.part_of_hop(14, PARTS),
            Phase::Wait => self.transform.shape().hop,
        }
    }

    /// Samples until the next frame, or the estimate from the last one, is complete.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.border() - self.filled
    }

    /// Takes in up to [`Self::wanted`] samples of every channel; true when the estimate has changed. Never allocates.
    pub fn push(&mut self, channels: &[&[f32]]) -> bool {
        let n = channels.first().map_or(0, |c| c.len());
        for (history, samples) in self.history.iter_mut().zip(channels) {
            history.push(samples);
        }
        self.notice_silence(channels, n);
        self.filled += n;
        let at_border = self.filled >= self.border();
        // The costly part is spread over the hop, so that no block is much dearer than another.
        match self.phase {
            Phase::Analyse => {
                if at_border {
                    self.analyse();
                }
                false
            }
            Phase::Search { done, from } => {
                let strides = self.minima.strides();
                let until = strides * (self.filled - from) / (self.border() - from);
                self.minima.take_quantiles(done..until, &mut self.quantile);
                self.phase = Phase::Search { done: until, from };
                if at_border {
                    self.next.power.copy_from_slice(&self.quantile);
                    self.phase = Phase::Floor { from: self.filled };
                }
                false
            }
            Phase::Floor { from } => {
                let share = (self.filled - from) as f32 / (self.border() - from) as f32;
                if let Some(floor) = &mut self.floor {
                    let until = if at_border {
                        floor.bins()
                    } else {
                        (share * floor.bins() as f32) as usize
                    };
                    let frame = Frame {
                        smoothed: self.minima.smoothed(),
                        lowest: self.minima.lowest(),
                        quantile: &self.quantile,
                        bias: BIAS,
                    };
                    floor.take_bins(until, &frame, &mut self.next.power);
                }
                if at_border {
                    self.finish_search();
                }
                false
            }
            Phase::Level { done, from } => {
                let share = (self.filled - from) as f32 / (self.border() - from) as f32;
                let until = self.level.bands_until(share).max(done);
                for band in done..until {
                    self.level.take_band(band, &self.spectrum_at_rest);
                    let level_db = if self.reference == Reference::Found {
                        self.memory.take_band(band, self.minima.smoothed());
                        self.memory.floor_db(band)
                    } else {
                        self.level.seen_db(band)
                    };
                    self.stillness.take_band(band, level_db);
                }
                self.phase = Phase::Level { done: until, from };
                if at_border {
                    self.level.finish_frame(self.stillness.finish_frame());
                    if self.reference == Reference::Found {
                        self.memory.finish_frame();
                    }
                    self.level
                        .apply_into(&self.spectrum_at_rest, &mut self.estimate);
                    if self.reference == Reference::Learned {
                        self.wandering
                            .apply_into(&self.spectrum_at_rest, &mut self.estimate);
                    }
                    self.phase = Phase::Wait;
                }
                at_border
            }
            Phase::Wait => {
                if at_border {
                    self.filled = 0;
                    // Frames that reach back before the first sample, or into the silence that hosts send while they
                    // stand still, would pass for a world without noise.
                    if self.sounding >= self.transform.shape().window {
                        self.phase = Phase::Analyse;
                    }
                }
                false
            }
        }
    }

    /// Looks at the frame that ended `filled` samples ago.
    fn analyse(&mut self) {
        self.power.fill(0.0);
        let window = self.transform.shape().window;
        for history in &self.history {
            let (older, newer) = history.parts_before(window, self.filled);
            self.transform
                .analyse_into(older, newer, &mut self.scratch, &mut self.spectrum);
            for (p, y) in self.power.iter_mut().zip(&self.spectrum) {
                *p += y.norm_sqr() / self.history.len() as f32;
            }
        }
        let says_nothing = if self.reference == Reference::Learned {
            let learned = self.estimate.power();
            self.gap.take_frame_learned(&self.power, learned)
        } else {
            self.gap.take_frame(&self.power, self.memory.standing())
        };
        if says_nothing {
            self.minima.resume();
            self.phase = Phase::Wait;
            return;
        }
        if self.reference == Reference::Learned {
            self.level.begin_frame(&self.power);
            self.wandering.take_frame(&self.power);
            self.phase = Phase::Level {
                done: 0,
                from: self.filled,
            };
        } else {
            self.take_frame();
            self.phase = Phase::Search {
                done: 0,
                from: self.filled,
            };
        }
    }

    /// Counts the samples since the last digital silence.
    fn notice_silence(&mut self, channels: &[&[f32]], n: usize) {
        for i in 0..n {
            self.sounding = self.sounding.saturating_add(1);
            let silent = channels
                .iter()
                .all(|c| c.get(i).is_none_or(|x| x.abs() < SILENCE));
            self.silent_run = if silent { self.silent_run + 1 } else { 0 };
            if self.silent_run >= SILENT_RUN {
                self.silent_run = SILENT_RUN;
                self.sounding = 0;
            }
        }
    }

    /// The spectrum that was found, with its lines, becomes the reference.
    fn finish_search(&mut self) {
        // Lines stand out from what is around them, be that noise or music: they are judged before music is taken out of it.
        self.quantile.copy_from_slice(&self.next.power);
        if let Some(floor) = &self.floor {
            self.next.unsteadiness = floor.unsteadiness();
            floor.lower(&mut self.next.power);
        }
        self.memory.limit(&mut self.next.power);
        // Before rumble is added, in which the first harmonics would drown.
        self.lines
            .add_lines(self.minima.lowest(), &self.quantile, &mut self.next.power);
        self.rumble.add_to(&mut self.next, self.minima.lowest());
        self.spectrum_at_rest.copy_from(&self.next);
        self.reference = Reference::Found;
        self.level.begin_frame(&self.power);
        self.phase = Phase::Level {
            done: 0,
            from: self.filled,
        };
    }

    /// Smooths the frame's power and finds the minima.
    fn take_frame(&mut self) {
        let searched = self.minima.take_frame(&self.power);
        if let Some(floor) = &mut self.floor {
            floor.begin_frame(&self.power);
        }
        self.rumble.take_frame(&self.power);
        if searched {
            self.lines.remember(self.minima.lowest());
        }
    }

    /// Whether there is an estimate at all.
    #[must_use]
    pub fn has_estimate(&self) -> bool {
        self.reference != Reference::Unknown
    }

    /// What is known so far; the floor before the first frame.
    #[must_use]
    pub const fn estimate(&self) -> &NoiseSpectrum {
        &self.estimate
    }

    /// Forgets what was heard, but not what was learned before. Never allocates.
    pub fn restart(&mut self) {
        let learned = self.reference == Reference::Learned;
        self.forget_sound();
        if learned {
            self.estimate.copy_from(&self.spectrum_at_rest);
            self.reference = Reference::Learned;
        } else {
            self.spectrum_at_rest.clear();
            self.estimate.clear();
        }
    }

    /// Forgets everything. Never allocates.
    pub fn clear(&mut self) {
        self.forget_sound();
        self.level.forget();
        self.spectrum_at_rest.clear();
        self.estimate.clear();
    }

    fn forget_sound(&mut self) {
        for history in &mut self.history {
            history.clear();
        }
        self.filled = 0;
        self.sounding = 0;
        self.silent_run = 0;
        self.phase = Phase::Wait;
        self.reference = Reference::Unknown;
        self.lines.clear();
        self.gap.clear();
        self.minima.clear();
        self.memory.clear();
        if let Some(floor) = &mut self.floor {
            floor.clear();
        }
        self.rumble.clear();
        self.level.clear();
        self.stillness.clear();
        self.wandering.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{crickets, traffic};
    use crate::rng::StableRng;

    fn noise(n: usize, scale: f32, seed: u64) -> Vec<f32> {
        let mut rng = StableRng::new(seed, 0);
        (0..n).map(|_| scale * rng.normal() as f32).collect()
    }

    #[test]
    fn tracker_finds_white_noise_and_errs_high() {
        for rate_hz in [44_100, 48_000, 96_000] {
            let x = noise(rate_hz as usize * 6, 0.01, 3);
            let mut tracker = NoiseTracker::new(rate_hz, 1);
            let mut rest = x.as_slice();
            while !rest.is_empty() {
                let n = tracker.wanted().min(rest.len());
                tracker.push(&[&rest[..n]]);
                rest = &rest[n..];
            }
            let error_db = 10.0 * (tracker.estimate().variance() / 1e-4).log10();
            println!("{rate_hz}: {error_db}");
            assert!((0.0..2.0).contains(&error_db), "{rate_hz}: {error_db}");
        }
    }

    #[test]
    fn gusts_under_plucked_notes_are_told_from_steady_noise() {
        let heard = |gusts_db: f32| {
            let mut x = noise(48_000 * 8, 0.02, 31);
            for (i, x) in x.iter_mut().enumerate() {
                let t = i as f32 / 48_000.0;
                *x *= libm::exp10f(gusts_db / 20.0 * (std::f32::consts::TAU * 0.7 * t).sin());
                let since = t % 0.5;
                let hz = [147.0, 220.0, 196.0, 294.0][(t / 0.5) as usize % 4];
                *x += 0.1 * (-4.0 * since).exp() * (std::f32::consts::TAU * hz * since).sin();
            }
            let mut tracker = NoiseTracker::new(48_000, 1);
            errors_db(&mut tracker, &[x], 1.0);
            let db = tracker.estimate().unsteadiness().db();
            db.iter().sum::<f32>() / db.len() as f32
        };
        let (steady, gusty) = (heard(0.0), heard(8.0));
        println!("{steady:.2} {gusty:.2}");
        assert!(steady < 0.6, "{steady}");
        assert!(gusty > steady + 1.0, "{steady} {gusty}");
    }

    #[test]
    fn rumble_under_plucked_notes_is_found_and_the_notes_are_not() {
        // Noise below 80 Hz under notes from 147 Hz on.
        let mut rng = StableRng::new(21, 0);
        let (mut low, mut lower) = (0.0f32, 0.0f32);
        let mut x = noise(48_000 * 8, 1e-4, 22);
        for (i, x) in x.iter_mut().enumerate() {
            let t = i as f32 / 48_000.0;
            low += 0.01 * (rng.normal() as f32 - low);
            lower += 0.01 * (low - lower);
            let since = t % 0.5;
            let hz = [147.0, 220.0, 196.0, 294.0][(t / 0.5) as usize % 4];
            let note = 0.1 * (-4.0 * since).exp() * (std::f32::consts::TAU * hz * since).sin();
            *x += 0.2 * lower + note;
        }
        let x = [x];
        let heard = |floor: bool| {
            let mut tracker = NoiseTracker::new(48_000, 1);
            if !floor {
                tracker = tracker.without_floor();
            }
            errors_db(&mut tracker, &x, 1.0);
            move |hz: f32| 10.0 * tracker.estimate().at_hz(hz).log10()
        };
        let (at, minima) = (heard(true), heard(false));
        // The same filters, at 50 Hz.
        let there = 10.0 * (0.2f32.powi(2) * 0.47).log10();
        println!(
            "50 Hz: {:.1}, minima alone {:.1}, there: {there:.1}; notes {:.1} {:.1}",
            at(50.0),
            minima(50.0),
            at(220.0),
            at(294.0)
        );
        assert!(at(50.0) > minima(50.0) + 6.0 && at(50.0) < there + 6.0);
        // A note has 0.1^2 / 4 * 8192 * 2 / 3 in its bin at its loudest, 11 dB.
        for hz in [220.0, 294.0] {
            assert!(at(hz) < -25.0, "{}", at(hz));
        }
    }

    #[test]
    fn tracker_does_not_learn_a_long_note() {
        let mut x = noise(48_000 * 8, 0.001, 4);
        for (i, x) in x.iter_mut().enumerate() {
            for h in 1..10 {
                *x += 0.05 * (i as f32 * 0.0576 * h as f32).sin() / h as f32;
            }
        }
        let mut tracker = NoiseTracker::new(48_000, 1);
        let mut rest = x.as_slice();
        while !rest.is_empty() {
            let n = tracker.wanted().min(rest.len());
            tracker.push(&[&rest[..n]]);
            rest = &rest[n..];
        }
        let error_db = 10.0 * (tracker.estimate().variance() / 1e-6).log10();
        assert!(error_db.abs() < 3.0, "{error_db}");
    }

    /// The estimate in dB relative to `power` after each piece of sound.
    fn errors_db(tracker: &mut NoiseTracker, pieces: &[Vec<f32>], power: f32) -> Vec<f32> {
        pieces
            .iter()
            .map(|piece| {
                let mut rest = piece.as_slice();
                while !rest.is_empty() {
                    let n = tracker.wanted().min(rest.len());
                    tracker.push(&[&rest[..n]]);
                    rest = &rest[n..];
                }
                10.0 * (tracker.estimate().variance() / power).log10()
            })
            .collect()
    }

    #[test]
    fn a_gap_between_phrases_says_nothing_about_the_noise() {
        // A second of dither of 16 bits, in noise 40 dB louder; what was learned is followed, the rest is found.
        let pieces = [
            noise(48_000 * 5, 1e-3, 41),
            noise(48_000, 1.5e-5, 42),
            noise(48_000 / 4, 1e-3, 43),
            noise(48_000 * 4, 1e-3, 44),
        ];
        let learned = NoiseSpectrum::learn(48_000, &[&noise(96_000, 1e-3, 45)]).unwrap();
        let mut following = NoiseTracker::new(48_000, 1);
        following.follow(&learned);
        for tracker in [&mut following, &mut NoiseTracker::new(48_000, 1)] {
            let errors = errors_db(tracker, &pieces, 1e-6);
            println!("{errors:?}");
            for after in &errors[1..] {
                assert!((after - errors[0]).abs() < 0.5, "{errors:?}");
            }
        }
    }

    #[test]
    fn a_noise_that_changes_by_10_db_is_followed_within_two_seconds() {
        let louder = [
            noise(48_000 * 4, 0.01, 5),
            noise(48_000 * 2, 0.0316, 6),
            noise(48_000 * 2, 0.01, 7),
        ];
        let learned = NoiseSpectrum::learn(48_000, &[&noise(96_000, 0.01, 8)]).unwrap();
        let mut following = NoiseTracker::new(48_000, 1);
        following.follow(&learned);
        assert_eq!(following.estimate(), &learned);
        for tracker in [&mut following, &mut NoiseTracker::new(48_000, 1)] {
            let errors = errors_db(tracker, &louder, 1e-4);
            assert!(errors[0].abs() < 2.0, "{errors:?}");
            assert!((errors[1] - 10.0).abs() < 3.0, "{errors:?}");
            assert!(errors[2].abs() < 3.5, "{errors:?}");
        }
        following.restart();
        assert_eq!(following.estimate(), &learned);
        following.clear();
        assert!(!following.has_estimate());
    }

    #[test]
    fn digital_silence_is_not_a_world_without_noise() {
        for learned in [false, true] {
            let mut tracker = NoiseTracker::new(48_000, 1);
            if learned {
                tracker.follow(&NoiseSpectrum::white(48_000, 1e-4));
            }
            let silence = vec![0.0; 48_000];
            let sound = [silence.clone(), noise(48_000, 0.01, 5), silence];
            let errors = errors_db(&mut tracker, &sound, 1e-4);
            assert!(tracker.has_estimate());
            assert!(errors[1].abs() < 2.5 && errors[2].abs() < 2.5, "{errors:?}");
        }
    }

    #[test]
    fn music_does_not_raise_a_learned_noise() {
        let learned = NoiseSpectrum::learn(48_000, &[&noise(96_000, 1e-3, 8)]).unwrap();
        let mut tracker = NoiseTracker::new(48_000, 1);
        tracker.follow(&learned);
        let mut chord = noise(48_000 * 4, 1e-3, 9);
        for (i, x) in chord.iter_mut().enumerate() {
            let t = i as f32 / 48_000.0;
            for hz in [82.4, 123.5, 164.8, 207.7, 246.9, 329.6] {
                for h in 1..12 {
                    *x += 0.05 / h as f32 * (std::f32::consts::TAU * hz * h as f32 * t).sin();
                }
            }
        }
        let errors = errors_db(&mut tracker, &[chord], 1e-6);
        assert!(errors[0].abs() < 1.0, "{errors:?}");
    }

    #[test]
    fn a_tracker_that_forgot_what_it_learned_is_as_good_as_new() {
        let mut hum = traffic(48_000, 48_000 * 4, &mut StableRng::new(1, 0));
        for (i, x) in hum.iter_mut().enumerate() {
            *x += 0.1 * (std::f32::consts::TAU * 3_000.0 * i as f32 / 48_000.0).sin();
        }
        let mut used = NoiseTracker::new(48_000, 1);
        used.follow(&NoiseSpectrum::learn(48_000, &[&hum]).unwrap());
        used.clear();
        let mut fresh = NoiseTracker::new(48_000, 1);
        let mut heard = noise(48_000 * 4, 0.01, 2);
        heard.extend(noise(48_000 * 2, 0.05, 3));
        for tracker in [&mut used, &mut fresh] {
            errors_db(tracker, &[heard.clone()], 1.0);
        }
        assert_eq!(used.estimate().power(), fresh.estimate().power());
    }

    #[test]
    fn what_is_learned_as_soft_has_no_say_in_the_level_of_what_is_loud() {
        // A rumble was learned; now it is heard in a recording whose own hiss is far above what was learned there, under a bass.
        let traffic = |seed| {
            let mut x = traffic(48_000, 48_000 * 4, &mut StableRng::new(seed, 0));
            x.iter_mut().for_each(|x| *x *= 0.3);
            x
        };
        let learned = NoiseSpectrum::learn(48_000, &[&traffic(1)]).unwrap();
        let mut heard = traffic(2);
        for (i, (x, hiss)) in heard.iter_mut().zip(noise(48_000 * 4, 1e-3, 3)).enumerate() {
            let t = i as f32 / 48_000.0;
            let note = (-2.0 * t).exp() * (std::f32::consts::TAU * 98.0 * t).sin();
            *x += hiss + 0.05 * note;
        }
        let mut tracker = NoiseTracker::new(48_000, 1);
        tracker.follow(&learned);
        errors_db(&mut tracker, &[heard], 1.0);
        let low = |s: &NoiseSpectrum| s.power()[8..20].iter().sum::<f32>();
        let error_db = 10.0 * (low(tracker.estimate()) / low(&learned)).log10();
        println!("{error_db}");
        assert!(error_db.abs() < 1.5, "{error_db}");
    }

    #[test]
    fn the_silence_between_chirps_is_no_fall() {
        for seed in 0..4 {
            let chirps = crickets(48_000, 48_000 * 8, &mut StableRng::new(seed, 0));
            let (first, then) = chirps.split_at(48_000 * 4);
            let learned = NoiseSpectrum::learn(48_000, &[first]).unwrap();
            let song = |s: &NoiseSpectrum| {
                let bins = &s.power()[4000 * 8192 / 48_000..5500 * 8192 / 48_000];
                bins.iter().sum::<f32>()
            };
            let mut tracker = NoiseTracker::new(48_000, 1);
            tracker.follow(&learned);
            let at_first = song(tracker.estimate());
            for piece in then.chunks(4800) {
                errors_db(&mut tracker, &[piece.to_vec()], 1.0);
                let db = 10.0 * (song(tracker.estimate()) / at_first).log10();
                assert!(db > -0.5, "{seed}: {db:.1} dB");
            }
        }
    }

    #[test]
    fn lines_rise_with_the_noise_but_not_with_music_between_them() {
        let buzz = |seconds: usize, gain: f32| {
            let mut x = noise(48_000 * seconds, 1e-4 * gain, 8);
            for (i, x) in x.iter_mut().enumerate() {
                let t = i as f64 / 48_000.0;
                for h in 1..60 {
                    let turns = 120.0 * f64::from(h) * t + f64::from(h * h);
                    *x += 0.01 * gain * (std::f64::consts::TAU * turns.fract()).sin() as f32;
                }
            }
            x
        };
        let learned = NoiseSpectrum::learn(48_000, &[&buzz(2, 1.0)]).unwrap();
        let rise_db = |sound: Vec<f32>| {
            let mut tracker = NoiseTracker::new(48_000, 1);
            tracker.follow(&learned);
            errors_db(&mut tracker, &[sound], 1.0);
            [480.0, 1200.0, 3000.0]
                .map(|hz| 10.0 * (tracker.estimate().at_hz(hz) / learned.at_hz(hz)).log10())
        };
        for rise in rise_db(buzz(3, 3.16)) {
            assert!((2.5..11.0).contains(&rise), "{rise:.1} dB");
        }
        let mut music = buzz(4, 1.0);
        let mut rng = StableRng::new(5, 0);
        let mut breath = 0.0;
        for (i, x) in music.iter_mut().enumerate() {
            // A blown note with breath in it, a hundred times the hiss.
            let t = i as f32 / 48_000.0;
            breath += 0.3 * (0.01 * rng.normal() as f32 - breath);
            *x += 0.1 * (std::f32::consts::TAU * 523.0 * t).sin() + breath;
        }
        for rise in rise_db(music) {
            assert!(rise < 1.5, "{rise:.1} dB");
        }
    }

    #[test]
    fn hum_is_found_whose_first_harmonics_are_below_the_range() {
        // Four harmonics of the mains are needed; a flute begins between the first and the second of these.
        let mut x = noise(48_000 * 6, 1e-4, 4);
        for (i, x) in x.iter_mut().enumerate() {
            let t = i as f64 / 48_000.0;
            for h in [1, 2, 3, 5] {
                let turns = 120.0 * f64::from(h) * t;
                *x += 0.01 * (std::f64::consts::TAU * turns.fract()).sin() as f32;
            }
        }
        let mut tracker = NoiseTracker::new(48_000, 1);
        tracker.expect_from(216.0);
        errors_db(&mut tracker, &[x], 1.0);
        let there = 0.01f32.powi(2) / 4.0 * 8192.0 * 2.0 / 3.0;
        for hz in [240.0, 360.0, 600.0] {
            let db = 10.0 * (tracker.estimate().at_hz(hz) / there).log10();
            assert!((-2.5..5.0).contains(&db), "{hz} Hz: {db:.1} dB");
        }
    }

    #[test]
    fn hum_is_found_blindly_and_a_chord_is_not_hum() {
        let sound = |fundamentals: &[f32]| {
            let mut x = noise(48_000 * 6, 1e-4, 4);
            for (i, x) in x.iter_mut().enumerate() {
                let t = i as f64 / 48_000.0;
                for hz in fundamentals {
                    for h in 1..20 {
                        let turns = f64::from(*hz) * f64::from(h) * t;
                        *x +=
                            0.01 / h as f32 * (std::f64::consts::TAU * turns.fract()).sin() as f32;
                    }
                }
            }
            x
        };
        for mains in [49.9, 60.05] {
            let mut tracker = NoiseTracker::new(48_000, 1);
            errors_db(&mut tracker, &[sound(&[mains])], 1.0);
            for h in [1.0f32, 3.0, 7.0] {
                let there = (0.01 / h).powi(2) / 4.0 * 8192.0 * 2.0 / 3.0;
                let db = 10.0 * (tracker.estimate().at_hz(mains * h) / there).log10();
                assert!(
                    (-2.5..5.0).contains(&db),
                    "{mains} Hz times {h}: {db:.1} dB"
                );
            }
        }
        // G2, D3, G3, B3: close to 100, 150, 200 and 250 Hz.
        let mut tracker = NoiseTracker::new(48_000, 1);
        errors_db(&mut tracker, &[sound(&[98.0, 146.8, 196.0, 246.9])], 1.0);
        let there = 0.01f32.powi(2) / 4.0 * 8192.0 * 2.0 / 3.0;
        let db = 10.0 * (tracker.estimate().at_hz(98.0) / there).log10();
        assert!(db < -15.0, "{db:.1} dB");
    }

    /// A second of hiss, in which distorted power chords set in.
    fn distorted_chords(seconds: usize) -> Vec<f32> {
        let mut x = noise(48_000 * seconds, 1e-4, 4);
        for (i, x) in x.iter_mut().enumerate().skip(48_000) {
            let t = i as f32 / 48_000.0;
            let root = [82.4, 98.0, 110.0, 73.4][(t / 0.6) as usize % 4];
            let strings = [1.0, 1.4983, 2.0].map(|string| (root * string * t).fract() - 0.5);
            let loud = 6.0 * (-2.0 * (t % 0.6)).exp();
            *x += 0.1 * (loud * strings.iter().sum::<f32>()).tanh();
        }
        x
    }

    #[test]
    fn distorted_chords_without_a_pause_are_not_taken_for_noise() {
        let learned = NoiseSpectrum::learn(48_000, &[&noise(96_000, 1e-4, 8)]).unwrap();
        let mut following = NoiseTracker::new(48_000, 1);
        following.follow(&learned);
        for (tracker, most_db) in [
            (&mut NoiseTracker::new(48_000, 1), 16.5),
            (&mut following, 13.0),
        ] {
            for (second, piece) in distorted_chords(12).chunks(48_000).enumerate() {
                let errors = errors_db(tracker, &[piece.to_vec()], 1e-8);
                println!("{second} {errors:?}");
                assert!(errors[0] < most_db, "{second}: {errors:?}");
            }
        }
    }

    #[test]
    fn a_noise_that_becomes_far_louder_is_followed() {
        let learned = NoiseSpectrum::learn(48_000, &[&noise(96_000, 1e-4, 8)]).unwrap();
        let mut following = NoiseTracker::new(48_000, 1);
        following.follow(&learned);
        for tracker in [&mut NoiseTracker::new(48_000, 1), &mut following] {
            let pieces = [noise(48_000 * 3, 1e-4, 9), noise(48_000 * 2, 2e-3, 10)];
            let errors = errors_db(tracker, &pieces, 4e-6);
            println!("{errors:?}");
            assert!(errors[0] < -20.0 && errors[1].abs() < 2.5, "{errors:?}");
        }
    }

    #[test]
    fn notes_held_beside_hum_and_on_it_are_no_hum() {
        // C#3 and F4, a twelfth beside the third harmonic of 50 Hz and on the seventh.
        let notes = [138.6f32, 349.2];
        let mut x = noise(48_000 * 12, 1e-4, 4);
        for (i, x) in x.iter_mut().enumerate() {
            let t = i as f64 / 48_000.0;
            for h in 1..12 {
                let turns = 50.0 * f64::from(h) * t;
                *x += 0.002 * (std::f64::consts::TAU * turns.fract()).sin() as f32;
            }
            if t > 6.0 {
                for hz in notes {
                    *x += 0.1 * (std::f64::consts::TAU * (f64::from(hz) * t).fract()).sin() as f32;
                }
            }
        }
        let mut tracker = NoiseTracker::new(48_000, 1);
        errors_db(&mut tracker, &[x], 1.0);
        let power = |amplitude: f32| amplitude.powi(2) / 4.0 * 8192.0 * 2.0 / 3.0;
        for hz in notes {
            let db = 10.0 * (tracker.estimate().at_hz(hz) / power(0.1)).log10();
            println!("{hz}: {db}");
            assert!(db < -25.0, "{hz} Hz: {db:.1} dB");
        }
        let db = 10.0 * (tracker.estimate().at_hz(250.0) / power(0.002)).log10();
        assert!((-2.5..5.0).contains(&db), "{db:.1} dB");
    }
}
