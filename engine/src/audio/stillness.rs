//! Whether all bands together stand still, as noise does and music seldom.

use super::noise_level::quantile;

/// Frames (1 s) over which all bands together may stand still, ...
const STILL: usize = 24;
/// ... which one does if these quantiles over time of its floor are no further apart than so many dB, ...
const STILL_QUANTILES: [f32; 2] = [0.1, 0.9];
const STILL_DB: f32 = 2.0;
/// ... all if this quantile of them does, and none if it is by so much further.
const STILL_BANDS: f32 = 0.5;
const FADE_DB: f32 = 1.0;

// The quantile over the bands of how far they moved, every frame: the seven recorded noises alone 0.7 to 3 dB (printer 0.9 to 5.9, vinyl
// hiss up to 4.9); white noise that was switched on 5 dB below a guitar of `train` mostly 0.5 to 1, 20 dB below 0.6 to 3; the guitars
// without noise 5 to 20, with 16 and 32 dB of drive 4 to 20, the long ends of their chords 1.4 to 4.

/// The levels of all bands over the last second.
pub struct Stillness {
    /// Levels in dB, `[frame][band]`.
    recent: Vec<Vec<f32>>,
    frames: usize,
    /// How far each band has moved, in dB.
    moved_db: Vec<f32>,
    sorting: Vec<f32>,
}

impl Stillness {
    /// For so many bands. Allocates everything it will ever need.
    #[must_use]
    pub fn new(bands: usize) -> Self {
        Self {
            recent: vec![vec![0.0; bands]; STILL],
            frames: 0,
            moved_db: vec![0.0; bands],
            sorting: Vec::with_capacity(bands.max(STILL)),
        }
    }

    /// Takes in the level of a band of the next frame: call this for every band, then [`Self::finish_frame`]. Never allocates, as all
    /// of them.
    pub fn take_band(&mut self, band: usize, level_db: f32) {
        self.recent[self.frames % STILL][band] = level_db;
    }

    /// Ends a frame; how still the bands have stood for a second, 0 to 1.
    pub fn finish_frame(&mut self) -> f32 {
        self.frames += 1;
        if self.frames < STILL {
            return 0.0;
        }
        for (band, moved) in self.moved_db.iter_mut().enumerate() {
            self.sorting.clear();
            self.sorting.extend(self.recent.iter().map(|r| r[band]));
            let [low, high] = STILL_QUANTILES.map(|q| quantile(&mut self.sorting, q));
            *moved = high - low;
        }
        let moved = quantile(&mut self.moved_db, STILL_BANDS);
        if moved.is_finite() {
            (1.0 - (moved - STILL_DB) / FADE_DB).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// Forgets what was heard. Never allocates.
    pub fn clear(&mut self) {
        self.frames = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    const BANDS: usize = 20;

    /// How still bands of these levels are after so many frames.
    fn after(frames: usize, level_db: impl Fn(usize) -> f32) -> f32 {
        let mut stillness = Stillness::new(BANDS);
        let mut rng = StableRng::new(9, 0);
        let mut still = 0.0;
        for m in 0..frames {
            for band in 0..BANDS {
                stillness.take_band(band, level_db(m) + 0.4 * rng.normal() as f32);
            }
            still = stillness.finish_frame();
        }
        still
    }

    #[test]
    fn a_noise_that_rose_stands_still_a_second_later_and_chords_never_do() {
        let risen = |m: usize| if m < 100 { -60.0 } else { -35.0 };
        assert_eq!(after(STILL - 1, risen), 0.0);
        assert_eq!(after(100, risen), 1.0);
        assert_eq!(after(112, risen), 0.0);
        assert_eq!(after(100 + STILL, risen), 1.0);
        for frames in 1..100 {
            // They swell and decay within half a second.
            assert_eq!(after(frames, |m| -20.0 - (m % 12) as f32), 0.0);
        }
        // Broken powers are no stillness, and do not last.
        let broken = |m: usize| if m == 50 { f32::INFINITY } else { -60.0 };
        assert_eq!(after(100, broken), 1.0);
        assert_eq!(after(100, |_| f32::INFINITY), 0.0);
    }

    #[test]
    fn what_was_cleared_is_as_good_as_new() {
        let mut used = Stillness::new(BANDS);
        for _ in 0..2 {
            for m in 1..=STILL {
                (0..BANDS).for_each(|band| used.take_band(band, -60.0));
                let still = used.finish_frame();
                assert_eq!(still, f32::from(u8::from(m == STILL)));
            }
            used.clear();
        }
    }
}
