//! Following the level of a noise whose spectrum is known: fans surge, wind gusts, a gain is turned.

use super::band_factors::BetweenBands;
use super::noise::{FLOOR, NoiseSpectrum};
use super::unsteadiness::Bands;

// Tuned on four guitar and four flute recordings of `train` in seven noises at 0 and 20 dB (mode live, mean dB against a
// fixed spectrum): guitar wind +0.29, printer +0.18, hum +0.07, rain +0.06, others 0.00 to +0.01; flute wind +1.31,
// printer +0.18, others -0.01 to +0.01. Without the penalty guitar in wind lost 2.7 dB at 20 dB, because music in bands
// without noise passed for noise. Following at once instead of past the ignored changes costs 0.2 dB in steady noise.
// One chord of `train`, a drone below 200 Hz at 20 dB, mode best: 10.2 dB out when all bands vote, 20.0, 21.5, 21.5 and 21.4 when
// those within 20, 30, 40 and 50 dB of the loudest do; a fixed spectrum 21.9.

// Eight guitars of `train` with 32 and 16 dB of drive, nobody tells that there is no noise, mode best: 21.9 and 36.5 dB against the
// input when any rise of what was found is believed, 23.7 and 38.7 when one beyond 9 dB is only where it stands still (a chord out
// of silence: 15.0 and 26.0). Noise that is switched on in the middle of a take, white and recorded, 5 dB below the music: in the
// first second 6.4 and 7.6 dB out, now 5.7 and 7.3, in the next four 8.3 and 7.6, now 8.1 and 7.4 (5.6 and 7.3, 6.6 and 6.7 when
// none beyond it is). Where the noise was learned, white and 40 dB below 32 dB of drive: 2.1 dB gained, 9.1 lost on one of them, now
// 3.2 and 3.3. Eight guitars and seven flutes in eight noises, 0 to 20 dB, learned (mode live) or not: within 0.01 dB.

// Crickets, made up and recorded, under three guitars of `train`, 0 dB, mode best: 8.8 and 17.7 dB out when their silence is a fall of
// the level, 15.5 and 22.4 when it is not (two flutes 10.8 and 15.2, 19.5 and 19.7), before anything else was done about chirps.

/// First bin that is looked at; below it is no music and no steady noise.
const FIRST_BIN: usize = 4;
/// Width of the lowest band in bins, 190 Hz ...
const FIRST_WIDTH: f32 = 32.0;
/// ... and of each further one relative to the one before.
const WIDTH_RATIO: f32 = 1.2;
/// Share of the smoothed power that is kept from frame to frame (43 ms).
const KEEP: f32 = 0.6;
/// The quantile over a band's bins that stands for the noise between the partials ...
const LOW_QUANTILE: f32 = 0.25;
/// ... and how far it lies below the mean of noise alone, in dB.
const LOW_BELOW_MEAN_DB: f32 = 2.0;
/// A higher quantile: if it is further above the lower one than in noise, there is music ...
const HIGH_QUANTILE: f32 = 0.65;
/// ... measured against this, in dB relative to the mean; noise alone stays 0.4 dB below ...
const HIGH_ABOVE_MEAN_DB: f32 = 0.5;
/// ... and takes this many dB off a rise for each dB that it is.
const PENALTY: f32 = 2.0;
/// Frames (0.5 s) over which a low quantile stands for the noise between the notes.
const RECENT: usize = 12;
const RECENT_QUANTILE: f32 = 0.3;
/// The quantile over the bands that they are compared with, ...
const USUAL_QUANTILE: f32 = 0.3;
/// ... of those that are at most this much softer than the loudest, in dB (what sounds in others is the recording's own floor), ...
const VOTES_DB: f32 = 30.0;
/// ... and how far they may lie below and above it, in dB.
const LEAST_BELOW_DB: f32 = 6.0;
const MOST_ABOVE_DB: f32 = 3.0;
/// Rises up to this many dB are believed in any case.
const SURE_RISE_DB: f32 = 9.0;
/// Changes up to these are taken for chance. An estimate that is too high costs less than one that is too low.
const IGNORED_FALL_DB: f32 = 4.0;
const IGNORED_RISE_DB: f32 = 1.3;
/// A bin is part of a line if it exceeds the median around it by this.
const LINE: f32 = 3.0;
/// The top of a line are the bins with no less than this share of what is found within so many bins, 35 Hz.
const TOP: f32 = 0.5;
const SKIRT: usize = 6;
/// Half width in bins of the neighbourhood of a line, and at every how many bins its median is taken.
const MEDIAN_HALF_WIDTH: usize = 24;
const MEDIAN_STRIDE: usize = 8;

