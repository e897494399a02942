//! Two channels turned, bin by bin, towards what they have in common: the Karhunen-Loeve transform of a stereo pair (as
//! in the coders of Yang, Ai, Kyriakakis and Kuo 2003), tracked by one power iteration a frame (Yang 1995).
//!
//! A guitar in the middle of the picture is the same left and right, and the hiss of two preamplifiers is not: turned by
//! 45 degrees, all music is in the sum, 3 dB further above the noise, and the difference holds nothing but noise. So it
//! is for any place in the picture, and, as the turn is complex, for two microphones that hear the music one after the
//! other. Both sums are then denoised like two recordings that have nothing to do with each other, and turned back.
//! Where the channels do have nothing to do with each other, as when each holds another instrument or one holds nothing
//! but noise, they are left as they are. Noise that both channels share makes the sum louder and the difference softer:
//! how much is measured where there is no music, and either is brought back to the unit noise that the models know.
//!
//! `best`, guitar, white noise of 10 dB that was learned, four files of `train`, SNR out in dB of one channel:
//!
//! | | middle | 12 dB left, softer channel | two instruments | noise beside music, how far down | softer noise right, left channel |
//! |---|---|---|---|---|---|
//! | one decision for both, as it was | 28.2 | 19.2 | 26.1 | 22 | 21.9 |
//! | each by itself | 28.0 | 19.7 | 27.9 | 57 | 28.0 |
//! | always turned | 29.6 | 24.6 | 27.3 | 30 | |
//! | turned where it pays (`APART_BELOW`) | 29.7 | 25.3 | 27.7 | 38 | 34.6 |

use std::ops::Range;

use realfft::num_complex::Complex32;

#[cfg(test)]
mod tests;

/// Over how long the music's covariance is averaged in a bin, in seconds; 0.08 and 0.3 are as good within 0.1 dB.
const LOCAL_SECONDS: f32 = 0.15;
/// ... and over how many bins to either side.
const LOCAL_BINS: usize = 2;
/// Over how long it is averaged in a band, and how much of that a bin gets, in units of the noise: where a bin itself says
/// nothing.
const BAND_SECONDS: f32 = 2.0;
const BAND_WEIGHT: f32 = 3.0;
/// ... and so much of it where the softer channel holds this much music, in units of the noise, that a bin trusts the band
/// as much as itself: 0.9 dB better where the noise of one channel is 30 dB softer, elsewhere equal to 0.1 dB.
const SOFT: f32 = 1.0;
/// Bands are a third of an octave wide, but at least so many bins.
const BAND_RATIO: f32 = 1.26;
const BAND_BINS: usize = 4;
/// Power of both channels together, in units of one channel's noise, that counts as music (noise has 2 on average).
const MUSIC_ABOVE: f32 = 6.0;
/// Most that a frame counts for, in the same units: what is louder says nothing more, and squares of it stay in range.
const MUSIC_AT_MOST: f32 = 1e9;
/// Noise amplitudes of the two channels differ by at most this much.
const MOST_RATIO: f32 = 1e6;
/// Louder than this is no sound.
const BROKEN_ABOVE: f32 = 1e30;
/// Squared coherence of the music in a band below which its channels are left as they are, and above which they are
/// turned again.
const APART_BELOW: f32 = 0.4;
const TOGETHER_ABOVE: f32 = 0.5;
/// How much louder the right channel has to be to come first.
const FIRST_ABOVE: f32 = 4.0;
/// Of so little nothing can be said.
const NOTHING: f32 = 1e-3;
/// What counts as nothing but noise: power as above, averaged over so many bins to either side. Digital silence does not.
const NOISE_BELOW: f32 = 2.8;
const NOISE_ABOVE: f32 = 0.2;
const NOISE_BINS: usize = 3;
/// Over how long the noise's coherence is averaged, and over how many bins to either side.
const NOISE_SECONDS: f32 = 3.0;
const COHERENCE_BINS: usize = 8;
/// Until about so many values of noise have been seen, it is taken for louder than it may be, whichever way it is turned.
const ENOUGH_NOISE: f32 = 50.0;
/// Least noise power of a turned channel: what the difference of two equal channels is divided by.
const LEAST_NOISE: f32 = 0.1;
/// Keeps averages of silence out of the slow range of the smallest numbers.
const TINY: f32 = 1e-20;

/// How one bin of a pair is turned: a unitary matrix, then each row scaled to unit noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    /// The direction of the first row, |a|^2 + |b|^2 = 1.
    a: Complex32,
    b: Complex32,
    /// Noise amplitudes of the two rows.
    noise: [f32; 2],
}

