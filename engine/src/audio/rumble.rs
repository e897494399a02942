//! Noise below the range of an instrument, where its own level can be taken for it.

use super::noise::NoiseSpectrum;
use super::range::{NO_NOTE_BELOW_HZ, share_below};

/// The mean power is that of so many frames of 43 ms, 0.5 s ...
const MEAN_FRAMES: f32 = 12.0;
/// ... and the slow one that of 2.7 s, as long as minima are searched.
const SLOW_FRAMES: f32 = 64.0;
/// A bin belongs to a tone if its mean exceeds the valleys on both sides by this. Noise alone seldom does.
const TONE: f32 = 10.0;
/// The valleys are looked for this many bins away, 35 Hz, ...
const VALLEY_BINS: usize = 6;
/// ... and a tone spreads over so many.
const SPREAD_BINS: usize = 4;
/// An offset is no rumble: taken away, it would come back as a thump where the sound begins. It fills the bins below this, and
/// stands still.
const OFFSET_BINS: usize = 3;
/// What rumbles down here is nobody's music, not even that of an instrument of which no range is known: guitar in vinyl hiss
/// +0.5 dB (rooms that rumble in clean recordings cost 3 dB of 41 with noise 60 dB down).
const NO_MUSIC_BELOW_HZ: f32 = 30.0;
/// A tone is forgotten when it has not been heard for so many frames, 2.7 s.
const TONE_FRAMES: u8 = 64;
/// Noise that is no tone may be this much above its minimum on average.
const ABOVE_MINIMUM: f32 = 8.0;
/// A tone that stands still is noise, not music: its slow mean is at most this much above its minimum. Plucked notes decay
/// by far more meanwhile.
const STEADY: f32 = 1.6;

/// Follows the power below the range of an instrument.
///
/// A search for what lies between the partials, as everywhere else, is blind to rumble, wind and hum that fill a few bins at
/// the bottom. There is no music down there if the instrument is the right one; should it be another after all, its notes
/// are tones that come and go, and are left alone.
///
/// Measured on four flute recordings of `train`, mode best, nobody tells the noise, mean of 0, 10 and 20 dB: vinyl hiss 13.7
/// to 17.3 dB, wind 16.5 to 18.7, electric buzz 11.5 to 16.2, all eight noises 18.48 to 19.79 dB. Without the exception for
/// tones 20.37 dB, but then a guitar played through the flute's model lost all its bass: 10.1 dB at 20 dB in, where it is
/// 30.3 dB now (30.4 without any of this). Clean flutes (noise 60 dB down) come out with 41.8 dB instead of 42.2, because
/// rooms rumble too.
pub struct Rumble {
    bin_hz: f32,
    /// How certain it is that a bin is below the range, from bin 0 on.
    share: Vec<f32>,
    mean: Vec<f32>,
    slow: Vec<f32>,
    /// Frames for which a tone is still remembered.
    tone: Vec<u8>,
    frames: usize,
}

impl Rumble {
    /// For spectra of `bins` bins of `bin_hz`; nothing is below the range. Allocates; not for the audio thread.
    #[must_use]
    pub fn new(bins: usize, bin_hz: f32) -> Self {
        Self {
            bin_hz,
            share: vec![0.0; bins],
            mean: vec![0.0; bins],
            slow: vec![0.0; bins],
            tone: vec![0; bins],
            frames: 0,
        }
    }

    /// An instrument is expected that sounds from `lowest_hz` on, 0 for any: nobody sounds below 30 Hz. Never allocates.
    pub fn expect_from(&mut self, lowest_hz: f32) {
        let lowest_hz = lowest_hz.max(NO_MUSIC_BELOW_HZ);
        for (f, share) in self.share.iter_mut().enumerate() {
            *share = share_below(f as f32 * self.bin_hz, lowest_hz);
        }
    }

    fn bins(&self) -> usize {
        self.share.iter().take_while(|s| **s > 0.0).count()
    }

    /// Takes in the power of a frame. Never allocates.
    pub fn take_frame(&mut self, power: &[f32]) {
        let bins = (self.bins() + VALLEY_BINS).min(self.mean.len());
        self.frames += 1;
        let share = |frames: f32| 1.0 / (self.frames as f32).min(frames);
        let (fast, slow) = (share(MEAN_FRAMES), share(SLOW_FRAMES));
        for ((mean, s), p) in self
            .mean
            .iter_mut()
            .zip(&mut self.slow)
            .zip(power)
            .take(bins)
        {
            *mean += fast * (p - *mean);
            *s += slow * (p - *s);
        }
        let first = (NO_NOTE_BELOW_HZ / self.bin_hz) as usize;
        for frames in &mut self.tone[..bins] {
            *frames = frames.saturating_sub(1);
        }
        for f in first..bins {
            let least = |bins: &[f32]| bins.iter().fold(f32::MAX, |l, p| l.min(*p));
            let left = least(&self.mean[f.saturating_sub(VALLEY_BINS)..=f]);
            let right = least(&self.mean[f..(f + VALLEY_BINS + 1).min(self.mean.len()).min(bins)]);
            if self.mean[f] > TONE * left.max(right) {
                let to = (f + SPREAD_BINS + 1).min(bins);
                self.tone[f.saturating_sub(SPREAD_BINS)..to].fill(TONE_FRAMES);
            }
        }
    }

