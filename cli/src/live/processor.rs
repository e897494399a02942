//! The denoiser on the audio thread: settings and new models in, sound out. After [`Processor::new`] nothing here
//! allocates, frees, locks or waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use drfm_engine::audio::denoiser::StreamDenoiser;
use drfm_engine::audio::noise::NoiseSpectrum;
use drfm_engine::audio::noise_learner::NoiseLearner;
use drfm_engine::audio::swappable::SwappableDenoiser;

use super::shared::{Noise, Shared};

/// Times a second that the noise is shown.
const SHOWN_PER_SECOND: usize = 10;

/// See the module.
pub struct Processor {
    shared: Arc<Shared>,
    denoiser: SwappableDenoiser,
    learner: NoiseLearner,
    learning: bool,
    learned_frames: u64,
    learned: Vec<NoiseSpectrum>,
    rate_hz: usize,
    unshown: usize,
}

impl Processor {
    /// Starts with `stream`; what is known about the noise from before is taken up. Allocates.
    #[must_use]
    pub fn new(shared: Arc<Shared>, stream: Box<StreamDenoiser>) -> Self {
        let (rate_hz, channels) = (stream.rate_hz(), stream.channels());
        let at = |noise: Option<Vec<NoiseSpectrum>>| {
            noise.map(|spectra| {
                (0..channels)
                    .filter_map(|c| spectra.get(c).or(spectra.first()))
                    .map(|s| s.at_rate(rate_hz))
                    .collect::<Vec<_>>()
            })
        };
        let mut denoiser = SwappableDenoiser::new(stream);
        denoiser.set(shared.amount_db(), shared.output(), 0.0);
        denoiser.settle();
        let learned = at(shared.learned.read());
        let is_learned = shared.noise() == Noise::Learned && learned.is_some();
        let known = if is_learned {
            learned.clone()
        } else {
            at(shared.present.read())
        };
        if let Some(spectra) = known {
            denoiser.set_tracking(false);
            for (channel, spectrum) in spectra.iter().enumerate() {
                if is_learned {
                    denoiser.follow_noise(channel, spectrum);
                } else {
                    denoiser.assume_noise(channel, spectrum);
                }
            }
            if !is_learned {
                denoiser.set_tracking(true);
            }
        }
        shared.set_noise(if is_learned {
            Noise::Learned
        } else {
            Noise::Tracked
        });
        let latency = denoiser.latency_samples() as u64;
        shared.engine_latency.store(latency, Ordering::Relaxed);
        Self {
            denoiser,
            learner: NoiseLearner::new(rate_hz, channels),
            learning: false,
            learned_frames: 0,
            learned: learned
                .filter(|l| l.len() == channels)
                .unwrap_or_else(|| vec![NoiseSpectrum::white(rate_hz, 0.0); channels]),
            rate_hz: rate_hz as usize,
            unshown: 0,
            shared,
        }
    }

    /// Treats a block of any length in place, one slice a channel.
    pub fn process(&mut self, block: &mut [&mut [f32]]) {
        let frames = block.first().map_or(0, |c| c.len());
        self.receive();
        self.follow_noise();
        self.denoiser
            .set(self.shared.amount_db(), self.shared.output(), 0.0);
        if self.learning {
            self.learner.push(block);
            self.learned_frames += frames as u64;
            self.shared.set_learn_frames(self.learned_frames);
        }
        self.denoiser.process(block);
        self.show_noise(frames);
    }

    fn receive(&mut self) {
        if let Some(old) = self.denoiser.take_retired() {
            let latency = self.denoiser.latency_samples() as u64;
            self.shared.engine_latency.store(latency, Ordering::Relaxed);
            self.retire(old);
        }
        let room = self.shared.retired.len() + 2 <= self.shared.retired.capacity();
        if room
            && self.denoiser.can_swap()
            && let Some(stream) = self.shared.deliveries.pop()
            && let Err(refused) = self.denoiser.swap_in_changing_latency(stream)
        {
            self.retire(refused);
        }
    }

    fn retire(&self, stream: Box<StreamDenoiser>) {
        if let Err(refused) = self.shared.retired.push(stream) {
            // There is room, see `receive`; if there ever is none, a leak is better than freeing here.
            std::mem::forget(refused);
        }
    }

