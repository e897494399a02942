//! The streaming denoiser: one core for file, plugin and live.
//!
//! Rules it keeps, each with a test: any block length gives the same bits; the latency reported is the latency of an
//! impulse; processing never allocates, locks or waits; broken samples become silence and nothing else; at
//! `amount_db` 0 the output is the input, delayed.

use std::sync::Arc;

use super::chain::{ChainConfig, StepModel};
use super::delay::DelayLine;
use super::hum::HumCanceller;
use super::mix::OutputMix;
pub use super::mix::{FULL_AMOUNT_DB, Output};
use super::noise::NoiseSpectrum;
use super::noise_tracker::NoiseTracker;
use super::stages::{MAX_CHANNELS, PIECE, Stages};

mod noise_control;

/// A trained chain, its steps shared between streams.
pub type Chain = ChainConfig<Arc<StepModel>>;

/// Where the noise spectrum comes from.
#[derive(Clone, Debug)]
pub enum NoiseSource {
    /// Tracked blindly while playing.
    Adaptive,
    /// Known: one spectrum for all channels, or one a channel.
    Known(Vec<NoiseSpectrum>),
}

/// Samples beyond this (+80 dB full scale) are taken for broken.
pub(super) const BROKEN_ABOVE: f32 = 1e4;

/// A denoiser for a stream of any number of channels, in pairs (see [`super::pair`]).
///
/// A pair is heard as one picture; a channel left over by itself, and so is every channel of an unlinked stream.
pub struct StreamDenoiser {
    rate_hz: u32,
    channels: usize,
    groups: Vec<Group>,
    dry: Vec<DelayLine>,
    latency: usize,
    adaptive: bool,
    /// Whether the trackers follow the level of a noise that was learned.
    following: bool,
    trackers: Vec<NoiseTracker>,
    /// Where the instrument's range begins, in Hz.
    lowest_hz: f32,
    /// What each channel starts from.
    initial: Vec<NoiseSpectrum>,
    /// Takes hum out before anything else; and the noise that is then left.
    hum: Vec<HumCanceller>,
    left: NoiseSpectrum,
    mix: OutputMix,
    /// Sanitised input, the same without hum, and dry signal of one piece, per channel.
    clean_input: Vec<Vec<f32>>,
    without_hum: Vec<Vec<f32>>,
    delayed: Vec<f32>,
}

/// A pair of channels, or one.
struct Group {
    first_channel: usize,
    channels: usize,
    stages: Stages,
}

impl StreamDenoiser {
    /// A stream of `channels` channels (at least 1) at `rate_hz` through `chain`. Allocates everything it will ever
    /// need; not for the audio thread.
    #[must_use]
    pub fn new(chain: &Chain, rate_hz: u32, channels: usize, noise: NoiseSource) -> Self {
        Self::with_linking(true, chain, rate_hz, channels, noise)
    }

    /// The same; unless `linked`, each channel by itself, as it would come out of a stream of its own. Allocates; not for the
    /// audio thread.
    #[must_use]
    pub fn with_linking(
        linked: bool,
        chain: &Chain,
        rate_hz: u32,
        channels: usize,
        noise: NoiseSource,
    ) -> Self {
        let together = if linked { MAX_CHANNELS } else { 1 };
        let channels = channels.max(1);
        let groups: Vec<Group> = (0..channels)
            .step_by(together)
            .map(|first_channel| {
                let count = together.min(channels - first_channel);
                Group {
                    first_channel,
                    channels: count,
                    stages: Stages::new(chain, rate_hz, count),
                }
            })
            .collect();
        let latency = groups.first().map_or(0, |g| g.stages.latency_samples());
        let mut denoiser = Self {
            rate_hz,
            channels,
            groups,
            dry: vec![DelayLine::new(latency); channels],
            latency,
            adaptive: true,
            following: false,
            trackers: (0..channels)
                .map(|number| NoiseTracker::of_channel(rate_hz, number))
                .collect(),
            lowest_hz: chain.first.config.lowest_hz,
            initial: vec![NoiseSpectrum::white(rate_hz, 0.0); channels],
            hum: (0..channels)
                .map(|number| HumCanceller::of_channel(rate_hz, number))
                .collect(),
            left: NoiseSpectrum::white(rate_hz, 0.0),
            mix: OutputMix::new(rate_hz),
            clean_input: vec![vec![0.0; PIECE]; channels],
            without_hum: vec![vec![0.0; PIECE]; channels],
            delayed: vec![0.0; PIECE],
        };
        for tracker in &mut denoiser.trackers {
            tracker.expect_from(denoiser.lowest_hz);
        }
        denoiser.start_from_initial();
        denoiser.set_noise(noise);
        denoiser
    }

    /// Samples that the output lags the input, the same in every setting.
    #[must_use]
    pub const fn latency_samples(&self) -> usize {
        self.latency
    }

    /// Sample rate in Hz.
    #[must_use]
    pub const fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Number of channels.
    #[must_use]
    pub const fn channels(&self) -> usize {
        self.channels
    }

    /// Changes where the noise spectrum comes from; steady tones in it are not taken out as sines, as [`Self::assume_noise`] has
    /// it. Drops the old one: not for the audio thread.
    pub fn set_noise(&mut self, noise: NoiseSource) {
        self.adaptive = matches!(noise, NoiseSource::Adaptive);
        if let NoiseSource::Known(spectra) = noise {
            self.prime_noise(&spectra);
        }
    }

