//! Rumble, thumps and wind at the bottom of the spectrum, told from music by how much of it there is.

use realfft::num_complex::Complex32;

use super::range::share_limited;
use super::stft::FrameShape;

// Recordings of `train`, mode best, 0, 10 and 20 dB, margin over the best classical filter with noise learned from 2 s (guitar 4,
// flute 3; the models know them). The noise of a record player, whose thumps are 10 dB above its mean: guitar -0.04 -> +4.22 dB,
// flute -0.2 -> +9.24 dB; white noise +1.59 -> +1.54 and +0.61 -> +0.66, rain +1.65 -> +1.60 and +0.94 -> +0.95, other noises
// within 0.05 dB. With -17 dB allowed: white +1.58, record player +3.90 and +8.79; with -23 dB +1.47, +4.43 and +9.87. To take the
// noise down there to be 6 dB louder instead cost guitar 0.15 dB in white noise and won 0.6 dB.

/// Power below the range relative to that of the music: no more than this, -18 dB, is left as it is.
const ALLOWED: f32 = 0.016;
/// Time constant in seconds in which the music is forgotten.
const MUSIC_SECONDS: f32 = 0.3;
/// A bin counts as music when its power is this much above that of the noise there.
const MUSIC: f32 = 4.0;
/// What is this much louder than the noise below the range is no rumble of it (26 dB): a bass, played through the model of a
/// guitar. Between a third of that and it the limit fades away.
const MOST_ABOVE_NOISE: f32 = 400.0;
const FULL_ABOVE_NOISE: f32 = MOST_ABOVE_NOISE / 3.0;

/// Limits the power below the range of an instrument, and below 60 Hz at most, to a sixtieth of that of the music above.
///
/// Rumble comes in thumps: no noise spectrum, learned or tracked, says when, and one that is loud enough for the thumps says too
/// much of the rest. But an instrument has next to nothing down there, so what is more than that is noise whatever its level. Meant
/// for frames on their way into a step, before they are whitened, one after the other; works where their bins are narrow enough to
/// tell what is below from the lowest notes.
pub struct RumbleLimit {
    /// How certain it is that a bin is below the range, from bin 0 on.
    share: Vec<f32>,
    /// Share of the music's power that is remembered from one frame to the next.
    keep: f32,
    music: f32,
}

impl RumbleLimit {
    /// For frames of an instrument that sounds from `lowest_hz` on, 0 for any. Allocates; not for the audio thread.
    #[must_use]
    pub fn new(shape: FrameShape, rate_hz: u32, lowest_hz: f32) -> Self {
        let bin_hz = rate_hz as f32 / shape.window as f32;
        let hop_seconds = shape.hop as f32 / rate_hz as f32;
        Self {
            share: (0..shape.bins())
                .map(|f| share_limited(f as f32 * bin_hz, bin_hz, lowest_hz))
                .take_while(|s| *s > 0.0)
                .collect(),
            keep: libm::expf(-hop_seconds / MUSIC_SECONDS),
            music: 0.0,
        }
    }

    /// Limits the next frame. `whitening` is the inverse amplitude of the noise in each bin. Never allocates.
    pub fn apply(&mut self, whitening: &[f32], spectrum: &mut [Complex32]) {
        let bins = self.share.len().min(spectrum.len()).min(whitening.len());
        if bins == 0 {
            return;
        }
        let (below, above) = spectrum.split_at_mut(bins);
        let (inverse_below, inverse_above) = whitening.split_at(bins);
        let mut music = 0.0;
        for (y, i) in above.iter().zip(inverse_above) {
            let power = y.norm_sqr();
            if power * i * i > MUSIC {
                music += power;
            }
        }
        self.music = music.max(self.keep * self.music);
        let (mut rumble, mut noise) = (0.0, 0.0);
        for ((y, i), share) in below.iter().zip(inverse_below).zip(&self.share) {
            rumble += share * y.norm_sqr();
            noise += share / (i * i);
        }
        let allowed = ALLOWED * self.music;
        if rumble <= allowed || rumble >= MOST_ABOVE_NOISE * noise {
            return;
        }
        let fade = libm::log10f(MOST_ABOVE_NOISE * noise / rumble)
            / libm::log10f(MOST_ABOVE_NOISE / FULL_ABOVE_NOISE);
        let taken = fade.min(1.0) * (1.0 - (allowed / rumble).sqrt());
        for (y, share) in below.iter_mut().zip(&self.share) {
            *y *= 1.0 - share * taken;
        }
    }

