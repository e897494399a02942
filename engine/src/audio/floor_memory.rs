//! What the noise was before music filled every gap.

use super::band_factors::BetweenBands;
use super::noise_level::{decibels, level_bands, quantile};

// Clean recordings (noise 60 dB down), nobody tells, mode live, SNR out without and with this: what a sampler plays for 7 s, distorted
// power chords 13.4 -> 41.6 dB, clean chords 35.6 -> 56.2, nylon strings 45.4 -> 61.3, cello 36.7 -> 48.4, violin 36.2 -> 42.0, muted
// strings 29.6 -> 33.4, trumpet 46.8 -> 48.9 (by rises of 4 to 6 dB instead of 2.5 to 4, 20 dB a second and a leak of 0.3 dB a second; with
// those the distorted chords, repeated for 25 s, came out with 14 dB, with these 28). Noise 20 dB down: distorted 16.3 -> 20.2, muted 26.7
// -> 28.1, others 0.0 to +0.5 dB; 5 dB down +0.1 dB. Four performances of `train` and two medleys of its flutes, 22 s each, in white noise,
// fan, wind, printer and rain, 20 and 5 dB: -0.01 to +0.05 dB. How far the floors of noises are from steady by this measure: white 0.3 to
// 1.2 dB, fan 1.3 to 4, rain and street up to 2, wind up to 3.7, vinyl up to 3.9, printer up to 7; those of music 4 to 25 dB.

/// Frames (2.7 s) over which a band is watched: as long as minima are searched.
const WATCHED: usize = 64;
/// With fewer frames, every rise is believed.
const FEWEST: usize = 12;
/// After so many frames (1.4 s), a floor stands still if its usual quantile over time is at most so much above this one, in dB:
/// gaps in up to 45 % of the time show in neither.
const STANDING: usize = 32;
const STANDING_QUANTILE: f32 = 0.45;
const STANDING_DB: f32 = 1.6;
/// The quantile over a band's bins that stands for the floor between the partials.
const LOW_QUANTILE: f32 = 0.3;
/// A floor is as unsteady as this quantile over time of it is above its minimum, in dB. Up to this it is noise that has risen, ...
const USUAL_QUANTILE: f32 = 0.75;
const STEADY_DB: f32 = 2.5;
/// ... and so much beyond that it is surely music.
const FADE_DB: f32 = 1.5;
/// The hop of a tracker in seconds.
const HOP_SECONDS: f32 = 0.0427;
/// How much noise is believed to rise from frame to frame, in dB: 6 dB a second more where the floor is steady, 0.1 dB everywhere.
const RISE_DB: f32 = 6.0 * HOP_SECONDS;
const LEAK_DB: f32 = 0.1 * HOP_SECONDS;
/// Rises up to this, in dB, are chance.
const SLACK_DB: f32 = 3.0;

/// Remembers the noise of each band while dense music would pass for it.
///
/// Whoever plays for longer than the search for minima without a pause, or plays with distortion, has a floor between the partials far
/// above the noise of the room. But noise stays as it is, and that floor moves with every chord: where it does, the noise is taken to rise
/// slowly at most. It falls at once, and rises at once where the floor stands still.
pub struct FloorMemory {
    /// First bin of each band, and one past the last bin.
    edges: Vec<usize>,
    /// Floors of the last frames in dB, `[frame][band]`.
    recent: Vec<Vec<f32>>,
    frames: usize,
    /// How far a rise is believed, 0 to 1.
    trust: Vec<f32>,
    /// The power at which the floor of each band last stood still; 0 is never.
    standing: Vec<f32>,
    /// The noise that is remembered, in dB; `f32::MAX` is none.
    held_db: Vec<f32>,
    factor: Vec<f32>,
    sorting: Vec<f32>,
}

impl FloorMemory {
    /// For spectra of `bins` bins. Allocates everything it will ever need.
    #[must_use]
    pub fn new(bins: usize) -> Self {
        let edges = level_bands(bins);
        let bands = edges.len() - 1;
        Self {
            recent: vec![vec![0.0; bands]; WATCHED],
            frames: 0,
            trust: vec![1.0; bands],
            standing: vec![0.0; bands],
            held_db: vec![f32::MAX; bands],
            factor: vec![1.0; bands],
            sorting: Vec::with_capacity(bins.max(WATCHED)),
            edges,
        }
    }

