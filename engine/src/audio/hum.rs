//! Steady tones, taken away as sums of sines instead of by a gain, so that notes at the same pitch are left whole: mains hum, whines and
//! buzzes.
//!
//! Such noise is the one whose waveform can be foretold: harmonics of a frequency that changes slowly, each of an amplitude
//! and phase that stand still. A follower turns with such a comb in a phase-locked loop over all harmonics, averages the amplitude of
//! each over two seconds with little regard for what sticks out (notes), and takes the sum away, sample by sample and without delay.
//! Hum is looked for around 50 and 60 Hz, a buzz of a dozen lines or more at any frequency (`hum/finder.rs`); other tones are followed
//! where a stretch of noise alone has shown them (`hum/tones.rs`). What is left for the spectral steps is noise without these lines:
//! [`HumCanceller::soften_into`] says so.

use super::noise::NoiseSpectrum;

#[cfg(test)]
mod buzz_tests;
mod comb;
mod finder;
mod follower;
mod harmonics;
mod lines;
mod search;
#[cfg(test)]
pub(super) mod tests;
mod tones;

use self::comb::PIECE;
use self::follower::CombFollower;
use self::tones::Tones;

/// Mains frequencies in Hz.
pub(super) const MAINS_HZ: [f64; 2] = [50.0, 60.0];
/// Combs that may be learned, besides the hum that is found.
const LEARNED: usize = 2;

/// Takes steady tones out of one channel.
#[derive(Clone)]
pub struct HumCanceller {
    learned: [CombFollower; LEARNED],
    tones: [Tones; LEARNED],
    no_tones: Tones,
    mains: CombFollower,
    any: CombFollower,
    between: [f32; PIECE],
}

impl HumCanceller {
    /// For one channel at `rate_hz`. Allocates everything it will ever need; not for the audio thread.
    #[must_use]
    pub fn new(rate_hz: u32) -> Self {
        Self::of_channel(rate_hz, 0)
    }

    /// The same for one of several channels that hear each other's samples at the same time: each does its share of the work in
    /// other blocks than its neighbours, with the same results.
    #[must_use]
    pub fn of_channel(rate_hz: u32, number: usize) -> Self {
        Self {
            learned: std::array::from_fn(|_| CombFollower::of_tones(rate_hz)),
            tones: std::array::from_fn(|_| Tones::none()),
            no_tones: Tones::none(),
            mains: CombFollower::of_mains(rate_hz),
            any: CombFollower::of_any(rate_hz, number),
            between: [0.0; PIECE],
        }
    }

    fn followers(&self) -> impl Iterator<Item = &CombFollower> {
        self.learned.iter().chain([&self.mains, &self.any])
    }

    /// Takes out what steady tones there are in `noise`, learned from a stretch without music, from now on. The spectrum must be of
    /// the canceller's rate. Never allocates: safe on the audio thread.
    pub fn expect(&mut self, noise: &NoiseSpectrum) {
        tones::find(noise, self.tones.iter_mut());
        self.share_out();
    }

    /// Expects nothing any more but what it finds itself. Never allocates.
    pub fn expect_nothing(&mut self) {
        for tones in &mut self.tones {
            tones.forget();
        }
        self.share_out();
    }

    /// What is expected is followed, unless it was found before and is being taken out already.
    fn share_out(&mut self) {
        let found = [self.mains.hz(), self.any.hz()];
        for (follower, tones) in self.learned.iter_mut().zip(&self.tones) {
            let is_found = |hz: &Option<f64>| hz.is_some_and(|hz| tones.share_lines_with(hz));
            if !follower.is_active() && found.iter().any(is_found) {
                follower.follow(&self.no_tones);
            } else {
                follower.follow(tones);
            }
        }
    }

    /// Forgets what was heard, but not what is expected. Never allocates.
    pub fn clear(&mut self) {
        for follower in &mut self.learned {
            follower.clear();
        }
        self.mains.clear();
        self.any.clear();
        self.share_out();
    }

    /// Samples until what is left of the noise may change.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.followers()
            .map(CombFollower::wanted)
            .min()
            .unwrap_or(1)
    }

    /// Whether tones are being taken away, so that [`Self::soften_into`] has something to say.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.followers().any(CombFollower::is_active)
    }

    /// The mains frequency in Hz, if hum was found and is being taken away.
    #[must_use]
    pub fn mains_hz(&self) -> Option<f64> {
        self.mains.hz()
    }

    /// Takes tones out of `input`, into `output` of the same length; true if [`Self::soften_into`] has changed. Broken samples are
    /// passed on, but not listened to. Never allocates, locks or waits: safe on the audio thread.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) -> bool {
        let mut changed = false;
        let mut done = 0;
        while done < input.len() {
            let n = self.any.left_in_piece().min(input.len() - done);
            let output = &mut output[done..done + n];
            output.copy_from_slice(&input[done..done + n]);
            for follower in &mut self.learned {
                // It keeps time even when there is nothing to follow, so that it is told in step with the others.
                let between = &mut self.between[..n];
                between.copy_from_slice(output);
                changed |= follower.process(between, output);
            }
            changed |= self.take_found(output);
            done += n;
        }
        changed
    }

    /// Takes out of a part of a piece what was found. Each of the two hears what the other leaves, so that neither takes for its own
    /// what the other takes out.
    fn take_found(&mut self, samples: &mut [f32]) -> bool {
        let n = samples.len();
        let (hummed, buzzed) = (self.mains.is_active(), self.any.is_active());
        let (mut for_mains, mut for_any) = ([0.0; PIECE], [0.0; PIECE]);
        let hums = self.mains.coming(n).iter().zip(self.any.coming(n));
        let heard = for_mains.iter_mut().zip(&mut for_any);
        for ((x, (mains, any)), (for_mains, for_any)) in samples.iter_mut().zip(hums).zip(heard) {
            *for_mains = *x - any;
            *for_any = *x - mains;
            *x = *for_any - any;
        }
        let mut changed = self.mains.hear(&for_mains[..n]);
        changed |= self.any.hear(&for_any[..n]);
        // What the other was about to find is the same, or it will find it again.
        if !hummed && !buzzed {
            if self.mains.is_active() {
                self.any.begin_anew();
            } else if self.any.is_active() {
                self.mains.begin_anew();
            }
        }
        if (hummed, buzzed) != (self.mains.is_active(), self.any.is_active()) {
            self.share_out();
        }
        changed
    }

    /// Gets to know the tones from the beginning of a recording: hears `samples` backwards, so that it ends where the
    /// recording starts. Not for the audio thread.
    pub fn prime(&mut self, samples: &[f32]) {
        let mut heard = samples.to_vec();
        let followers = self.learned.iter_mut();
        for follower in followers.chain([&mut self.mains, &mut self.any]) {
            follower.prime(&heard);
            if follower.is_active() {
                let input = heard.clone();
                follower.clone().process(&input, &mut heard);
            }
        }
        self.share_out();
    }

    /// The noise that is left when the tones have been taken out of `noise`. Never allocates.
    pub fn soften_into(&self, noise: &NoiseSpectrum, left: &mut NoiseSpectrum) {
        left.copy_from(noise);
        for follower in self.followers() {
            follower.soften(left);
        }
    }
}
