//! The average spectrum of a stretch that is said to hold noise.

use super::noise::{FLOOR, NoiseSpectrum};
use super::unsteadiness::{Bands, LevelSums};

/// The stretch is looked at in at least half as many, and at most this many, parts.
const PARTS: usize = 16;
/// Where the mean is more than this times what most parts say, something else than noise sounded for a while.
const NOTE_RATIO: f32 = 2.5;
/// Which of the parts, in rising order, speaks for most of them; an estimate had better err high.
const MOST_PARTS: f32 = 0.6;
/// Unless it only wandered, or comes and goes as crickets do: in the part of this rank, in rising order, as much as this share of the most
/// that was heard at a bin was still heard somewhere within a hundredth of its frequency, at most so many bins (a semitone is six hundredths), ...
const WANDERING_PARTS: f32 = 0.45;
const WANDERING_SHARE: f32 = 0.25;
const WANDERS: f32 = 0.01;
const MOST_WANDERED: usize = 12;
/// ... and that was this much above the noise around it.
const WANDERING_ABOVE: f32 = 8.0;
// Made-up crickets under two guitars of `train`, mode best, 0 and 20 dB: 4.2 and 22.8 dB out when that was asked of four parts in
// five (0.2), 8.5 and 25.9 with 0.45.
/// Bins averaged where the spectrum is smooth: 53 Hz, as wide as five bins of a 4096 window.
const SMOOTHING_BINS: usize = 9;
/// Half width in bins of the neighbourhood that a line stands out of, 140 Hz. Its lower quartile is what lies between
/// the lines, even where there is one every 50 Hz.
const FLOOR_HALF_WIDTH: usize = 24;
const FLOOR_QUANTILE: f32 = 0.25;
/// It changes slowly: it is taken at every so many bins.
const FLOOR_STRIDE: usize = 8;
/// With n independent frames that quartile lies below the mean by a factor of about 1 + this / sqrt(n) ...
const QUARTILE_BELOW: f32 = 2.5;
/// ... and a bin that exceeds it by a further 1 + this / sqrt(n) is a line: with one frame one bin of noise in a hundred
/// does, with ten or more none.
const LINE_EXCESS: f32 = 4.0;
/// Frames of the noise transform overlap by three quarters: this share of them is independent.
const INDEPENDENT: f32 = 0.5;

/// Averages power spectra, frame by frame, without allocation; in the end lines stay sharp and notes stay out.
pub struct NoiseAverage {
    /// Sums of the finished parts and of the one under way, `[part][bin]`.
    sums: Vec<Vec<f64>>,
    /// The levels of the same parts.
    levels: Vec<LevelSums>,
    bands: Bands,
    parts: usize,
    frames_per_part: u32,
    /// Frames in the part under way.
    filled: u32,
    frames: u32,
    mean: Vec<f32>,
    smooth: Vec<f32>,
    sorting: Vec<f32>,
}

impl NoiseAverage {
    /// An average of nothing, for spectra whose bins are `bin_hz` apart.
    #[must_use]
    pub fn new(bins: usize, bin_hz: f32) -> Self {
        Self {
            sums: vec![vec![0.0; bins]; PARTS],
            levels: vec![LevelSums::default(); PARTS],
            bands: Bands::new(bins, bin_hz),
            parts: 0,
            frames_per_part: 1,
            filled: 0,
            frames: 0,
            mean: vec![0.0; bins],
            smooth: vec![0.0; bins],
            sorting: Vec::with_capacity((2 * FLOOR_HALF_WIDTH + 1).max(PARTS)),
        }
    }

    /// Forgets everything. Never allocates.
    pub fn clear(&mut self) {
        for sum in &mut self.sums {
            sum.fill(0.0);
        }
        self.levels.fill(LevelSums::default());
        self.parts = 0;
        self.frames_per_part = 1;
        self.filled = 0;
        self.frames = 0;
    }