/// Follows in how far the noise is louder or softer than a reference spectrum, band by band.
///
/// Music only ever adds power. In each band a low quantile over the bins is the noise between the partials, and a low
/// quantile over half a second the noise between the notes. A band whose quantiles lie further apart than those of noise
/// holds music and is not believed when it rises, and no band may leave the others far below, of which those that are soft in the
/// reference do not count. Distorted chords fill the gaps between partials in every band: how far a large rise of them all is
/// believed, somebody else has to say. The silence between chirps is no fall: where the reference chirps, the noise is never softer
/// than it was learned.
pub struct LevelFollower {
    /// First bin of each band, and one past the last bin.
    edges: Vec<usize>,
    smoothed: Vec<f32>,
    /// Bins in which the reference has a line: they say nothing about the level, never fall with it and rise no more than they are
    /// seen to, because music between soft hiss and loud lines passes for a rise of the hiss.
    line: Vec<bool>,
    /// Those of them that are the top of one: in the skirts of loud lines there is room for music.
    top: Vec<bool>,
    /// Levels of the last frames in dB, `[frame][band]`, and those of the lines.
    recent: Vec<Vec<f32>>,
    recent_lines: Vec<Vec<f32>>,
    frames: usize,
    /// Bands loud enough in the reference to say what is usual, and those that chirp, which do not say it.
    votes: Vec<bool>,
    chirps: Vec<bool>,
    level_db: Vec<f32>,
    /// The same as factors of power, and those of lines.
    gain: Vec<f32>,
    line_gain: Vec<f32>,
    sorting: Vec<f32>,
}

impl LevelFollower {
    /// A follower for spectra of `bins` bins. Allocates everything it will ever need.
    #[must_use]
    pub fn new(bins: usize) -> Self {
        let edges = level_bands(bins);
        let bands = edges.len() - 1;
        Self {
            smoothed: vec![0.0; bins],
            line: vec![false; bins],
            top: vec![false; bins],
            recent: vec![vec![0.0; bands]; RECENT],
            recent_lines: vec![vec![0.0; bands]; RECENT],
            frames: 0,
            votes: vec![true; bands],
            chirps: vec![false; bands],
            level_db: vec![0.0; bands],
            gain: vec![1.0; bands],
            line_gain: vec![1.0; bands],
            sorting: Vec::with_capacity(bins.max(RECENT)),
            edges,
        }
    }

    /// Begins anew with a reference. Never allocates.
    pub fn refer_to(&mut self, reference: &NoiseSpectrum) {
        let power = reference.power();
        let mut median = 0.0;
        for (f, (line, p)) in self.line.iter_mut().zip(power).enumerate() {
            if f.is_multiple_of(MEDIAN_STRIDE) {
                let from = f.saturating_sub(MEDIAN_HALF_WIDTH);
                let to = (f + MEDIAN_HALF_WIDTH + 1).min(power.len());
                self.sorting.clear();
                self.sorting.extend(&power[from..to]);
                median = quantile(&mut self.sorting, 0.5);
            }
            *line = *p > LINE * median;
        }
        for (f, (top, line)) in self.top.iter_mut().zip(&self.line).enumerate() {
            let skirts = f.saturating_sub(SKIRT)..(f + SKIRT + 1).min(power.len());
            *top = *line && power[skirts].iter().all(|p| TOP * p <= power[f]);
        }
        let mean = |edges: &[usize]| {
            let bins = &power[edges[0]..edges[1]];
            bins.iter().sum::<f32>() / bins.len().max(1) as f32
        };
        let loudest = self.edges.windows(2).map(mean).fold(0.0, f32::max);
        let bin_hz = 0.5 * reference.rate_hz() as f32 / power.len().saturating_sub(1).max(1) as f32;
        let bands = Bands::new(power.len(), bin_hz);
        let steadiness = reference.unsteadiness();
        let says = self.votes.iter_mut().zip(&mut self.chirps);
        for ((votes, chirps), edges) in says.zip(self.edges.windows(2)) {
            *chirps = (edges[0]..edges[1])
                .any(|f| bands.of(f).is_some_and(|band| steadiness.chirps(band)));
            *votes = !*chirps && mean(edges) >= libm::exp10f(-0.1 * VOTES_DB) * loudest;
        }
        self.clear();
    }

    /// Which bins of the reference belong to lines.
    #[must_use]
    pub fn lines(&self) -> &[bool] {
        &self.line
    }

    /// Forgets the reference as well: nothing is known of its lines and of what is soft in it. Never allocates.
    pub fn forget(&mut self) {
        self.line.fill(false);
        self.top.fill(false);
        self.votes.fill(true);
        self.chirps.fill(false);
        self.clear();
    }

