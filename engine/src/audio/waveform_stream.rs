//! The streaming denoiser of the waveform domain: a latency of one window, 1.3 ms with 64 samples at 48 kHz.
//!
//! Windows overlap four times. Each enters the reverse process at the timestep of its own signal-to-noise ratio and leaves
//! it by one `mean` step; the overlapping estimates of a sample are averaged, the middle of a window counting most. It
//! keeps the rules of [`super::denoiser`]: any block length gives the same bits, the latency reported is that of an
//! impulse, processing never allocates, locks or waits, and broken samples become silence.
//!
//! The noise is taken for white: coloured noise is denoised with the mean of its spectrum as level.

use std::sync::Arc;

use super::delay::DelayLine;
use super::denoiser::{BROKEN_ABOVE, NoiseSource};
use super::mix::{Output, OutputMix};
use super::noise_tracker::NoiseTracker;
use super::waveform::{OVERLAP, WaveformError};
use super::waveform_kernel::{WaveformKernel, WaveformScratch};

/// Samples nearer to zero than this are taken for zero: products with them would be denormal.
const ZERO_BELOW: f32 = 1e-20;
/// Share of the sum of squares that rounding may leave of samples that are gone; no level lies below it.
const ROUNDING: f64 = 1e-12;

/// A denoiser for a stream of any number of channels, each on its own.
pub struct WaveformStream {
    kernel: Arc<WaveformKernel>,
    channels: Vec<Channel>,
    scratch: WaveformScratch,
    adaptive: bool,
    mix: OutputMix,
}

/// The state of one channel.
struct Channel {
    /// The last `level_samples` samples as a ring, and the place of the next one, which is the oldest.
    level: Vec<f32>,
    next: usize,
    /// Sum of their squares.
    power: f64,
    /// Sums of the weighted estimates of the window's samples, the oldest first.
    sums: Vec<f32>,
    /// The estimates that are finished, heard one a sample during the next hop.
    ready: Vec<f32>,
    /// Samples of the present hop.
    filled: usize,
    dry: DelayLine,
    tracker: NoiseTracker,
    /// What it starts from, and the variance of the noise now.
    initial: f32,
    variance: f32,
}

impl WaveformStream {
    /// A stream of `channels` channels (at least 1) at `rate_hz`. Allocates everything it will ever need; not for the
    /// audio thread.
    ///
    /// # Errors
    /// [`WaveformError::Rate`] if the model has another sample rate.
    pub fn new(
        kernel: Arc<WaveformKernel>,
        rate_hz: u32,
        channels: usize,
        noise: NoiseSource,
    ) -> Result<Self, WaveformError> {
        let recipe = kernel.recipe();
        if recipe.rate_hz != rate_hz {
            return Err(WaveformError::Rate {
                model: recipe.rate_hz,
                sound: rate_hz,
            });
        }
        let d = recipe.window;
        let channels = (0..channels.max(1))
            .map(|_| Channel {
                level: vec![0.0; recipe.level_samples],
                next: 0,
                power: 0.0,
                sums: vec![0.0; d],
                ready: vec![0.0; d / OVERLAP],
                filled: 0,
                dry: DelayLine::new(d),
                tracker: NoiseTracker::new(rate_hz, 1),
                initial: 0.0,
                variance: 0.0,
            })
            .collect();
        let mut stream = Self {
            scratch: kernel.scratch(),
            kernel,
            channels,
            adaptive: true,
            mix: OutputMix::new(rate_hz),
        };
        stream.set_noise(&noise);
        Ok(stream)
    }

    /// Samples that the output lags the input, the same in every setting: one window.
    #[must_use]
    pub fn latency_samples(&self) -> usize {
        self.kernel.recipe().window
    }

    /// Changes where the noise level comes from: known spectra count with their mean power per sample, one for all
    /// channels or one a channel; tracking starts from what is known and replaces it. Never allocates.
    pub fn set_noise(&mut self, noise: &NoiseSource) {
        self.adaptive = matches!(noise, NoiseSource::Adaptive);
        if let NoiseSource::Known(spectra) = noise {
            for (i, channel) in self.channels.iter_mut().enumerate() {
                if let Some(spectrum) = spectra.get(i).or(spectra.first()) {
                    channel.initial = spectrum.variance();
                    channel.variance = channel.initial;
                }
            }
        }
    }

    /// How deep the noise is taken down, 0 (not at all) to [`FULL_AMOUNT_DB`](super::mix::FULL_AMOUNT_DB) and above (wholly); the change is smoothed.
    pub fn set_amount_db(&mut self, amount_db: f32) {
        self.mix.set_amount_db(amount_db);
    }