    /// Takes in the power spectrum of the next frame. Never allocates.
    pub fn add(&mut self, power: impl Iterator<Item = f32> + Clone) {
        self.levels[self.parts].add(&self.bands.levels_db(power.clone()));
        for (s, p) in self.sums[self.parts].iter_mut().zip(power) {
            *s += f64::from(p);
        }
        self.frames += 1;
        self.filled += 1;
        if self.filled < self.frames_per_part {
            return;
        }
        self.filled = 0;
        self.parts += 1;
        if self.parts == PARTS {
            // Twice as long parts from now on.
            for part in 0..PARTS / 2 {
                self.sums.swap(part, 2 * part);
                let (kept, rest) = self.sums.split_at_mut(part + 1);
                // After the swap the second half of the pair still stands where it stood.
                let second = &rest[2 * part + 1 - (part + 1)];
                for (k, s) in kept[part].iter_mut().zip(second) {
                    *k += s;
                }
                self.levels.swap(part, 2 * part);
                let second = self.levels[2 * part + 1].clone();
                self.levels[part].merge(&second);
            }
            self.parts = PARTS / 2;
            self.frames_per_part *= 2;
        }
        self.sums[self.parts].fill(0.0);
        self.levels[self.parts] = LevelSums::default();
    }

    /// Writes the noise power; false, and `out` as it was, if there is nothing, or silence. Never allocates.
    pub fn settle_into(&mut self, noise: &mut NoiseSpectrum) -> bool {
        if self.frames == 0 {
            return false;
        }
        let under_way = usize::from(self.filled > 0);
        let scale = 1.0 / f64::from(self.frames);
        for (f, m) in self.mean.iter_mut().enumerate() {
            let sums = self.sums.iter().take(self.parts + under_way);
            *m = (sums.map(|s| s[f]).sum::<f64>() * scale) as f32;
        }
        if self.mean.iter().all(|m| *m < 1e-20) {
            return false;
        }
        let out = &mut noise.power;
        if self.parts >= PARTS / 2 {
            self.leave_out_notes();
        }
        let independent = (self.frames as f32 * INDEPENDENT).max(1.0);
        let root = independent.sqrt();
        let line = (1.0 + QUARTILE_BELOW / root) * (1.0 + LINE_EXCESS / root);
        // Lines set aside, what remains is smooth ...
        let mut floor = 0.0;
        for f in 0..self.mean.len() {
            if f.is_multiple_of(FLOOR_STRIDE) {
                floor = quartile_around(&self.mean, f, &mut self.sorting);
            }
            self.smooth[f] = self.mean[f].min(line * floor);
        }
        smooth_into(&self.smooth, SMOOTHING_BINS, out);
        for (f, o) in out.iter_mut().enumerate() {
            let from = f.saturating_sub(1);
            // ... and lines may wander by a bin.
            let highest = (from..(f + 2).min(self.mean.len()))
                .filter(|g| self.smooth[*g] < self.mean[*g])
                .map(|g| self.mean[g])
                .fold(0.0, f32::max);
            *o = o.max(highest).max(FLOOR);
        }
        noise.unsteadiness = self
            .bands
            .unsteadiness(&self.levels[..self.parts], &mut self.sorting);
        true
    }

    /// Where the mean is far above what most parts say, takes their word: a note was there. A tone that wanders about is no note; its
    /// power is what it had where it was.
    fn leave_out_notes(&mut self) {
        let scale = 1.0 / self.frames_per_part as f32;
        let rank = |share: f32| (share * (self.parts - 1) as f32).round() as usize;
        let (most, few) = (rank(MOST_PARTS), rank(WANDERING_PARTS));
        for f in 0..self.mean.len() {
            self.sorting.clear();
            let parts = self.sums.iter().take(self.parts);
            self.sorting.extend(parts.map(|s| s[f] as f32 * scale));
            let (_, most, _) = self.sorting.select_nth_unstable_by(most, f32::total_cmp);
            let most = *most;
            if self.mean[f] <= NOTE_RATIO * most {
                continue;
            }
            let highest = self.sorting.iter().fold(0.0f32, |h, p| h.max(*p));
            let reach = ((WANDERS * f as f32).round() as usize).min(MOST_WANDERED);
            let around = f.saturating_sub(reach)..(f + reach + 1).min(self.mean.len());
            self.sorting.clear();
            let parts = self.sums.iter().take(self.parts);
            self.sorting.extend(parts.map(|s| {
                let highest = s[around.clone()].iter().fold(0.0f64, |h, p| h.max(*p));
                highest as f32 * scale
            }));
            let (_, least, _) = self.sorting.select_nth_unstable_by(few, f32::total_cmp);
            let least = *least;
            let floor = quartile_around(&self.mean, f, &mut self.sorting);
            let wanders = least > (WANDERING_SHARE * highest).max(WANDERING_ABOVE * floor);
            self.mean[f] = if wanders { highest } else { most };
        }
    }
}