    /// Forgets the level. Never allocates.
    pub fn clear(&mut self) {
        self.frames = 0;
        // Also so that a broken sample does not outlive it.
        self.smoothed.fill(0.0);
        self.level_db.fill(0.0);
        self.gain.fill(1.0);
        self.line_gain.fill(1.0);
    }

    /// Number of bands that begin in the lower `share` of the bins, which is how far the work should be when that share
    /// of the time is over.
    #[must_use]
    pub fn bands_until(&self, share: f32) -> usize {
        let bins = share * self.smoothed.len() as f32;
        let begun = self.edges.iter().filter(|e| (**e as f32) < bins).count();
        begun.min(self.level_db.len())
    }

    /// Takes in the power spectrum of the next frame: call this, then [`Self::take_band`] for every band, then
    /// [`Self::finish_frame`]. Never allocates, as all of them.
    pub fn begin_frame(&mut self, power: &[f32]) {
        let keep = if self.frames == 0 { 0.0 } else { KEEP };
        for (s, p) in self.smoothed.iter_mut().zip(power) {
            *s = keep * *s + (1.0 - keep) * p;
        }
    }

    /// Looks at a band of the frame.
    pub fn take_band(&mut self, band: usize, reference: &NoiseSpectrum) {
        let level = self.band_level_db(band, reference.power());
        self.recent[self.frames % RECENT][band] = level;
        self.recent_lines[self.frames % RECENT][band] = self.line_level_db(band, reference.power());
    }

    /// How much louder than in the reference a band is in the frame that is being looked at, in dB.
    pub(super) fn seen_db(&self, band: usize) -> f32 {
        self.recent[self.frames % RECENT][band]
    }

    /// Compares the bands. What is usual in them is believed to have risen by more than 9 dB only as far as `believed` says, 0 to 1.
    pub fn finish_frame(&mut self, believed: f32) {
        self.frames += 1;
        for b in 0..self.level_db.len() {
            self.level_db[b] = recently(&self.recent, self.frames, b, &mut self.sorting);
        }
        self.sorting.clear();
        self.sorting.extend(
            self.level_db
                .iter()
                .zip(&self.votes)
                .filter_map(|(level, votes)| votes.then_some(level)),
        );
        let usual = if self.sorting.is_empty() {
            0.0
        } else {
            quantile(&mut self.sorting, USUAL_QUANTILE)
        };
        let sure = usual.min(SURE_RISE_DB);
        let more = believed * (usual - sure);
        // Not so after a broken frame.
        let usual = if more.is_finite() { sure + more } else { sure };
        for b in 0..self.level_db.len() {
            let bounded = self.level_db[b].clamp(usual - LEAST_BELOW_DB, usual + MOST_ABOVE_DB);
            let change = ignoring_small(bounded);
            let level = if self.chirps[b] {
                change.max(0.0)
            } else {
                change
            };
            self.level_db[b] = level;
            self.gain[b] = libm::exp10f(0.1 * level);
            let lines = recently(&self.recent_lines, self.frames, b, &mut self.sorting);
            let lines = ignoring_small(lines).min(level).max(0.0);
            self.line_gain[b] = libm::exp10f(0.1 * lines);
        }
    }

    /// How much louder than in the reference the lines of a band are in this frame, in dB, or more if music sounds there.
    fn line_level_db(&mut self, band: usize, reference: &[f32]) -> f32 {
        let bins = self.smoothed.len();
        self.sorting.clear();
        let band = self.edges[band]..self.edges[band + 1];
        for (f, expected) in band.clone().zip(&reference[band]) {
            if self.top[f] {
                // As in the reference, in which lines are a bin wider to either side.
                let around = &self.smoothed[f.max(1) - 1..(f + 2).min(bins)];
                let there = around.iter().fold(0.0f32, |m, p| m.max(*p));
                self.sorting.push(there / expected.max(FLOOR));
            }
        }
        if self.sorting.is_empty() {
            return 0.0;
        }
        decibels(quantile(&mut self.sorting, LOW_QUANTILE))
    }

