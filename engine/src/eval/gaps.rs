//! Recordings with gaps, as between the regions of a track: silence in which not even the noise goes on.

use super::CleanClip;
use crate::rng::StableRng;

/// Sound before each gap, and length of a gap, in seconds.
const SOUND_SECONDS: f32 = 2.0;
const GAP_SECONDS: f32 = 1.0;
/// Fades on both sides of it in seconds.
const FADE_SECONDS: f32 = 0.01;
/// One step of 16 bits.
const STEP: f32 = 1.0 / 32768.0;

/// How loud sample `i` still is, 0 in a gap.
fn gain(i: usize, rate_hz: u32) -> f32 {
    let seconds = (i as f64 / f64::from(rate_hz) % f64::from(SOUND_SECONDS + GAP_SECONDS)) as f32;
    let faded_in = if (i as f64) < f64::from(SOUND_SECONDS) * f64::from(rate_hz) {
        1.0
    } else {
        seconds / FADE_SECONDS
    };
    ((SOUND_SECONDS - seconds) / FADE_SECONDS)
        .min(faded_in)
        .clamp(0.0, 1.0)
}

/// The recording with a gap of a second after every two seconds.
#[must_use]
pub fn cut(clip: &CleanClip) -> CleanClip {
    let mut cut = clip.clone();
    for (i, x) in cut.samples.iter_mut().enumerate() {
        *x *= gain(i, clip.rate_hz);
    }
    cut
}

/// The same done to a mixture, with a triangular dither of 16 bits over all of it.
pub fn cut_mixture(noisy: &mut [f32], rate_hz: u32, rng: &mut StableRng) {
    for (i, x) in noisy.iter_mut().enumerate() {
        let dither = (rng.uniform() + rng.uniform() - 1.0) as f32;
        *x = STEP * (*x * gain(i, rate_hz) / STEP + dither).round();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_dither_and_the_rest_is_as_it_was() {
        let rate_hz = 1000;
        let clip = CleanClip {
            group: String::new(),
            rate_hz,
            samples: vec![0.5; 5500],
        };
        let clean = cut(&clip).samples;
        let mut noisy = clip.samples.clone();
        cut_mixture(&mut noisy, rate_hz, &mut StableRng::new(1, 2));
        let gap = |i: usize| (2000..3000).contains(&i) || (5000..5500).contains(&i);
        for (i, (c, n)) in clean.iter().zip(&noisy).enumerate() {
            assert!((c - n).abs() < 2.0 * STEP, "{i}");
            if gap(i) {
                assert_eq!(*c, 0.0, "{i}");
            } else if !gap(i + 10) && !gap(i.saturating_sub(10)) {
                assert_eq!(*c, 0.5, "{i}");
            }
        }
        let heard = noisy[2000..3000].iter().filter(|x| **x != 0.0).count();
        assert!(heard > 100, "{heard}");
    }
}