impl Turn {
    /// Leaves both channels as they are.
    pub const NONE: Self = Self {
        a: Complex32::new(1.0, 0.0),
        b: Complex32::new(0.0, 0.0),
        noise: [1.0, 1.0],
    };

    /// An uneven one.
    #[cfg(test)]
    pub(super) const UNEVEN: Self = Self {
        a: Complex32::new(0.6, 0.0),
        b: Complex32::new(0.0, 0.8),
        noise: [0.5, 1.2],
    };

    /// From left and right to what is turned.
    #[inline(always)]
    #[must_use]
    pub fn apply(&self, left: Complex32, right: Complex32) -> (Complex32, Complex32) {
        (
            (self.a.conj() * left + self.b.conj() * right) / self.noise[0],
            (self.a * right - self.b * left) / self.noise[1],
        )
    }

    /// And back.
    #[inline(always)]
    #[must_use]
    pub fn back(&self, first: Complex32, second: Complex32) -> (Complex32, Complex32) {
        let (u, v) = (first * self.noise[0], second * self.noise[1]);
        (
            self.a * u - self.b.conj() * v,
            self.b * u + self.a.conj() * v,
        )
    }
}

/// Covariance of two channels.
#[derive(Clone, Copy, Debug, Default)]
struct Covariance {
    left: f32,
    right: f32,
    /// E[left conj(right)].
    cross: Complex32,
}

impl Covariance {
    fn of(left: Complex32, right: Complex32) -> Self {
        Self {
            left: left.norm_sqr(),
            right: right.norm_sqr(),
            cross: left * right.conj(),
        }
    }

    /// The same with the left channel louder by the root of `ratio` and the right one softer.
    fn seen_with(self, ratio: f32) -> Self {
        Self {
            left: self.left * ratio,
            right: self.right / ratio,
            cross: self.cross,
        }
    }

    fn add_scaled(&mut self, other: &Self, scale: f32) {
        self.left += scale * other.left;
        self.right += scale * other.right;
        self.cross += other.cross * scale;
    }

    fn scale(&mut self, scale: f32) {
        self.left *= scale;
        self.right *= scale;
        self.cross *= scale;
    }

    /// E[left conj(right)] of channels brought to unit power.
    fn coherence(&self) -> Complex32 {
        let power = (self.left * self.right).sqrt();
        if power > TINY {
            self.cross / power
        } else {
            Complex32::default()
        }
    }
}

/// What the channels have in common in a band.
struct Band {
    begin: usize,
    end: usize,
    music: Covariance,
    /// Sums over the bins of the frame: |cross|^2, and left times right.
    common_now: f32,
    all_now: f32,
    /// Squared coherence times weight, and weight, averaged.
    common: f32,
    all: f32,
    apart: bool,
    /// Left as they are, the right channel comes first: where it is far louder, as it does when turned.
    right_first: bool,
}

impl Band {
    fn new(begin: usize, end: usize) -> Self {
        Self {
            begin,
            end,
            music: Covariance::default(),
            common_now: 0.0,
            all_now: 0.0,
            common: 0.0,
            all: 0.0,
            apart: false,
            right_first: false,
        }
    }

    /// Whether its channels belong together, now that all its bins are known; `ratio` is that of its first bin.
    fn decide(&mut self, keep: f32, ratio: f32) {
        // Music counts by its power, not by the square of it: what was loud is not remembered for too long.
        let bins = (self.end - self.begin) as f32;
        let weight = 1.0 / (bins + (bins * self.all_now).sqrt());
        self.common += (1.0 - keep) * (weight * self.common_now - self.common);
        self.all += (1.0 - keep) * (weight * self.all_now - self.all);
        (self.common_now, self.all_now) = (0.0, 0.0);
        if self.all > NOTHING {
            if self.common < APART_BELOW * self.all {
                self.apart = true;
            } else if self.common > TOGETHER_ABOVE * self.all {
                self.apart = false;
            }
        }
        let seen = self.music.seen_with(1.0 / ratio);
        if seen.right > FIRST_ABOVE * seen.left {
            self.right_first = true;
        } else if seen.left > seen.right {
            self.right_first = false;
        }
    }
}

/// Noise of a bin: sums of values that fade, and how many they are.
#[derive(Clone, Copy, Default)]
struct Noise {
    sum: Covariance,
    count: f32,
}

impl Noise {
    fn add_scaled(&mut self, other: &Self, scale: f32) {
        self.sum.add_scaled(&other.sum, scale);
        self.count += scale * other.count;
    }
}