    /// Looks at a band of the next frame, whose powers are smoothed over time: call this for every band, the same as those in which
    /// the level is followed, then [`Self::finish_frame`]. Never allocates.
    pub fn take_band(&mut self, band: usize, smoothed: &[f32]) {
        self.sorting.clear();
        self.sorting
            .extend_from_slice(&smoothed[self.edges[band]..self.edges[band + 1]]);
        let floor = decibels(quantile(&mut self.sorting, LOW_QUANTILE));
        self.recent[self.frames % WATCHED][band] = floor;
        if self.frames + 1 < FEWEST {
            return;
        }
        self.sorting.clear();
        self.sorting
            .extend(self.recent.iter().take(self.frames + 1).map(|r| r[band]));
        let lowest = self.sorting.iter().copied().fold(f32::MAX, f32::min);
        let usual = quantile(&mut self.sorting, USUAL_QUANTILE);
        let unsteady = usual - lowest;
        self.trust[band] = (1.0 - (unsteady - STEADY_DB) / FADE_DB).clamp(0.0, 1.0);
        let standing = quantile(&mut self.sorting, STANDING_QUANTILE);
        if self.frames + 1 >= STANDING && usual - standing <= STANDING_DB {
            self.standing[band] = libm::exp10f(0.1 * standing);
        }
    }

    /// The power at which the floor of each band last stood still as that of noise does, 0 where it never did.
    #[must_use]
    pub fn standing(&self) -> &[f32] {
        &self.standing
    }

    /// The floor of a band in the frame that is being looked at, in dB.
    pub(super) fn floor_db(&self, band: usize) -> f32 {
        self.recent[self.frames % WATCHED][band]
    }

    /// Ends a frame.
    pub fn finish_frame(&mut self) {
        self.frames += 1;
    }

    /// Lowers `noise`, the powers that are taken for noise after a frame, where they have risen because of the music. Never
    /// allocates.
    pub fn limit(&mut self, noise: &mut [f32]) {
        for (band, factor) in self.factor.iter_mut().enumerate() {
            let bins = &noise[self.edges[band]..self.edges[band + 1]];
            let mean = bins.iter().sum::<f32>() / bins.len().max(1) as f32;
            *factor = 1.0;
            if !mean.is_finite() {
                continue;
            }
            let now = decibels(mean);
            let held = now.min(self.held_db[band] + LEAK_DB + self.trust[band] * RISE_DB);
            self.held_db[band] = held;
            *factor = libm::exp10f(-0.1 * (now - held - SLACK_DB).max(0.0));
        }
        if self.factor.iter().any(|f| *f < 1.0) {
            let mut between = BetweenBands::new(&self.edges);
            for (f, noise) in noise.iter_mut().enumerate() {
                *noise *= between.at(f, &self.factor);
            }
        }
    }

