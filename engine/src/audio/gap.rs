//! Silence that no room makes: a closed gate, a muted track, the dither between two regions.

use super::noise_level::{level_bands, quantile};

// Two guitar performances (GuitarSet, mdn) and a medley of flutes, all of `train`, 22 s each, 15 dB above white noise or a fan, nobody
// tells, mode live, mean SNR out of the six without and with this: two gaps of a second with nothing but the dither of 16 bits 20.9 ->
// 23.8 dB, two seconds of dither before anything sounds 21.3 -> 23.6, a gate that closes between notes and phrases 20.4 -> 22.1, no gaps at
// all 24.0 and the same sound. Noise that falls by 30 dB during such a pause 24.7 -> 24.4, noise from nothing under music 21.9 -> 23.6. Where
// frames were compared with the estimate instead of with where the floor last stood still, and gaps came every two seconds under dense
// playing, they passed for a fall of the noise: the guitar of the fixtures, three times over, gained 5.0 dB instead of 12.7.

/// A frame is a gap if every band is at least this much softer than the noise, in dB. A noise that falls by 10 dB is followed.
const BELOW_DB: f32 = 15.0;
/// Bands in which the noise is softer than in the usual band by more than this, in dB, do not count: where the sound was cut off by
/// a compressed file or an old converter, there is nothing but dither at any time.
const COUNTED_DB: f32 = 20.0;
/// After so many frames (4 s) it is believed that the noise has gone, ...
const BELIEVED: usize = 94;
/// ... unless what is left is the dither of 16 bits or less, which nobody hears: -84 dB full scale.
const NOTHING: f32 = 4e-9;

/// Tells gaps from pauses.
///
/// In a pause the noise goes on; in a gap there is nothing, and that says nothing about the noise that will be back with the
/// next note. A noise that was switched off looks alike until something sounds, and while nothing does, nobody hears what is
/// taken for noise.
pub struct GapFinder {
    /// First bin of each band, and one past the last bin.
    edges: Vec<usize>,
    means: Vec<f32>,
    sorting: Vec<f32>,
    /// Frames that overlap, so that the edge of a gap is in the others of them.
    overlap: usize,
    /// Frames of the gap under way.
    frames: usize,
    /// Frames to come that still reach into the last gap.
    reaching_back: usize,
}

impl GapFinder {
    /// For spectra of `bins` bins of frames of which `overlap` hear each sample. Allocates everything it will ever need.
    #[must_use]
    pub fn new(bins: usize, overlap: usize) -> Self {
        let edges = level_bands(bins);
        let bands = edges.len() - 1;
        Self {
            means: vec![0.0; bands],
            sorting: Vec::with_capacity(bands),
            edges,
            overlap,
            frames: 0,
            reaching_back: 0,
        }
    }

    /// Whether the next frame, of these powers, says nothing about a noise of which the bins of each band, one of those that a level
    /// is followed in, are known to be of this power on average; 0 is not known. Never allocates.
    pub fn take_frame(&mut self, power: &[f32], noise: &[f32]) -> bool {
        if self.is_soft(power, noise) {
            if power.iter().sum::<f32>() > NOTHING * power.len() as f32 {
                self.frames += 1;
            }
            if self.frames > BELIEVED {
                self.reaching_back = 0;
                return false;
            }
            self.reaching_back = self.overlap;
            return true;
        }
        self.frames = 0;
        let reaches_back = self.reaching_back > 0;
        self.reaching_back = self.reaching_back.saturating_sub(1);
        reaches_back
    }

    /// Like [`Self::take_frame`], for a noise that is known in every bin.
    pub fn take_frame_learned(&mut self, power: &[f32], noise: &[f32]) -> bool {
        let mut means = std::mem::take(&mut self.means);
        for (m, e) in means.iter_mut().zip(self.edges.windows(2)) {
            *m = mean(&noise[e[0]..e[1]]);
        }
        let says_nothing = self.take_frame(power, &means);
        self.means = means;
        says_nothing
    }

    fn is_soft(&mut self, power: &[f32], noise: &[f32]) -> bool {
        self.sorting.clear();
        self.sorting.extend(noise);
        let counted = quantile(&mut self.sorting, 0.5) * libm::exp10f(-0.1 * COUNTED_DB);
        if !(counted.is_finite() && counted > 0.0) {
            return false;
        }
        let below = libm::exp10f(-0.1 * BELOW_DB);
        noise
            .iter()
            .zip(self.edges.windows(2))
            .all(|(m, e)| *m < counted || mean(&power[e[0]..e[1]]) < below * m)
    }