/// Finds out how the bins of a stereo pair are to be turned. Same left and right give the same bits.
pub struct PairTurns {
    keep_local: f32,
    keep_band: f32,
    keep_noise: f32,
    /// Per bin: music, and noise.
    music: Vec<Covariance>,
    noise: Vec<Noise>,
    /// Power of both channels.
    power: Vec<f32>,
    /// Noise amplitude of the left channel over that of the right one. It changes whenever a tracker has something to say,
    /// and the picture does not: averages are kept of left times its root and right over its root.
    ratio: Vec<f32>,
    bands: Vec<Band>,
    /// The band of each bin.
    band_of: Vec<u16>,
    /// Direction of the strongest music.
    direction: Vec<(Complex32, Complex32)>,
}

/// Before anything is known music is expected in the middle.
const MIDDLE: (Complex32, Complex32) = (
    Complex32::new(std::f32::consts::FRAC_1_SQRT_2, 0.0),
    Complex32::new(std::f32::consts::FRAC_1_SQRT_2, 0.0),
);

/// Bins that are worked on in one part.
const PART_BINS: usize = 256;
/// How often each bin is looked at: music, its neighbours, noise, turn.
const STAGES: usize = 4;

/// Bins around one, fewer at the ends of the spectrum.
fn around(bin: usize, reach: usize, bins: usize) -> Range<usize> {
    bin.saturating_sub(reach)..(bin + reach + 1).min(bins)
}

impl PairTurns {
    /// For spectra of `bins` bins, `hop_seconds` apart. Allocates.
    #[must_use]
    pub fn new(bins: usize, hop_seconds: f32) -> Self {
        let keep = |seconds: f32| libm::expf(-hop_seconds / seconds);
        let mut bands: Vec<Band> = Vec::new();
        let mut band_of = Vec::new();
        while band_of.len() < bins {
            let begin = band_of.len();
            let end = (begin + BAND_BINS).max((begin as f32 * BAND_RATIO) as usize);
            let end = end.min(bins);
            // Each is wider than the one before by a share: there are some dozens.
            band_of.resize(end, bands.len() as u16);
            bands.push(Band::new(begin, end));
        }
        Self {
            keep_local: keep(LOCAL_SECONDS),
            keep_band: keep(BAND_SECONDS),
            keep_noise: keep(NOISE_SECONDS),
            music: vec![Covariance::default(); bins],
            noise: vec![Noise::default(); bins],
            power: vec![0.0; bins],
            ratio: vec![1.0; bins],
            bands,
            band_of,
            direction: vec![MIDDLE; bins],
        }
    }

    /// Back to the state of new ones. Never allocates.
    pub fn clear(&mut self) {
        self.music.fill(Covariance::default());
        self.noise.fill(Noise::default());
        for band in &mut self.bands {
            *band = Band::new(band.begin, band.end);
        }
        self.direction.fill(MIDDLE);
    }

    /// Into how many parts hearing a frame is cut.
    #[must_use]
    pub fn parts(&self) -> usize {
        STAGES * self.parts_of_a_stage()
    }

    fn parts_of_a_stage(&self) -> usize {
        self.direction.len().div_ceil(PART_BINS)
    }

    /// Part `part` of hearing a frame, left and right, whitened to unit noise by the factors given; parts must follow each
    /// other from 0. After the last one `turns` says how the bins of the frame are to be turned. Never allocates.
    pub fn hear_part(
        &mut self,
        part: usize,
        [left, right]: [&[Complex32]; 2],
        whitening: [&[f32]; 2],
        turns: &mut [Turn],
    ) {
        let parts = self.parts_of_a_stage();
        let begin = part % parts * PART_BINS;
        let bins = begin..(begin + PART_BINS).min(self.direction.len());
        match part / parts {
            0 => {
                if begin == 0 {
                    for band in &mut self.bands {
                        band.music.scale(self.keep_band);
                    }
                }
                for f in bins {
                    self.ratio[f] =
                        (whitening[1][f] / whitening[0][f]).clamp(1.0 / MOST_RATIO, MOST_RATIO);
                    self.hear_music(f, left[f], right[f]);
                }
            }
            1 => {
                for f in bins.clone() {
                    self.gather(f);
                }
                if bins.end == self.direction.len() {
                    for band in &mut self.bands {
                        band.decide(self.keep_band, self.ratio[band.begin]);
                    }
                }
            }
            2 => {
                for f in bins {
                    self.hear_noise(f, left[f], right[f]);
                }
            }
            _ => self.turn(bins, turns),
        }
    }