    /// The level of a band in this frame relative to the reference, in dB.
    fn band_level_db(&mut self, band: usize, reference: &[f32]) -> f32 {
        let bins = self.smoothed.len();
        self.sorting.clear();
        for f in self.edges[band]..self.edges[band + 1] {
            if self.line[f] {
                continue;
            }
            let around = f.max(1) - 1..(f + 2).min(bins);
            let there: f32 = self.smoothed[around.clone()].iter().sum();
            let expected: f32 = reference[around].iter().sum();
            self.sorting.push(there / expected.max(FLOOR));
        }
        if self.sorting.is_empty() {
            return 0.0;
        }
        let low = decibels(quantile(&mut self.sorting, LOW_QUANTILE)) + LOW_BELOW_MEAN_DB;
        let high = decibels(quantile(&mut self.sorting, HIGH_QUANTILE)) - HIGH_ABOVE_MEAN_DB;
        if low > 0.0 {
            (low - PENALTY * (high - low).max(0.0)).max(0.0)
        } else {
            low
        }
    }

    /// The reference at the level of the noise of now.
    pub fn apply_into(&self, reference: &NoiseSpectrum, out: &mut NoiseSpectrum) {
        if self.gain.iter().all(|g| *g == 1.0) {
            out.copy_from(reference);
            return;
        }
        let mut between = BetweenBands::new(&self.edges);
        let bins = out.power.iter_mut().zip(reference.power());
        for (f, ((o, r), line)) in bins.zip(&self.line).enumerate() {
            let gains = if *line { &self.line_gain } else { &self.gain };
            *o = (r * between.at(f, gains)).max(FLOOR);
        }
        out.unsteadiness = reference.unsteadiness;
    }
}

/// First bins of the bands in which a level is measured, and one past the last bin.
pub(super) fn level_bands(bins: usize) -> Vec<usize> {
    let mut edges = vec![FIRST_BIN.min(bins.saturating_sub(1))];
    let mut width = FIRST_WIDTH;
    let mut at = FIRST_BIN as f32;
    while at + 1.5 * width < bins as f32 {
        at += width;
        edges.push(at as usize);
        width *= WIDTH_RATIO;
    }
    edges.push(bins);
    edges
}

/// What changes of level are not taken for chance, in dB.
fn ignoring_small(change_db: f32) -> f32 {
    (change_db - IGNORED_RISE_DB).max(0.0) + (change_db + IGNORED_FALL_DB).min(0.0)
}

/// The level of a band that stands for the last of `frames` frames.
fn recently(recent: &[Vec<f32>], frames: usize, band: usize, sorting: &mut Vec<f32>) -> f32 {
    sorting.clear();
    sorting.extend(recent.iter().take(frames).map(|r| r[band]));
    quantile(sorting, RECENT_QUANTILE)
}

/// A power in dB, no less than -90.
pub(super) fn decibels(power: f32) -> f32 {
    10.0 * libm::log10f(power.max(1e-9))
}

/// The quantile of some values, whose order changes; there must be at least one.
pub(super) fn quantile(values: &mut [f32], share: f32) -> f32 {
    let rank = ((values.len() - 1) as f32 * share) as usize;
    *values.select_nth_unstable_by(rank, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    /// By how much a spectrum that was found is raised, in dB, after so many frames of `level_db` above it.
    fn risen_db(frames: usize, level_db: f32, believed: f32) -> f32 {
        let found = NoiseSpectrum::white(48_000, 1.0);
        let bins = found.power().len();
        let mut follower = LevelFollower::new(bins);
        let mut rng = StableRng::new(3, 0);
        let level = libm::exp10f(0.1 * level_db);
        for _ in 0..frames {
            let mut half = || rng.normal().powi(2) as f32;
            let power: Vec<f32> = (0..bins).map(|_| 0.5 * level * (half() + half())).collect();
            follower.begin_frame(&power);
            for band in 0..follower.bands_until(1.0) {
                follower.take_band(band, &found);
            }
            follower.finish_frame(believed);
        }
        let mut out = found.clone();
        follower.apply_into(&found, &mut out);
        10.0 * (out.power().iter().sum::<f32>() / bins as f32).log10()
    }

    #[test]
    fn rises_beyond_nine_decibels_are_followed_as_far_as_they_are_believed() {
        let [none, half, all] = [0.0, 0.5, 1.0].map(|believed| risen_db(30, 25.0, believed));
        println!("{none:.1} {half:.1} {all:.1}");
        let most = SURE_RISE_DB + MOST_ABOVE_DB;
        assert!((most - 3.0..most).contains(&none), "{none}");
        assert!((none + 6.0..all - 4.0).contains(&half), "{half}");
        assert!((all - 24.0).abs() < 2.0, "{all}");
        // Smaller ones are, anyway.
        assert_eq!(risen_db(30, 6.0, 0.0), risen_db(30, 6.0, 1.0));
    }

    #[test]
    fn an_endless_rise_is_no_number_to_nobody() {
        for believed in [0.0, 1.0] {
            let db = risen_db(30, f32::INFINITY, believed);
            assert!(!db.is_nan(), "{db}");
        }
    }
}
