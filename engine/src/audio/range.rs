//! The range of an instrument: below its lowest note a recording of it holds nothing but noise.

use super::noise::KEPT;
use super::stft::{FrameTransform, History};
use super::training_set::Clip;
use realfft::num_complex::Complex32;
use serde::{Deserialize, Serialize};

/// Frequencies that are tried, in Hz: sixths of an octave from here ...
const FIRST_HZ: f64 = 30.0;
/// ... so many of them, up to 1.7 kHz.
const TRIED: usize = 36;
/// A recording sounds below a frequency when more than this share of its power lies between 30 Hz and there, -30 dB. What is lower
/// is no note: an offset, or a room that rumbles.
const SHARE: f64 = 1e-3;
/// Part of the sound that may nevertheless come from recordings that do.
const EXCEPTIONS: f64 = 0.1;
/// Distance kept from what was found: other players go lower.
const CAUTION: f64 = 0.9;

/// Seconds of sound that reach below each of the frequencies tried; sums over recordings, so that folders and machines
/// can be merged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RangeStats {
    seconds: f64,
    below: Vec<f64>,
}

impl RangeStats {
    /// The sums of some clean recordings.
    #[must_use]
    pub fn of(rate_hz: u32, clips: &[Clip]) -> Self {
        let mut all = Self::default();
        for clip in clips {
            all.add(rate_hz, clip.samples());
        }
        all
    }

    /// Takes in a clean recording.
    pub fn add(&mut self, rate_hz: u32, samples: &[f32]) {
        let shape = KEPT.at_rate(rate_hz);
        let transform = FrameTransform::for_measuring(shape);
        let mut scratch = transform.make_scratch();
        let mut spectrum = vec![Complex32::default(); shape.bins()];
        let mut power = vec![0.0f64; shape.bins()];
        let mut history = History::new(shape.window);
        for piece in samples.chunks(shape.window / 2) {
            history.push(piece);
            let (older, newer) = history.parts();
            transform.analyse_into(older, newer, &mut scratch, &mut spectrum);
            for (p, y) in power.iter_mut().zip(&spectrum) {
                *p += f64::from(y.norm_sqr());
            }
        }
        let seconds = samples.len() as f64 / f64::from(rate_hz);
        let all: f64 = power.iter().sum();
        self.seconds += seconds;
        self.below.resize(TRIED, 0.0);
        let bin_of = |hz: f64| (hz * shape.window as f64 / f64::from(rate_hz)) as usize;
        let first = bin_of(FIRST_HZ) + 1;
        for (below, hz) in self.below.iter_mut().zip(tried_hz()) {
            let there: f64 = power.iter().take(bin_of(hz)).skip(first).sum();
            if there > SHARE * all {
                *below += seconds;
            }
        }
    }

    /// Adds the sums of other recordings.
    pub fn merge(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.below.resize(TRIED, 0.0);
        for (mine, theirs) in self.below.iter_mut().zip(&other.below) {
            *mine += theirs;
        }
    }

    /// Below this frequency, in Hz, nearly no recording sounds; 0 if there is no such frequency.
    #[must_use]
    pub fn lowest_hz(&self) -> f32 {
        let most = EXCEPTIONS * self.seconds;
        self.below
            .iter()
            .zip(tried_hz())
            .take_while(|(below, _)| **below <= most)
            .map(|(_, hz)| (hz * CAUTION) as f32)
            .last()
            .unwrap_or(0.0)
    }
}

fn tried_hz() -> impl Iterator<Item = f64> {
    (0..TRIED).map(|i| FIRST_HZ * libm::exp2(i as f64 / 6.0))
}

/// Below this, in Hz, rumble is limited (see [`RumbleLimit`]) as far as it lies below the range.
///
/// [`RumbleLimit`]: super::rumble_limit::RumbleLimit
const LIMITED_BELOW_HZ: f32 = 60.0;
/// No note is so low, in Hz (the lowest of a bass with five strings has 31 Hz): down here rumble is limited for any instrument.
pub(super) const NO_NOTE_BELOW_HZ: f32 = 25.0;
/// Whatever sounds from here on, in Hz, must not be heard in a bin that is limited ...
const NOTES_FROM_HZ: f32 = 75.0;
/// ... but a partial fills so many bins to either side.
const LOBE_BINS: f32 = 2.0;
/// Noise below the range, where it is not limited, is taken to be this much stronger than it is estimated, in dB: what rumbles there
/// is no music.
/// Measured in mode live, learned noise, on recordings of `train`: flute in wind +4.9 dB, in vinyl hiss +0.8 dB, in
/// white noise -0.1 dB. At 10 dB +5.7 and +2.4 dB, but soft music down there would suffer.
const DOUBT_DB: f32 = 6.0;
/// Where doubt is full, relative to the end of the range.
const FULL_BELOW: f32 = 0.85;