    /// What is heard; the change is smoothed.
    pub fn set_output(&mut self, output: Output) {
        self.mix.set_output(output);
    }

    /// Starts at the present settings instead of gliding to them; for the start of a stream.
    pub fn settle(&mut self) {
        self.mix.settle();
    }

    /// Variance of the noise that is assumed in a channel now.
    #[must_use]
    pub fn noise_variance(&self, channel: usize) -> Option<f32> {
        self.channels.get(channel).map(|c| c.variance)
    }

    /// Back to the state of a new stream with the same settings; a tracked level is forgotten. Never allocates.
    pub fn reset(&mut self) {
        for c in &mut self.channels {
            c.level.fill(0.0);
            c.next = 0;
            c.power = 0.0;
            c.sums.fill(0.0);
            c.ready.fill(0.0);
            c.filled = 0;
            c.dry.clear();
            c.tracker.clear();
            c.variance = c.initial;
        }
        self.settle();
    }

    /// Denoises a block of any length in place, one slice a channel; surplus channels are left alone. Never allocates,
    /// locks or waits: safe on the audio thread.
    pub fn process(&mut self, block: &mut [&mut [f32]]) {
        debug_assert!(
            block.len() >= self.channels.len(),
            "fewer channels than the stream has"
        );
        let (start, target) = (self.mix.now(), self.mix.target());
        let mut weights = start;
        for (channel, samples) in self.channels.iter_mut().zip(block) {
            weights = start;
            for sample in samples.iter_mut() {
                weights = self.mix.step(weights, target);
                let (estimate, dry) =
                    channel.next(*sample, &self.kernel, &mut self.scratch, self.adaptive);
                *sample = weights.apply(estimate, dry);
            }
        }
        self.mix.set_now(weights);
    }
}

impl Channel {
    /// Takes one sample in; gives the estimate and the input of one window ago.
    fn next(
        &mut self,
        sample: f32,
        kernel: &WaveformKernel,
        scratch: &mut WaveformScratch,
        adaptive: bool,
    ) -> (f32, f32) {
        let usable = sample.is_finite() && (ZERO_BELOW..=BROKEN_ABOVE).contains(&sample.abs());
        let input = [if usable { sample } else { 0.0 }];
        let mut dry = [0.0];
        self.dry.process(&input, &mut dry);
        let estimate = self.ready[self.filled];
        let gone = std::mem::replace(&mut self.level[self.next], input[0]);
        self.power += f64::from(input[0]).powi(2) - f64::from(gone).powi(2);
        self.next += 1;
        if self.next == self.level.len() {
            self.next = 0;
            // Rounding errors of the running sum do not live longer than one turn of the ring.
            self.power = self.level.iter().map(|s| f64::from(*s).powi(2)).sum();
        }
        if adaptive && self.tracker.push(&[&input]) {
            self.variance = self.tracker.estimate().variance();
        }
        self.filled += 1;
        if self.filled == self.ready.len() {
            self.filled = 0;
            self.window(kernel, scratch);
        }
        (estimate, dry[0])
    }

    /// Denoises the last window and adds it to the sums; the oldest hop of them is finished then.
    fn window(&mut self, kernel: &WaveformKernel, scratch: &mut WaveformScratch) {
        let (d, hop) = (self.sums.len(), self.ready.len());
        let window = scratch.window_mut();
        // The window ends before `next`; in a ring it may wrap.
        let (newer, older) = self.level.split_at(self.next);
        let from_newer = newer.len().min(d);
        let from_older = d - from_newer;
        window[..from_older].copy_from_slice(&older[older.len() - from_older..]);
        window[from_older..].copy_from_slice(&newer[newer.len() - from_newer..]);
        let mean = self.power / self.level.len() as f64;
        let (variance, floor) = (f64::from(self.variance), ROUNDING * mean.abs());
        if self.variance > 0.0 {
            let snr = (mean - variance).max(floor) / variance;
            kernel.denoise_window(scratch, self.variance.sqrt(), 10.0 * libm::log10(snr));
        }
        for ((sum, x), weight) in self
            .sums
            .iter_mut()
            .zip(scratch.window())
            .zip(kernel.weights())
        {
            *sum += weight * x;
        }
        self.ready.copy_from_slice(&self.sums[..hop]);
        self.sums.copy_within(hop.., 0);
        self.sums[d - hop..].fill(0.0);
    }
}