    fn follow_noise(&mut self) {
        if self.shared.take_forget() {
            self.denoiser.set_tracking(true);
            self.shared.set_noise(Noise::Tracked);
        }
        let wanted = self.shared.learn();
        if wanted && !self.learning {
            self.learner.clear();
            self.learned_frames = 0;
            self.shared.set_learn_frames(0);
            self.learning = true;
            self.shared.set_noise(Noise::Learning);
        } else if !wanted && self.learning {
            self.learning = false;
            self.finish_learning();
        }
    }

    fn finish_learning(&mut self) {
        let mut any = false;
        for (channel, place) in self.learned.iter_mut().enumerate() {
            if self.learner.learned_into(channel, place) {
                any = true;
            } else {
                // A silent channel has no noise.
                place.clear();
            }
        }
        if !any {
            self.denoiser.set_tracking(true);
            self.shared.set_noise(Noise::Tracked);
            return;
        }
        self.shared.learned.write(self.learned.iter());
        self.denoiser.set_tracking(false);
        // Its shape stays, its level is followed: a fan that is turned up, a gain that is touched.
        for (channel, spectrum) in self.learned.iter().enumerate() {
            self.denoiser.follow_noise(channel, spectrum);
        }
        self.shared.set_noise(Noise::Learned);
    }

    fn show_noise(&mut self, frames: usize) {
        self.unshown += frames;
        if self.unshown * SHOWN_PER_SECOND < self.rate_hz {
            return;
        }
        self.unshown = 0;
        let present = self.denoiser.current();
        if present.present_noise(0).is_some() {
            let spectra = (0..present.channels()).map_while(|c| present.present_noise(c));
            self.shared.present.write(spectra);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::live::choice::Choice;
    use drfm_engine::audio::model::Mode;
    use drfm_engine::rng::StableRng;

    const RATE_HZ: u32 = 16_000;

    /// Plays noise of this level for so long; how much quieter the last second comes out, in dB.
    fn reduction_db(
        processor: &mut Processor,
        rng: &mut StableRng,
        level: f32,
        seconds: usize,
    ) -> f64 {
        let (mut before, mut after) = (0.0f64, 0.0f64);
        let power = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        for second in 0..seconds {
            let mut x: Vec<f32> = (0..RATE_HZ).map(|_| level * rng.normal() as f32).collect();
            if second + 1 == seconds {
                before = power(&x);
            }
            for block in x.chunks_mut(256) {
                processor.process(&mut [block]);
            }
            if second + 1 == seconds {
                after = power(&x);
            }
        }
        10.0 * (before / after.max(1e-12)).log10()
    }

    #[test]
    fn a_learned_noise_that_becomes_louder_is_followed_also_after_the_sound_card_was_away() {
        let shared = Arc::new(Shared::default());
        let choice = Choice::new("general", Some(Mode::Instant)).unwrap();
        let start = || {
            let stream = choice.stream(RATE_HZ, 1).unwrap();
            Processor::new(Arc::clone(&shared), stream)
        };
        let mut rng = StableRng::new(8, 0);
        let mut processor = start();
        shared.set_learn(true);
        reduction_db(&mut processor, &mut rng, 0.005, 3);
        shared.set_learn(false);
        let quiet = reduction_db(&mut processor, &mut rng, 0.005, 3);
        assert_eq!(shared.noise(), Noise::Learned);
        let loud = reduction_db(&mut processor, &mut rng, 0.015, 12);
        let mut processor = start();
        assert_eq!(shared.noise(), Noise::Learned);
        let again = reduction_db(&mut processor, &mut rng, 0.015, 12);
        // What it would be if the level stayed as learned.
        let mut processor = start();
        processor.denoiser.set_tracking(false);
        let spectrum = shared.learned.read().unwrap().remove(0);
        processor.denoiser.assume_noise(0, &spectrum);
        let fixed = reduction_db(&mut processor, &mut rng, 0.015, 3);
        println!(
            "as learned {quiet:.1} dB, 9.5 dB louder {loud:.1} dB, with a new stream {again:.1} dB, not followed {fixed:.1} dB"
        );
        assert!(loud > fixed + 6.0 && again > fixed + 6.0);
        shared.forget_noise();
        reduction_db(&mut processor, &mut rng, 0.015, 1);
        assert_eq!(shared.noise(), Noise::Tracked);
    }
}