/// Factor for the noise power at a frequency in frames whose bins are `bin_hz` apart, for an instrument that sounds from
/// `lowest_hz` on.
#[must_use]
pub fn doubt(hz: f32, bin_hz: f32, lowest_hz: f32) -> f32 {
    // A guitar's lowest notes reach down to where its range ends: wide bins would doubt them (mode live, white noise, -0.07 dB).
    if lowest_hz < LIMITED_BELOW_HZ {
        return 1.0;
    }
    let not_limited = 1.0 - share_limited(hz, bin_hz, lowest_hz);
    libm::exp10f(0.1 * DOUBT_DB * share_below(hz, lowest_hz) * not_limited)
}

/// How far rumble is limited at a frequency, 0 to 1, in frames whose bins are `bin_hz` apart.
#[must_use]
pub fn share_limited(hz: f32, bin_hz: f32, lowest_hz: f32) -> f32 {
    if hz + LOBE_BINS * bin_hz > NOTES_FROM_HZ {
        return 0.0;
    }
    share_below(hz, lowest_hz.clamp(NO_NOTE_BELOW_HZ, LIMITED_BELOW_HZ))
}

/// How certain it is that there is no music at a frequency, 0 to 1, for an instrument that sounds from `lowest_hz` on.
#[must_use]
pub fn share_below(hz: f32, lowest_hz: f32) -> f32 {
    if hz >= lowest_hz {
        return 0.0;
    }
    ((lowest_hz - hz) / (lowest_hz * (1.0 - FULL_BELOW))).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, seconds: f32, amplitude: f32) -> Vec<f32> {
        (0..(48_000.0 * seconds) as usize)
            .map(|i| amplitude * (std::f32::consts::TAU * hz * i as f32 / 48_000.0).sin())
            .collect()
    }

    #[test]
    fn a_flute_ends_below_its_lowest_note() {
        let mut flute = RangeStats::default();
        for hz in [262.0, 440.0, 700.0] {
            flute.add(48_000, &tone(hz, 2.0, 0.3));
        }
        let lowest = flute.lowest_hz();
        assert!((180.0..262.0).contains(&lowest), "{lowest}");
        // One recording with rumble among many is an exception, among few it is not.
        let rumble: Vec<f32> = tone(440.0, 2.0, 0.3)
            .iter()
            .zip(tone(45.0, 2.0, 0.1))
            .map(|(a, b)| a + b)
            .collect();
        let mut few = flute.clone();
        few.add(48_000, &rumble);
        assert!(few.lowest_hz() < 45.0, "{}", few.lowest_hz());
        let mut many = RangeStats::default();
        for _ in 0..4 {
            many.merge(&flute);
        }
        many.add(48_000, &rumble);
        assert_eq!(many.lowest_hz(), lowest);
        assert_eq!(RangeStats::default().lowest_hz(), 0.0);
    }

    #[test]
    fn what_no_note_is_does_not_count() {
        // A subsonic rumble of a tenth of the power, in every recording.
        let mut flute = RangeStats::default();
        let sound: Vec<f32> = tone(440.0, 2.0, 0.3)
            .iter()
            .zip(tone(11.0, 2.0, 0.1))
            .map(|(a, b)| a + b)
            .collect();
        flute.add(48_000, &sound);
        assert!(flute.lowest_hz() > 300.0, "{}", flute.lowest_hz());
    }

    #[test]
    fn doubt_begins_below_the_range() {
        let doubt = |hz, lowest_hz| super::doubt(hz, 11.7, lowest_hz);
        assert_eq!(doubt(300.0, 240.0), 1.0);
        assert_eq!(doubt(240.0, 240.0), 1.0);
        assert!((doubt(100.0, 240.0) - 3.98).abs() < 0.01);
        assert!(doubt(230.0, 240.0) > 1.0 && doubt(230.0, 240.0) < 3.98);
        assert_eq!(doubt(10.0, 0.0), 1.0);
        assert_eq!(doubt(10.0, 54.0), 1.0);
    }

    #[test]
    fn the_lowest_is_limited_instead_where_bins_are_narrow() {
        assert_eq!(share_limited(20.0, 11.7, 240.0), 1.0);
        assert_eq!(doubt(20.0, 11.7, 240.0), 1.0);
        assert_eq!(share_limited(0.0, 46.9, 240.0), 0.0);
        assert!((doubt(20.0, 46.9, 240.0) - 3.98).abs() < 0.01);
        // A guitar's range begins lower; for any instrument it is 25 Hz.
        assert_eq!(share_limited(50.0, 5.9, 48.0), 0.0);
        assert_eq!(share_limited(20.0, 5.9, 0.0), 1.0);
        assert_eq!(share_limited(35.0, 5.9, 0.0), 0.0);
        // The skirt of a low note reaches this far.
        assert_eq!(share_limited(55.0, 11.7, 240.0), 0.0);
    }
}