    /// Forgets everything. Never allocates.
    pub fn clear(&mut self) {
        self.frames = 0;
        self.held_db.fill(f32::MAX);
        self.trust.fill(1.0);
        self.standing.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    const BINS: usize = 513;

    /// Powers of noise of this level, as smooth as a tracker's.
    fn frame(level_db: f32, rng: &mut StableRng) -> Vec<f32> {
        let level = libm::exp10f(0.1 * level_db);
        (0..BINS)
            .map(|_| {
                level
                    * (0..8)
                        .map(|_| rng.normal() as f32)
                        .map(|x| x * x / 8.0)
                        .sum::<f32>()
            })
            .collect()
    }

    /// What is left of an estimate that follows the level of so many frames, in dB, after each.
    fn limited(
        frames: usize,
        level_db: impl Fn(usize) -> f32,
        estimate_db: impl Fn(usize) -> f32,
    ) -> Vec<f32> {
        let mut memory = FloorMemory::new(BINS);
        let mut rng = StableRng::new(7, 0);
        (0..frames)
            .map(|m| {
                let smoothed = frame(level_db(m), &mut rng);
                for band in 0..memory.factor.len() {
                    memory.take_band(band, &smoothed);
                }
                memory.finish_frame();
                let mut noise = vec![libm::exp10f(0.1 * estimate_db(m)); BINS];
                memory.limit(&mut noise);
                10.0 * noise[200].log10()
            })
            .collect()
    }

    /// Chords that swell and decay within half a second.
    fn chords(m: usize) -> f32 {
        -20.0 - (m % 12) as f32
    }

    #[test]
    fn steady_noise_may_rise_and_fall() {
        let level = |m: usize| {
            if (200..400).contains(&m) {
                -50.0
            } else {
                -60.0
            }
        };
        let db = limited(600, level, level);
        assert!(
            (db[199] + 60.0).abs() < 0.1 && (db[599] + 60.0).abs() < 0.1,
            "{} {}",
            db[199],
            db[599]
        );
        assert!((db[399] + 50.0).abs() < 0.1, "{}", db[399]);
        assert!((db[401] + 60.0).abs() < 0.1, "{}", db[401]);
    }

    #[test]
    fn music_without_a_pause_is_not_taken_for_noise_and_the_room_is_remembered() {
        // Minima forget the room after 64 frames of music.
        let level = |m: usize| if m < 100 { -60.0 } else { chords(m) };
        let estimate = |m: usize| if m < 164 { -60.0 } else { -32.0 };
        let db = limited(564, level, estimate);
        // 17 seconds.
        let most = -60.0 + SLACK_DB + 400.0 * LEAK_DB + 1.0;
        assert!(db[563] < most, "{} {most}", db[563]);
        assert!(db[563] > -60.0 + SLACK_DB, "{}", db[563]);
    }

    #[test]
    fn what_stays_when_the_music_has_ended_is_noise() {
        let level = |m: usize| match m {
            0..100 => -60.0,
            100..300 => chords(m),
            _ => -45.0,
        };
        let estimate = |m: usize| match m {
            0..164 => -60.0,
            164..300 => -32.0,
            _ => -45.0,
        };
        let db = limited(400, level, estimate);
        assert!(db[299] < -50.0, "{}", db[299]);
        assert!((db[399] + 45.0).abs() < 0.1, "{}", db[399]);
    }

    /// The powers at which the floors of all bands stand after so many frames of these levels.
    fn standing_after(frames: usize, level_db: impl Fn(usize) -> f32) -> Vec<f32> {
        let mut memory = FloorMemory::new(BINS);
        let mut rng = StableRng::new(9, 0);
        for m in 0..frames {
            let smoothed = frame(level_db(m), &mut rng);
            for band in 0..memory.standing.len() {
                memory.take_band(band, &smoothed);
            }
            memory.finish_frame();
        }
        let standing = memory.standing().to_vec();
        memory.clear();
        assert!(memory.standing().iter().all(|p| *p == 0.0));
        standing
    }

    /// Whether all bands stand near a level: their lower quantile over the bins is below the mean.
    fn all_near(standing: &[f32], db: f32) -> bool {
        let near = |p: &f32| (-4.0..=0.5).contains(&(decibels(*p) - db));
        standing.iter().all(near)
    }

    #[test]
    fn noise_stands_still_and_chords_never_do() {
        let never = |standing: Vec<f32>| standing.iter().all(|p| *p == 0.0);
        assert!(never(standing_after(STANDING - 1, |_| -60.0)));
        assert!(all_near(&standing_after(STANDING, |_| -60.0), -60.0));
        assert!(never(standing_after(400, chords)));
        // What stood still once is kept under music, and corrected by what stands still later.
        let then_chords = |m: usize| if m < 100 { -60.0 } else { chords(m) };
        assert!(all_near(&standing_after(400, then_chords), -60.0));
        let risen = |m: usize| if m < 100 { -60.0 } else { -50.0 };
        assert!(all_near(&standing_after(200, risen), -50.0));
    }

    #[test]
    fn gaps_every_two_seconds_do_not_hide_that_the_noise_stands_still() {
        // A second in three: 24 frames of 72.
        let cut = |m: usize| if m % 72 < 48 { -60.0 } else { -96.0 };
        for frames in 100..250 {
            let standing = standing_after(frames, cut);
            assert!(all_near(&standing, -60.0), "{frames}: {standing:?}");
        }
    }

    #[test]
    fn broken_powers_are_forgotten() {
        for broken in [f32::NAN, f32::INFINITY, f32::MAX] {
            let mut memory = FloorMemory::new(BINS);
            let mut rng = StableRng::new(8, 0);
            for m in 0..200 {
                let mut smoothed = frame(-60.0, &mut rng);
                let mut noise = vec![1e-6; BINS];
                if m == 100 {
                    smoothed.fill(broken);
                    noise.fill(broken);
                }
                for band in 0..memory.factor.len() {
                    memory.take_band(band, &smoothed);
                }
                memory.finish_frame();
                memory.limit(&mut noise);
                if m != 100 {
                    assert!(
                        noise.iter().all(|p| (p / 1e-6 - 1.0).abs() < 0.01),
                        "{broken} {m}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_memory_that_was_cleared_is_as_good_as_new() {
        let mut used = FloorMemory::new(BINS);
        for _ in 0..100 {
            for band in 0..used.factor.len() {
                used.take_band(band, &vec![1e-6; BINS]);
            }
            used.finish_frame();
            used.limit(&mut vec![1e-6; BINS]);
        }
        used.clear();
        used.limit(&mut vec![f32::NAN; BINS]);
        let mut noise = vec![1.0; BINS];
        used.limit(&mut noise);
        assert_eq!(noise, vec![1.0; BINS]);
    }
}