    /// Sets the noise that is assumed until more is known, per channel or one for all; frames under way keep theirs.
    /// Copies, so it may allocate: not for the audio thread.
    pub fn prime_noise(&mut self, spectra: &[NoiseSpectrum]) {
        for (channel, initial) in self.initial.iter_mut().enumerate() {
            if let Some(spectrum) = spectra.get(channel).or(spectra.first()) {
                initial.clone_from(spectrum);
            }
        }
        self.start_from_initial();
    }

    fn start_from_initial(&mut self) {
        for group in &mut self.groups {
            for c in 0..group.channels {
                let channel = group.first_channel + c;
                self.hum[channel].soften_into(&self.initial[channel], &mut self.left);
                group.stages.set_noise(c, &self.left);
            }
        }
    }

    /// Takes hum out with these, one a channel, which know it from the beginning of the recording (see
    /// [`HumCanceller::prime`]); call it before the first sample. Not for the audio thread.
    pub fn start_with_hum(&mut self, hum: &[HumCanceller]) {
        for (mine, known) in self.hum.iter_mut().zip(hum) {
            mine.clone_from(known);
        }
        self.start_from_initial();
    }

    /// The mains frequency in Hz, if hum is being taken out of a channel.
    #[must_use]
    pub fn mains_hz(&self, channel: usize) -> Option<f64> {
        self.hum.get(channel).and_then(HumCanceller::mains_hz)
    }

    /// How deep the noise is taken down, 0 (not at all) to [`FULL_AMOUNT_DB`] and above (wholly). Any thread that owns
    /// the stream; the change is smoothed.
    pub fn set_amount_db(&mut self, amount_db: f32) {
        self.mix.set_amount_db(amount_db);
    }

    /// What is heard; the change is smoothed.
    pub fn set_output(&mut self, output: Output) {
        self.mix.set_output(output);
    }

    /// The noise tracked blindly in a channel.
    #[must_use]
    pub fn tracked_noise(&self, channel: usize) -> Option<&NoiseSpectrum> {
        self.trackers.get(channel).map(NoiseTracker::estimate)
    }

    /// Starts at the present settings instead of gliding to them; for the start of a stream.
    pub fn settle(&mut self) {
        self.mix.settle();
    }

    /// Back to the state of a new stream with the same settings; a blindly tracked noise is forgotten. Never allocates.
    pub fn reset(&mut self) {
        for group in &mut self.groups {
            group.stages.clear();
        }
        for d in &mut self.dry {
            d.clear();
        }
        for t in &mut self.trackers {
            t.restart();
        }
        for hum in &mut self.hum {
            hum.clear();
        }
        self.start_from_initial();
        self.settle();
    }

    /// Denoises a block of any length in place, one slice a channel, all of one length; surplus channels are left
    /// alone. Never allocates, locks or waits: safe on the audio thread.
    pub fn process(&mut self, block: &mut [&mut [f32]]) {
        let length = block
            .iter()
            .take(self.channels)
            .map(|c| c.len())
            .min()
            .unwrap_or(0);
        if block.len() < self.channels {
            debug_assert!(false, "fewer channels than the stream has");
            return;
        }
        let mut start = 0;
        while start < length {
            let mut n = (length - start).min(PIECE);
            for group in &self.groups {
                n = n.min(group.stages.wanted());
            }
            for tracker in &self.trackers {
                n = n.min(tracker.wanted());
            }
            for hum in &self.hum {
                n = n.min(hum.wanted());
            }
            self.process_piece(block, start, n);
            start += n;
        }
    }

    fn process_piece(&mut self, block: &mut [&mut [f32]], start: usize, n: usize) {
        for (clean, channel) in self.clean_input.iter_mut().zip(block.iter()) {
            for (c, x) in clean.iter_mut().zip(&channel[start..start + n]) {
                let usable = x.is_finite() && x.abs() <= BROKEN_ABOVE && x.abs() >= 1e-20;
                *c = if usable { *x } else { 0.0 };
            }
        }
        for group in &mut self.groups {
            let channels = group.first_channel..group.first_channel + group.channels;
            for (c, channel) in channels.clone().enumerate() {
                let hum = &mut self.hum[channel];
                let input = &self.clean_input[channel][..n];
                if hum.process(input, &mut self.without_hum[channel][..n]) {
                    let tracker = &self.trackers[channel];
                    let noise = if self.adaptive && tracker.has_estimate() {
                        tracker.estimate()
                    } else {
                        &self.initial[channel]
                    };
                    hum.soften_into(noise, &mut self.left);
                    group.stages.set_noise(c, &self.left);
                }
            }
            group.stages.process(&self.without_hum[channels], n);
        }
        let target = self.mix.target();
        let from = self.mix.now();
        let mut weights = from;
        for group in &self.groups {
            for c in 0..group.channels {
                let channel = group.first_channel + c;
                self.dry[channel].process(&self.clean_input[channel][..n], &mut self.delayed[..n]);
                let estimate = group.stages.estimate(c);
                weights = from;
                for i in 0..n {
                    weights = self.mix.step(weights, target);
                    block[channel][start + i] = weights.apply(estimate[i], self.delayed[i]);
                }
            }
        }
        self.mix.set_now(weights);
        if !self.adaptive {
            return;
        }
        for group in &mut self.groups {
            for c in 0..group.channels {
                let channel = group.first_channel + c;
                // What was learned has hum in it, what is found has not.
                let heard = if self.following {
                    &self.clean_input[channel]
                } else {
                    &self.without_hum[channel]
                };
                if self.trackers[channel].push(&[&heard[..n]]) {
                    let noise = self.trackers[channel].estimate();
                    self.hum[channel].soften_into(noise, &mut self.left);
                    group.stages.set_noise(c, &self.left);
                }
            }
        }
    }
}
