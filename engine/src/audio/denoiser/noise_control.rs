//! Changing what a stream knows about the noise while it runs, on the audio thread.

use super::StreamDenoiser;
use crate::audio::noise::NoiseSpectrum;

impl StreamDenoiser {
    /// Takes the noise of a channel to be `noise` from now on, also after [`Self::reset`]; steady tones in it are taken out as
    /// sines. The spectrum must be of the stream's rate. Never allocates: safe on the audio thread.
    pub fn assume_noise(&mut self, channel: usize, noise: &NoiseSpectrum) {
        let Some(initial) = self.initial.get_mut(channel) else {
            return;
        };
        initial.copy_from(noise);
        if let Some(hum) = self.hum.get_mut(channel) {
            hum.expect(noise);
        }
        for group in &mut self.groups {
            if (group.first_channel..group.first_channel + group.channels).contains(&channel) {
                self.hum[channel].soften_into(noise, &mut self.left);
                group
                    .stages
                    .set_noise(channel - group.first_channel, &self.left);
            }
        }
    }

    /// Takes the noise of a channel to be `noise` and follows its level from now on, also after [`Self::reset`]. The
    /// spectrum must be of the stream's rate. Never allocates: safe on the audio thread.
    pub fn follow_noise(&mut self, channel: usize, noise: &NoiseSpectrum) {
        self.assume_noise(channel, noise);
        if !(self.adaptive && self.following) {
            for (tracker, initial) in self.trackers.iter_mut().zip(&self.initial) {
                tracker.follow(initial);
            }
        } else if let Some(tracker) = self.trackers.get_mut(channel) {
            tracker.follow(noise);
        }
        self.adaptive = true;
        self.following = true;
    }

    /// Turns blind tracking on or off. Turned on, it begins anew, and the noise assumed so far serves until it knows
    /// more; turned off, the noise stays what it is. Never allocates.
    pub fn set_tracking(&mut self, on: bool) {
        if on && (!self.adaptive || self.following) {
            for tracker in &mut self.trackers {
                tracker.clear();
            }
            for initial in &mut self.initial {
                initial.clear();
            }
            for hum in &mut self.hum {
                hum.expect_nothing();
            }
        } else if !on && self.adaptive {
            for (initial, tracker) in self.initial.iter_mut().zip(&self.trackers) {
                if tracker.has_estimate() {
                    initial.copy_from(tracker.estimate());
                }
            }
        }
        self.adaptive = on;
        self.following = false;
    }

    /// Whether the noise is tracked blindly.
    #[must_use]
    pub const fn is_tracking(&self) -> bool {
        self.adaptive
    }

    /// The noise that a channel is cleaned of at present; of a tracking stream that knows nothing yet, `None`.
    #[must_use]
    pub fn present_noise(&self, channel: usize) -> Option<&NoiseSpectrum> {
        if self.adaptive {
            let tracker = self.trackers.get(channel)?;
            return tracker.has_estimate().then(|| tracker.estimate());
        }
        self.initial.get(channel)
    }

    /// Goes on tracking in `channel` where `other`, a tracking stream of the same rate that is about to end, left off
    /// there. Never allocates.
    pub fn take_tracking_from(&mut self, channel: usize, other: &mut Self) {
        if self.rate_hz != other.rate_hz {
            return;
        }
        let (Some(mine), Some(theirs)) = (
            self.trackers.get_mut(channel),
            other.trackers.get_mut(channel),
        ) else {
            return;
        };
        std::mem::swap(mine, theirs);
        // The other may play another instrument.
        mine.expect_from(self.lowest_hz);
        theirs.expect_from(other.lowest_hz);
        self.following = other.following;
        if let (Some(mine), Some(theirs)) =
            (self.initial.get_mut(channel), other.initial.get(channel))
        {
            mine.copy_from(theirs);
        }
        if !mine.has_estimate() {
            return;
        }
        for group in &mut self.groups {
            if (group.first_channel..group.first_channel + group.channels).contains(&channel) {
                self.hum[channel].soften_into(mine.estimate(), &mut self.left);
                group
                    .stages
                    .set_noise(channel - group.first_channel, &self.left);
            }
        }
    }

    /// Goes on taking hum out of `channel` where `other`, which hears the same and is about to end, left off there.
    /// Never allocates.
    pub fn take_hum_from(&mut self, channel: usize, other: &mut Self) {
        if self.rate_hz != other.rate_hz {
            return;
        }
        if let (Some(mine), Some(theirs)) = (self.hum.get_mut(channel), other.hum.get_mut(channel))
        {
            std::mem::swap(mine, theirs);
        }
    }
}