    /// Forgets what was heard. Never allocates.
    pub const fn clear(&mut self) {
        self.music = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: FrameShape = FrameShape {
        window: 4096,
        synthesis: 4096,
        hop: 1024,
    };
    const GUITAR_HZ: f32 = 48.0;

    /// What is left of power `rumble` in bins 1 to 3 (12 to 35 Hz), with noise of power 1 and a note of power `music` at 12 kHz,
    /// in dB.
    fn left_db(limit: &mut RumbleLimit, rumble: f32, music: f32) -> f32 {
        let mut spectrum = vec![Complex32::default(); SHAPE.bins()];
        spectrum[1..4].fill(Complex32::new((rumble / 3.0).sqrt(), 0.0));
        spectrum[1024] = Complex32::new(0.0, music.sqrt());
        limit.apply(&vec![1.0; SHAPE.bins()], &mut spectrum);
        assert!((spectrum[1024].norm_sqr() - music).abs() <= 1e-3 * music);
        let left: f32 = spectrum[..5].iter().map(|y| y.norm_sqr()).sum();
        10.0 * (left / rumble).log10()
    }

    fn limit() -> RumbleLimit {
        RumbleLimit::new(SHAPE, 48_000, GUITAR_HZ)
    }

    #[test]
    fn thumps_are_limited_to_a_sixtieth_of_the_music() {
        let db = left_db(&mut limit(), 100.0, 1000.0);
        assert!((db + 7.96).abs() < 0.1, "{db}");
        // A guitar's body moves too.
        assert!(left_db(&mut limit(), 100.0, 11_000.0).abs() < 1e-4);
        // Nothing plays: all of it is rumble.
        assert!(left_db(&mut limit(), 100.0, 0.0) < -100.0);
    }

    #[test]
    fn a_bass_is_no_rumble() {
        assert!(left_db(&mut limit(), 3000.0, 1000.0).abs() < 1e-4);
        let half = left_db(&mut limit(), 1200.0, 10.0);
        assert!((-20.0..-1.0).contains(&half), "{half}");
    }

    #[test]
    fn music_is_remembered_for_a_while() {
        let mut limit = limit();
        left_db(&mut limit, 1.0, 100_000.0);
        assert!(left_db(&mut limit, 100.0, 0.0).abs() < 1e-4);
        for _ in 0..60 {
            left_db(&mut limit, 1.0, 0.0);
        }
        assert!(left_db(&mut limit, 100.0, 0.0) < -5.0);
        left_db(&mut limit, 1.0, 100_000.0);
        limit.clear();
        assert!(left_db(&mut limit, 100.0, 0.0) < -100.0);
    }

    #[test]
    fn short_frames_do_not_tell_rumble_from_low_notes() {
        let short = FrameShape {
            window: 1024,
            synthesis: 384,
            hop: 192,
        };
        let mut limit = RumbleLimit::new(short, 48_000, 216.0);
        let mut spectrum = vec![Complex32::new(5.0, 0.0); short.bins()];
        let before = spectrum.clone();
        limit.apply(&vec![1.0; short.bins()], &mut spectrum);
        assert_eq!(spectrum, before);
    }

    #[test]
    fn silence_and_broken_numbers_do_not_panic() {
        let mut limit = limit();
        let mut spectrum = vec![Complex32::default(); SHAPE.bins()];
        limit.apply(&vec![1.0; SHAPE.bins()], &mut spectrum);
        assert!(spectrum.iter().all(|y| *y == Complex32::default()));
        limit.apply(&[], &mut spectrum);
        limit.apply(&vec![1.0; SHAPE.bins()], &mut []);
    }
}
