//! Rumble, thumps and wind at the bottom of the spectrum, told from music by how much of it there is.

use realfft::num_complex::Complex32;

use super::range::{NO_NOTE_BELOW_HZ, share_limited};
use super::stft::FrameShape;

// Recordings of `train`, mode best, 0, 10 and 20 dB, margin over the best classical filter with noise learned from 2 s (guitar 4,
// flute 3; the models know them). Record player, whose thumps are 10 dB above its mean: guitar -0.04 -> +4.8 dB, flute +1.05 -> +9.2
// dB; white noise +1.59 -> +1.60 and +0.61 -> +0.67, rain +1.65 -> +1.58 and +0.94 -> +0.95. With -18 dB allowed: record player +4.64
// and +8.67, rain +1.61; with -22 dB +5.02, +9.72 and +1.51. Without regard to the tilt white noise +1.52. To take the noise down
// there to be 6 dB louder instead cost 0.15 dB in white noise for 0.6 dB. A bass (41 to 49 Hz) in the record player's noise, 10 dB:
// through the model for any instrument 13.4 -> 15.5 dB, through guitar's 13.4 -> 8.0 dB; in white noise as before.

/// Power below the range relative to that of the music: no more than this, -20 dB, is left as it is.
const ALLOWED: f32 = 0.01;
/// Time constant in seconds in which the music is forgotten.
const MUSIC_SECONDS: f32 = 0.3;
/// A bin counts as music when its power is this much above that of the noise there.
const MUSIC: f32 = 4.0;
/// What is this much louder than the noise below the range is no rumble of it, 26 dB, ...
const MOST_ABOVE_NOISE: f32 = 400.0;
/// ... or this much for each time that the noise there is denser than above: a noise that does not rumble does not thump either,
/// but the body of a guitar does.
const ABOVE_PER_TILT: f32 = 16.0;
/// From so much less on the limit fades away.
const FADE: f32 = 3.0;
/// Time constant in seconds in which a low note of another instrument is told from a thump: its phase goes on as that of a tone.
const TONE_SECONDS: f32 = 0.25;
/// Coherence of two windows that follow each other at which a bin begins to count as a note's ...
const COHERENT_FROM: f32 = 0.6;
/// ... and at which it counts fully. Noise has 0.5 or so in this time.
const COHERENT_AT: f32 = 0.85;

/// Whether a bin goes on from one window to the next as a tone does.
#[derive(Clone, Copy, Default)]
struct Coherence {
    product: Complex32,
    power: f32,
}

/// Limits the power below the range of an instrument, and below 60 Hz at most, to a hundredth of that of the music above.
///
/// Rumble comes in thumps: no noise spectrum, learned or tracked, says when, and one that is loud enough for the thumps says too
/// much of the rest. But an instrument has next to nothing down there: what is more than that is noise, unless it goes on as a
/// bass note does or is far above what the noise has there. Meant
/// for frames on their way into a step, before they are whitened, one after the other; works where their bins are narrow enough to
/// tell what is below from the lowest notes.
pub struct RumbleLimit {
    /// How certain it is that a bin is below the range, from bin 0 on.
    share: Vec<f32>,
    /// Share of the music's power that is remembered from one frame to the next.
    keep: f32,
    music: f32,
    /// Share of the coherence that is remembered.
    keep_tone: f32,
    first_tone: usize,
    tone: Vec<Coherence>,
    /// The frames of a window, oldest first from `next` on, `[frame][bin]`.
    past: Vec<Vec<Complex32>>,
    next: usize,
    /// How far each bin is rumble in this frame, 0 to 1.
    rumble: Vec<f32>,
}

