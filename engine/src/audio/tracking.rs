//! Blind noise tracking of whole recordings: trackers that have heard the beginning before it is denoised.

use super::hum::HumCanceller;
use super::noise::NoiseSpectrum;
use super::noise_tracker::NoiseTracker;

/// Trackers hear this much of a recording before they start, in seconds.
pub const PRIMING_SECONDS: f64 = 30.0;

/// Lines of a learned noise are looked for in this much of the beginning, in seconds.
const LINE_SECONDS: f64 = 4.0;

/// One tracker a channel.
pub struct Tracking {
    trackers: Vec<NoiseTracker>,
    /// What takes hum out before the trackers hear it, and a piece without it; none if they are to hear it.
    hum: Vec<HumCanceller>,
    left: Vec<f32>,
}

impl Tracking {
    /// Takes what rumbles below `lowest_hz` for noise from now on, as far as noise is found blindly.
    #[must_use]
    pub fn expecting_from(mut self, lowest_hz: f32) -> Self {
        for tracker in &mut self.trackers {
            tracker.expect_from(lowest_hz);
        }
        self
    }

    /// Trackers that have heard nothing.
    #[must_use]
    pub fn new(rate_hz: u32, channels: usize) -> Self {
        Self {
            trackers: (0..channels)
                .map(|number| NoiseTracker::of_channel(rate_hz, number))
                .collect(),
            hum: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Hears what these leave, one a channel, from now on: for streams that take hum out themselves. With none, everything.
    #[must_use]
    pub fn without_hum(mut self, hum: &[HumCanceller]) -> Self {
        self.hum = hum.to_vec();
        self
    }

    /// Trackers that have heard the beginning of signals of one length of an instrument that sounds from `lowest_hz` on,
    /// and go back to its start. `hum`, as at the start, as in [`Self::without_hum`].
    #[must_use]
    pub fn of_signal(
        rate_hz: u32,
        channels: &[&[f32]],
        lowest_hz: f32,
        hum: &[HumCanceller],
    ) -> Self {
        let mut tracking = Self::new(rate_hz, channels.len())
            .expecting_from(lowest_hz)
            .without_hum(hum);
        let heard = (PRIMING_SECONDS * f64::from(rate_hz)) as usize;
        let length = channels.iter().map(|c| c.len()).min().unwrap_or(0);
        tracking.hear(channels, heard.min(length));
        tracking.without_hum(hum)
    }

    /// Trackers that follow noise that was learned (one spectrum for all channels, or one a channel) in level, and its lines in
    /// frequency, from the `beginning` of a recording on, one slice a channel.
    #[must_use]
    pub fn following<C: AsRef<[f32]>>(
        rate_hz: u32,
        beginning: &[C],
        learned: &[NoiseSpectrum],
    ) -> Self {
        let mut tracking = Self::new(rate_hz, beginning.len());
        let heard = (LINE_SECONDS * f64::from(rate_hz)) as usize;
        for (channel, tracker) in tracking.trackers.iter_mut().enumerate() {
            if let Some(learned) = learned.get(channel).or(learned.first()) {
                tracker.follow(learned);
                let samples = beginning[channel].as_ref();
                tracker.prime_lines(&samples[..heard.min(samples.len())]);
            }
        }
        tracking
    }

    /// Samples until the next estimate.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.trackers
            .iter()
            .map(NoiseTracker::wanted)
            .min()
            .unwrap_or(usize::MAX)
            .max(1)
    }

    /// Takes in samples `start..start + n` of every channel, `n` up to [`Self::wanted`]; true when estimates changed.
    pub fn push<C: AsRef<[f32]>>(&mut self, channels: &[C], start: usize, n: usize) -> bool {
        let mut changed = false;
        for (channel, (tracker, samples)) in self.trackers.iter_mut().zip(channels).enumerate() {
            let mut heard = samples.as_ref().get(start..start + n).unwrap_or_default();
            if let Some(hum) = self.hum.get_mut(channel) {
                self.left.resize(heard.len(), 0.0);
                hum.process(heard, &mut self.left);
                heard = &self.left;
            }
            changed |= tracker.push(&[heard]);
        }
        changed
    }

    /// Takes in the first `n` samples of every channel.
    pub fn hear<C: AsRef<[f32]>>(&mut self, channels: &[C], n: usize) {
        let mut start = 0;
        while start < n {
            let piece = self.wanted().min(n - start);
            self.push(channels, start, piece);
            start += piece;
        }
    }

    /// The noise of each channel.
    #[must_use]
    pub fn estimates(&self) -> Vec<NoiseSpectrum> {
        self.trackers.iter().map(|t| t.estimate().clone()).collect()
    }

    /// The noise of the first channel.
    #[must_use]
    pub fn first_estimate(&self) -> Option<&NoiseSpectrum> {
        self.trackers.first().map(NoiseTracker::estimate)
    }
}
