//! The denoiser on the audio thread: settings and new models in, sound out. After [`Processor::new`] nothing here
//! allocates, frees, locks or waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use drfm_engine::audio::noise::NoiseSpectrum;
use drfm_engine::audio::noise_learner::NoiseLearner;
use drfm_engine::audio::swappable::{Streams, SwappableDenoiser};

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
    /// Starts with `streams`; what is known about the noise from before is taken up. Allocates.
    #[must_use]
    pub fn new(shared: Arc<Shared>, streams: Box<Streams>) -> Self {
        let (rate_hz, channels) = (streams.rate_hz(), streams.channels());
        let at = |noise: Option<Vec<NoiseSpectrum>>| {
            noise.map(|spectra| {
                (0..channels)
                    .filter_map(|c| spectra.get(c).or(spectra.first()))
                    .map(|s| s.at_rate(rate_hz))
                    .collect::<Vec<_>>()
            })
        };
        let mut denoiser = SwappableDenoiser::new(streams);
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
                denoiser.assume_noise(channel, spectrum);
            }
            denoiser.set_tracking(!is_learned);
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
            && let Some(streams) = self.shared.deliveries.pop()
            && let Err(refused) = self.denoiser.swap_in_changing_latency(streams)
        {
            self.retire(refused);
        }
    }

    fn retire(&self, streams: Box<Streams>) {
        if let Err(refused) = self.shared.retired.push(streams) {
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
        for (channel, spectrum) in self.learned.iter().enumerate() {
            self.denoiser.assume_noise(channel, spectrum);
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