    fn hear_music(&mut self, f: usize, left: Complex32, right: Complex32) {
        let now = Covariance::of(left, right);
        let power = now.left + now.right;
        self.power[f] = power;
        let music = &mut self.music[f];
        music.scale(self.keep_local);
        if power > MUSIC_ABOVE && power < BROKEN_ABOVE {
            let weight = (1.0 - MUSIC_ABOVE / power) * (MUSIC_AT_MOST / power).min(1.0);
            let now = now.seen_with(self.ratio[f]);
            music.add_scaled(&now, weight * (1.0 - self.keep_local));
            let band = &mut self.bands[usize::from(self.band_of[f])];
            let share = (1.0 - self.keep_band) / (band.end - band.begin) as f32;
            band.music.add_scaled(&now, weight * share);
        } else {
            music.left += TINY;
            music.right += TINY;
        }
    }

    /// The music of a bin and its neighbours.
    fn near(&self, f: usize) -> Covariance {
        let mut near = Covariance::default();
        for music in &self.music[around(f, LOCAL_BINS, self.music.len())] {
            near.add_scaled(music, 1.0);
        }
        near
    }

    fn gather(&mut self, f: usize) {
        let near = self.near(f);
        let band = &mut self.bands[usize::from(self.band_of[f])];
        band.common_now += near.cross.norm_sqr();
        band.all_now += near.left * near.right;
    }

    fn hear_noise(&mut self, f: usize, left: Complex32, right: Complex32) {
        let power = &self.power[around(f, NOISE_BINS, self.power.len())];
        let mean = power.iter().sum::<f32>() / power.len() as f32;
        if mean > NOISE_ABOVE && mean < NOISE_BELOW {
            let noise = &mut self.noise[f];
            noise.sum.scale(self.keep_noise);
            noise.sum.add_scaled(&Covariance::of(left, right), 1.0);
            noise.count = noise.count * self.keep_noise + 1.0;
        }
    }

    fn turn(&mut self, bins: Range<usize>, turns: &mut [Turn]) {
        // A sum that runs along: all that is around the bin before the first.
        let mut noise = Noise::default();
        if let Some(before) = bins.start.checked_sub(1) {
            for more in &self.noise[around(before, COHERENCE_BINS, self.noise.len())] {
                noise.add_scaled(more, 1.0);
            }
        } else {
            for more in self.noise.iter().take(COHERENCE_BINS) {
                noise.add_scaled(more, 1.0);
            }
        }
        for f in bins {
            if let Some(more) = self.noise.get(f + COHERENCE_BINS) {
                noise.add_scaled(more, 1.0);
            }
            if let Some(less) = f.checked_sub(COHERENCE_BINS + 1).map(|g| &self.noise[g]) {
                noise.add_scaled(less, -1.0);
            }
            turns[f] = self.turn_of(f, &noise);
        }
    }

    fn turn_of(&mut self, f: usize, noise: &Noise) -> Turn {
        let band = &self.bands[usize::from(self.band_of[f])];
        let ratio = 1.0 / self.ratio[f];
        let mut music = self.near(f).seen_with(ratio);
        let all = band.music.seen_with(ratio);
        let power = all.left + all.right;
        if power > TINY {
            // What the softer channel holds of it decides how well a bin by itself can tell the direction.
            let soft = music.cross.norm_sqr() / music.left.max(music.right).max(TINY);
            let doubt = SOFT / (SOFT + soft);
            let weight = BAND_WEIGHT + doubt * (music.left + music.right);
            music.add_scaled(&all, weight / power);
        }
        let direction = &mut self.direction[f];
        let (a, b) = *direction;
        // Covariance times direction: closer to the strongest eigenvector, with its phase as it was.
        let (a, b) = (
            a * music.left + b * music.cross,
            a * music.cross.conj() + b * music.right,
        );
        let norm = (a.norm_sqr() + b.norm_sqr()).sqrt();
        if norm > TINY.sqrt() {
            *direction = (a / norm, b / norm);
        }
        let (a, b) = match (band.apart, band.right_first) {
            (false, _) => *direction,
            (true, false) => (Turn::NONE.a, Turn::NONE.b),
            (true, true) => (Turn::NONE.b, Turn::NONE.a),
        };
        let unsure = ENOUGH_NOISE / (ENOUGH_NOISE + noise.count.max(0.0));
        let shared = 2.0 * (a.conj() * b * noise.sum.coherence()).re * (1.0 - unsure);
        let possible = 1.0 + 2.0 * (a.norm_sqr() * b.norm_sqr()).sqrt() * unsure;
        Turn {
            a,
            b,
            noise: [possible + shared, possible - shared].map(|p| p.max(LEAST_NOISE).sqrt()),
        }
    }
}