impl RumbleLimit {
    /// For frames of an instrument that sounds from `lowest_hz` on, 0 for any. Allocates; not for the audio thread.
    #[must_use]
    pub fn new(shape: FrameShape, rate_hz: u32, lowest_hz: f32) -> Self {
        let bin_hz = rate_hz as f32 / shape.window as f32;
        let hop_seconds = shape.hop as f32 / rate_hz as f32;
        let share: Vec<f32> = (0..shape.bins())
            .map(|f| share_limited(f as f32 * bin_hz, bin_hz, lowest_hz))
            .take_while(|s| *s > 0.0)
            .collect();
        let bins = share.len();
        Self {
            share,
            keep: libm::expf(-hop_seconds / MUSIC_SECONDS),
            music: 0.0,
            keep_tone: libm::expf(-hop_seconds / TONE_SECONDS),
            // An arm or a floor that swings does so as a tone.
            first_tone: (NO_NOTE_BELOW_HZ / bin_hz).ceil() as usize,
            tone: vec![Coherence::default(); bins],
            past: vec![vec![Complex32::default(); bins]; shape.window.div_ceil(shape.hop)],
            next: 0,
            rumble: vec![0.0; bins],
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
        self.notice_tones(below);
        let (mut music, mut noise_above) = (0.0, 0.0);
        for (y, i) in above.iter().zip(inverse_above) {
            let (power, noise) = (y.norm_sqr(), 1.0 / (i * i));
            noise_above += noise;
            if power > MUSIC * noise {
                music += power;
            }
        }
        let (mut rumble, mut noise, mut shares) = (0.0, 0.0, 0.0);
        for ((y, i), share) in below.iter().zip(inverse_below).zip(&self.rumble) {
            let power = y.norm_sqr();
            rumble += share * power;
            music += (1.0 - share) * power;
            noise += share / (i * i);
            shares += share;
        }
        // Samples of absurd size must not be remembered for ever.
        self.music = music.max(self.keep * self.music).min(f32::MAX);
        let allowed = ALLOWED * self.music;
        let tilt = noise * above.len() as f32 / (noise_above * shares).max(f32::MIN_POSITIVE);
        let most = noise * MOST_ABOVE_NOISE.min(ABOVE_PER_TILT * tilt);
        if rumble <= allowed || rumble >= most {
            return;
        }
        let fade = libm::log10f(most / rumble) / libm::log10f(FADE);
        let taken = fade.min(1.0) * (1.0 - (allowed / rumble).sqrt());
        for (y, share) in below.iter_mut().zip(&self.rumble) {
            *y *= 1.0 - share * taken;
        }
    }

    /// Tells notes of lower instruments from rumble.
    fn notice_tones(&mut self, below: &[Complex32]) {
        let past = &mut self.past[self.next];
        let bins = below.iter().zip(past).zip(&mut self.tone);
        let places = self.rumble.iter_mut().zip(&self.share);
        for (f, (((y, past), tone), (rumble, share))) in bins.zip(places).enumerate() {
            let fresh = 1.0 - self.keep_tone;
            tone.product = tone.product * self.keep_tone + y * past.conj() * fresh;
            let power = 0.5 * (y.norm_sqr() + past.norm_sqr());
            tone.power = tone.power * self.keep_tone + power * fresh;
            *past = *y;
            if !(tone.power.is_finite() && tone.product.is_finite()) {
                *tone = Coherence::default();
            }
            let coherence = tone.product.norm_sqr().sqrt() / tone.power.max(f32::MIN_POSITIVE);
            let note = if f < self.first_tone {
                0.0
            } else {
                ((coherence - COHERENT_FROM) / (COHERENT_AT - COHERENT_FROM)).clamp(0.0, 1.0)
            };
            *rumble = share * (1.0 - note);
        }
        self.next = (self.next + 1) % self.past.len();
    }

    /// Forgets what was heard. Never allocates.
    pub fn clear(&mut self) {
        self.music = 0.0;
        self.tone.fill(Coherence::default());
        for frame in &mut self.past {
            frame.fill(Complex32::default());
        }
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

    /// Inverse amplitude of a noise whose power is 1 in the lowest bins and a hundredth elsewhere.
    fn rumbling() -> Vec<f32> {
        (0..SHAPE.bins())
            .map(|f| if f < 8 { 1.0 } else { 10.0 })
            .collect()
    }

    /// What is left of power `rumble` in bins 1 to 3 (12 to 35 Hz), beside a note of power `music` at 12 kHz, in dB.
    fn left_db(limit: &mut RumbleLimit, whitening: &[f32], rumble: f32, music: f32) -> f32 {
        let mut spectrum = vec![Complex32::default(); SHAPE.bins()];
        spectrum[1..4].fill(Complex32::new((rumble / 3.0).sqrt(), 0.0));
        spectrum[1024] = Complex32::new(0.0, music.sqrt());
        limit.apply(whitening, &mut spectrum);
        assert!((spectrum[1024].norm_sqr() - music).abs() <= 1e-3 * music);
        let left: f32 = spectrum[..5].iter().map(|y| y.norm_sqr()).sum();
        10.0 * (left / rumble).log10()
    }

    /// Of a thump after nothing.
    fn thump_left_db(rumble: f32, music: f32) -> f32 {
        left_db(&mut limit(), &rumbling(), rumble, music)
    }

    fn limit() -> RumbleLimit {
        RumbleLimit::new(SHAPE, 48_000, GUITAR_HZ)
    }

    #[test]
    fn thumps_are_limited_to_a_hundredth_of_the_music() {
        let db = thump_left_db(100.0, 1000.0);
        assert!((db + 10.0).abs() < 0.1, "{db}");
        // A guitar's body moves too.
        assert!(thump_left_db(100.0, 11_000.0).abs() < 1e-4);
        // Nothing plays: all of it is rumble.
        assert!(thump_left_db(100.0, 0.0) < -100.0);
    }

    #[test]
    fn what_is_far_above_the_noise_is_none_of_it() {
        assert!(thump_left_db(3000.0, 1000.0).abs() < 1e-4);
        let half = thump_left_db(1200.0, 10.0);
        assert!((-17.0..-1.0).contains(&half), "{half}");
        // White noise does not thump.
        let white = vec![1.0; SHAPE.bins()];
        assert!(left_db(&mut limit(), &white, 100.0, 0.0).abs() < 1e-4);
        assert!(left_db(&mut limit(), &white, 10.0, 0.0) < -100.0);
    }

    #[test]
    fn music_is_remembered_for_a_while() {
        let mut limit = limit();
        let mut after = |rumble, music| left_db(&mut limit, &rumbling(), rumble, music);
        after(1.0, 100_000.0);
        assert!(after(100.0, 0.0).abs() < 1e-4);
        for _ in 0..60 {
            after(1e-6, 0.0);
        }
        assert!(after(100.0, 0.0) < -5.0);
        after(1.0, 100_000.0);
        limit.clear();
        assert!(left_db(&mut limit, &rumbling(), 100.0, 0.0) < -100.0);
    }

    #[test]
    fn a_bass_is_told_from_a_thump() {
        // A tone of 35 Hz in bin 3: its phase turns by as much from each frame to the next.
        let mut limit = limit();
        let mut left = 0.0;
        for m in 0..80 {
            let mut spectrum = vec![Complex32::default(); SHAPE.bins()];
            spectrum[3] = Complex32::from_polar(10.0, 4.7 * m as f32);
            limit.apply(&rumbling(), &mut spectrum);
            left = spectrum[3].norm_sqr() / 100.0;
            if m == 0 {
                assert!(left < 1e-6, "a first frame may be a thump: {left}");
            }
        }
        assert!(left > 0.99, "{left}");
        // With another phase in every frame it is rumble.
        let mut rng = crate::rng::StableRng::new(5, 0);
        let mut sum = 0.0;
        for _ in 0..80 {
            let mut spectrum = vec![Complex32::default(); SHAPE.bins()];
            spectrum[3] =
                Complex32::from_polar(10.0, rng.uniform_in(0.0, std::f64::consts::TAU) as f32);
            limit.apply(&rumbling(), &mut spectrum);
            sum += spectrum[3].norm_sqr() / 100.0 / 80.0;
        }
        assert!(sum < 0.3, "{sum}");
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
        limit.apply(&vec![0.1; short.bins()], &mut spectrum);
        assert_eq!(spectrum, before);
    }

    #[test]
    fn silence_and_broken_numbers_do_not_panic() {
        let mut limit = limit();
        let mut spectrum = vec![Complex32::default(); SHAPE.bins()];
        limit.apply(&vec![1.0; SHAPE.bins()], &mut spectrum);
        assert!(spectrum.iter().all(|y| *y == Complex32::default()));
        for absurd in [f32::NAN, f32::INFINITY, 1e30] {
            for f in [3, 900] {
                let mut spectrum = vec![Complex32::default(); SHAPE.bins()];
                spectrum[f] = Complex32::new(absurd, -absurd);
                limit.apply(&rumbling(), &mut spectrum);
            }
        }
        for _ in 0..2500 {
            left_db(&mut limit, &rumbling(), 1e-6, 0.0);
        }
        let db = left_db(&mut limit, &rumbling(), 100.0, 1000.0);
        assert!((db + 10.0).abs() < 0.1, "{db}");
        limit.apply(&[], &mut spectrum);
        limit.apply(&vec![1.0; SHAPE.bins()], &mut []);
    }
}