    /// Raises `noise` below the range to what is noise there; `lowest` are the minima of the smoothed power. Never
    /// allocates.
    pub fn add_to(&self, noise: &mut NoiseSpectrum, lowest: &[f32]) {
        let bins = self.bins();
        let settled = self.frames >= SLOW_FRAMES as usize;
        for (f, least) in lowest.iter().enumerate().take(bins) {
            let steady = settled && self.slow[f] < STEADY * least;
            let is_noise = if f < OFFSET_BINS {
                settled && !steady
            } else {
                steady || self.tone[f] == 0
            };
            if is_noise {
                let found = self.mean[f].min(ABOVE_MINIMUM * least);
                noise.power[f] = noise.power[f].max(self.share[f] * found);
            }
        }
    }

    /// Forgets what was heard. Never allocates.
    pub fn clear(&mut self) {
        self.mean.fill(0.0);
        self.slow.fill(0.0);
        self.tone.fill(0);
        self.frames = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::noise_tracker::NoiseTracker;
    use crate::rng::StableRng;

    const RATE_HZ: u32 = 48_000;
    const SECONDS: usize = 10;

    /// The estimate at `hz`, per bin, when a stream of an instrument from `lowest_hz` on has been heard.
    fn estimate(x: &[f32], lowest_hz: f32, hz: f32) -> f32 {
        // The learned floor finds rumble as well; here is what the range alone is good for.
        let mut tracker = NoiseTracker::new(RATE_HZ, 1).without_floor();
        tracker.expect_from(lowest_hz);
        let mut rest = x;
        while !rest.is_empty() {
            let n = tracker.wanted().min(rest.len());
            tracker.push(&[&rest[..n]]);
            rest = &rest[n..];
        }
        let power = tracker.estimate().power();
        let last = (power.len() - 1) as f32;
        power[(hz / (0.5 * RATE_HZ as f32) * last).round() as usize]
    }

    /// White noise with a standard deviation of 1e-4.
    fn hiss() -> Vec<f32> {
        let mut rng = StableRng::new(7, 0);
        (0..SECONDS * RATE_HZ as usize)
            .map(|_| 1e-4 * rng.normal() as f32)
            .collect()
    }

    fn seconds(i: usize) -> f32 {
        i as f32 / RATE_HZ as f32
    }

    #[test]
    fn rumble_and_hum_below_the_range_are_noise() {
        let mut rng = StableRng::new(8, 0);
        let mut x = hiss();
        let (mut low, mut lower) = (0.0f32, 0.0f32);
        for x in &mut x {
            // Noise below 60 Hz or so.
            low += 0.008 * (0.02 * rng.normal() as f32 - low);
            lower += 0.008 * (low - lower);
            *x += lower;
        }
        let (without, with) = (estimate(&x, 0.0, 50.0), estimate(&x, 230.0, 50.0));
        println!("rumble: {without:e} {with:e}");
        assert!(with > 10.0 * without);
        // Where there is music nothing changes.
        assert_eq!(estimate(&x, 230.0, 700.0), estimate(&x, 0.0, 700.0));
        let mut x = hiss();
        for (i, x) in x.iter_mut().enumerate() {
            *x += 0.01 * (std::f32::consts::TAU * 117.0 * seconds(i)).sin();
        }
        let (without, with) = (estimate(&x, 0.0, 117.0), estimate(&x, 230.0, 117.0));
        println!("hum: {without:e} {with:e}");
        assert!(with > 1000.0 * without);
    }

    #[test]
    fn notes_of_another_instrument_are_not() {
        let mut x = hiss();
        for (i, x) in x.iter_mut().enumerate() {
            // Plucked once a second, one string after the other.
            let (hz, since) = (
                [98.0, 123.5, 147.0][i / RATE_HZ as usize % 3],
                seconds(i) % 1.0,
            );
            *x += 0.05 * (-3.0 * since).exp() * (std::f32::consts::TAU * hz * since).sin();
        }
        for hz in [98.0, 123.5, 147.0] {
            let (without, with) = (estimate(&x, 0.0, hz), estimate(&x, 230.0, hz));
            println!("{hz} Hz: {without:e} {with:e}");
            assert!(with <= without * 1.01);
        }
    }
}