fn quartile_around(values: &[f32], at: usize, sorting: &mut Vec<f32>) -> f32 {
    sorting.clear();
    let to = (at + FLOOR_HALF_WIDTH + 1).min(values.len());
    sorting.extend(&values[at.saturating_sub(FLOOR_HALF_WIDTH)..to]);
    let rank = (FLOOR_QUANTILE * (sorting.len() - 1) as f32) as usize;
    *sorting.select_nth_unstable_by(rank, f32::total_cmp).1
}

/// Centred moving average, shorter at the ends.
fn smooth_into(input: &[f32], bins: usize, out: &mut [f32]) {
    let half = bins / 2;
    for (f, o) in out.iter_mut().enumerate() {
        let slice = &input[f.saturating_sub(half)..(f + half + 1).min(input.len())];
        *o = slice.iter().sum::<f32>() / slice.len() as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::unsteadiness::{BANDS, Unsteadiness};
    use crate::eval::crickets;
    use crate::rng::StableRng;

    fn noise(n: usize, scale: f32, seed: u64) -> Vec<f32> {
        let mut rng = StableRng::new(seed, 0);
        (0..n).map(|_| scale * rng.normal() as f32).collect()
    }

    /// Hum of 50 Hz and harmonics, which drifts a little, over hiss.
    fn hum(n: usize, hiss: f32) -> Vec<f32> {
        let mut x = noise(n, hiss, 9);
        for (i, x) in x.iter_mut().enumerate() {
            let t = i as f32 / 48_000.0;
            let phase = std::f32::consts::TAU * (50.0 * t + 0.01 * (t * 2.0).sin());
            for h in 1..20 {
                *x += 0.02 / h as f32 * (phase * h as f32).sin();
            }
        }
        x
    }

    #[test]
    fn lines_stay_lines() {
        let learned = NoiseSpectrum::learn(48_000, &[&hum(96_000, 1e-4)]).unwrap();
        // A line of amplitude a in a Hann window of n samples and unit energy: a^2 / 4 * n * 2 / 3.
        for h in [1.0f32, 3.0, 10.0] {
            let there = (0.02 / h).powi(2) / 4.0 * 8192.0 * 2.0 / 3.0;
            let db = 10.0 * (learned.at_hz(50.0 * h) / there).log10();
            assert!((-2.0..4.0).contains(&db), "harmonic {h}: {db:.1} dB");
        }
        // Between the lines next to nothing of them: they are 58 dB above the hiss.
        let between = 10.0 * (learned.at_hz(525.0) / 1e-8).log10();
        assert!(between < 25.0, "{between:.1} dB above the hiss");
    }

    #[test]
    fn a_noise_that_comes_and_goes_is_told_from_a_steady_one() {
        // A drift of 3 dB on either side, once a second: 2.1 dB of standard deviation, less what a window of 0.17 s evens out.
        let mut x = noise(48_000 * 4, 0.01, 4);
        for (i, x) in x.iter_mut().enumerate() {
            let db = 3.0 * (std::f32::consts::TAU * i as f32 / 48_000.0).sin();
            *x *= libm::exp10f(db / 20.0);
        }
        let learned = NoiseSpectrum::learn(48_000, &[&x]).unwrap();
        for u in learned.unsteadiness().db() {
            assert!((1.2..3.2).contains(u), "{:?}", learned.unsteadiness());
        }
        // Half a window says nothing about time.
        let short = NoiseSpectrum::learn(48_000, &[&x[..4096]]).unwrap();
        assert_eq!(short.unsteadiness(), &Unsteadiness::NONE);
    }

    #[test]
    fn a_few_notes_in_the_stretch_are_left_out() {
        let clean = noise(48_000 * 4, 0.01, 3);
        let with_note = |samples: usize| {
            let mut x = clean.clone();
            for (i, x) in x.iter_mut().enumerate().skip(48_000).take(samples) {
                for h in 1..8 {
                    *x += 0.1 * (i as f32 * 0.043 * h as f32).sin();
                }
            }
            NoiseSpectrum::learn(48_000, &[&x]).unwrap()
        };
        let level_db = |s: &NoiseSpectrum| 10.0 * (s.variance() / 1e-4).log10();
        let db = level_db(&with_note(36_000));
        assert!(db.abs() < 1.5, "{db:.1} dB");
        let db = level_db(&with_note(0));
        assert!(db.abs() < 0.2, "white noise alone: {db:.2} dB");
        // Nor do they pass for a noise that comes and goes, if they are short.
        let beyond_db =
            |s: &NoiseSpectrum| s.unsteadiness().db().iter().sum::<f32>() / BANDS as f32;
        assert!(beyond_db(&with_note(0)) < 0.2);
        let db = beyond_db(&with_note(12_000));
        assert!(db < 0.3, "{db:.2} dB");
    }

    #[test]
    fn a_tone_that_wanders_is_noise_and_a_tune_is_not() {
        // 2700 Hz and back and forth by 0.6 %, once in three seconds; or four notes.
        let mut turn = 0.0;
        let mut wandering = noise(96_000, 0.001, 5);
        for (i, x) in wandering.iter_mut().enumerate() {
            let t = i as f32 / 48_000.0;
            turn += std::f32::consts::TAU / 48_000.0 * (2700.0 + 16.0 * (2.0 * t).sin());
            *x += 0.05 * turn.sin();
        }
        let learned = NoiseSpectrum::learn(48_000, &[&wandering]).unwrap();
        let there = 0.05f32.powi(2) / 4.0 * 8192.0 * 2.0 / 3.0;
        for hz in [2690.0, 2700.0, 2710.0] {
            let db = 10.0 * (learned.at_hz(hz) / there).log10();
            assert!((-4.0..3.0).contains(&db), "{hz}: {db:.1} dB");
        }
        let mut tune = noise(96_000, 0.001, 5);
        let pitches_hz = [2489.0, 2637.0, 2794.0, 2960.0];
        for (i, x) in tune.iter_mut().enumerate() {
            let t = i as f32 / 48_000.0;
            let hz = pitches_hz[i / 24_000];
            *x += 0.05 * (std::f32::consts::TAU * hz * t).sin();
        }
        let learned = NoiseSpectrum::learn(48_000, &[&tune]).unwrap();
        for hz in pitches_hz {
            let db = 10.0 * (learned.at_hz(hz) / there).log10();
            assert!(db < -15.0, "{hz}: {db:.1} dB");
        }
    }

    #[test]
    fn chirps_are_no_notes() {
        for seed in 0..4 {
            let chirps = crickets(48_000, 48_000 * 4, &mut StableRng::new(seed, 0));
            let power = chirps.iter().map(|x| x * x).sum::<f32>() / chirps.len() as f32;
            let learned = NoiseSpectrum::learn(48_000, &[&chirps]).unwrap();
            let db = 10.0 * (learned.variance() / power).log10();
            println!("{seed}: {db:.1} dB");
            assert!((-1.0..7.0).contains(&db), "{seed}: {db:.1} dB");
        }
    }

    fn spectrum(bins: usize) -> NoiseSpectrum {
        let mut spectrum = NoiseSpectrum::white(48_000, 0.0);
        spectrum.power.truncate(bins);
        spectrum
    }

    #[test]
    fn any_number_of_frames_averages_all_of_them() {
        for frames in [1u32, 2, 15, 16, 17, 31, 32, 100, 1000] {
            let mut average = NoiseAverage::new(64, 100.0);
            for i in 0..frames {
                // Rises a little: parts differ, but nothing is a note.
                average.add((0..64).map(|_| 1.0 + i as f32 / frames as f32));
            }
            let mut out = spectrum(64);
            assert!(average.settle_into(&mut out));
            let mean = 1.0 + (frames - 1) as f32 / frames as f32 / 2.0;
            for o in out.power {
                assert!((o - mean).abs() < 1e-4, "{frames}: {o} for {mean}");
            }
        }
        let mut nothing = NoiseAverage::new(4, 100.0);
        assert!(!nothing.settle_into(&mut spectrum(4)));
        nothing.add([0.0; 4].into_iter());
        assert!(!nothing.settle_into(&mut spectrum(4)));
    }
}