    /// Forgets everything. Never allocates.
    pub fn clear(&mut self) {
        self.frames = 0;
        self.reaching_back = 0;
    }
}

fn mean(powers: &[f32]) -> f32 {
    powers.iter().sum::<f32>() / powers.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    const BINS: usize = 513;
    const OVERLAP: usize = 4;

    /// Powers of a frame of noise of this level, as unsmooth as those of one frame are.
    fn frame(level_db: f32, rng: &mut StableRng) -> Vec<f32> {
        let level = libm::exp10f(0.1 * level_db);
        let mut half = || rng.normal().powi(2) as f32;
        (0..BINS).map(|_| 0.5 * level * (half() + half())).collect()
    }

    /// Which frames of these levels say nothing about noise of -60 dB.
    fn skipped(levels_db: &[f32], known: bool) -> Vec<bool> {
        let mut finder = GapFinder::new(BINS, OVERLAP);
        let mut rng = StableRng::new(11, 0);
        let noise = vec![if known { 1e-6 } else { 0.0 }; finder.means.len()];
        levels_db
            .iter()
            .map(|db| finder.take_frame(&frame(*db, &mut rng), &noise))
            .collect()
    }

    fn levels(pieces: &[(usize, f32)]) -> Vec<f32> {
        pieces
            .iter()
            .flat_map(|(frames, db)| vec![*db; *frames])
            .collect()
    }

    #[test]
    fn a_closed_gate_is_a_gap_and_so_are_the_frames_that_reach_into_it() {
        let skipped = skipped(&levels(&[(300, -60.0), (20, -100.0), (300, -60.0)]), true);
        assert!(skipped[..300].iter().all(|s| !s));
        assert!(skipped[300..320 + OVERLAP].iter().all(|s| *s));
        assert!(skipped[320 + OVERLAP..].iter().all(|s| !s));
    }

    #[test]
    fn noise_that_is_not_known_for_sure_or_falls_by_ten_decibels_is_heard() {
        let gap = levels(&[(20, -60.0), (20, -100.0), (20, -60.0)]);
        assert!(skipped(&gap, false).iter().all(|s| !s));
        let softer = levels(&[(20, -60.0), (300, -70.0)]);
        assert!(skipped(&softer, true).iter().all(|s| !s));
    }

    #[test]
    fn a_room_that_has_become_quiet_is_believed_after_four_seconds_and_dither_never() {
        let quiet = skipped(&levels(&[(20, -60.0), (400, -80.0)]), true);
        assert!(quiet[20..20 + BELIEVED].iter().all(|s| *s));
        assert!(quiet[20 + BELIEVED..].iter().all(|s| !s));
        let dither = skipped(&levels(&[(20, -60.0), (4000, -96.0)]), true);
        assert!(dither[20..].iter().all(|s| *s));
    }

    #[test]
    fn what_sounds_in_a_room_that_has_become_quiet_is_heard_at_once() {
        let heard = skipped(&levels(&[(20, -60.0), (100, -80.0), (20, -60.0)]), true);
        assert!(heard[120..].iter().all(|s| !s));
    }

    #[test]
    fn bands_that_are_always_empty_do_not_count() {
        let mut finder = GapFinder::new(BINS, OVERLAP);
        let mut rng = StableRng::new(12, 0);
        let cut = |mut power: Vec<f32>| {
            power[BINS / 2..].fill(1e-10);
            power
        };
        let noise = cut(vec![1e-6; BINS]);
        assert!(!finder.take_frame_learned(&cut(frame(-60.0, &mut rng)), &noise));
        assert!(finder.take_frame_learned(&cut(frame(-97.0, &mut rng)), &noise));
        finder.clear();
        // One soft note is enough to be no gap.
        let mut note = cut(frame(-97.0, &mut rng));
        note[100] = 1e-4;
        assert!(!finder.take_frame_learned(&note, &noise));
    }

    #[test]
    fn broken_powers_are_no_gap_and_pass() {
        for broken in [f32::NAN, f32::INFINITY, f32::MAX] {
            let mut finder = GapFinder::new(BINS, OVERLAP);
            assert!(!finder.take_frame_learned(&vec![broken; BINS], &[1e-6; BINS]));
            assert!(!finder.take_frame_learned(&vec![1e-6; BINS], &[1e-6; BINS]));
            // A broken estimate tells nothing either.
            assert!(!finder.take_frame_learned(&vec![1e-6; BINS], &[broken; BINS]));
        }
        assert!(!GapFinder::new(1, OVERLAP).take_frame_learned(&[1.0], &[1.0]));
    }
}
