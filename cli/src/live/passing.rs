//! One clock: frames pass from input to output as they are. A callback of the output may come before or after that of the
//! input in every period, so one block of the output lies in wait; that is all the delay there is.

use super::bridge::{SLEPT_SECONDS, Source};
use super::timing::Timing;

/// For so long the reserve must have been too large before frames are left out, in seconds.
const WATCHED_SECONDS: f64 = 1.0;
/// Length of the crossfade where frames are left out, in frames.
const CROSSFADE: usize = 64;

/// See the module.
pub(super) struct Passing {
    rate_hz: f64,
    /// The largest callback of the output so far, in frames.
    block: usize,
    /// Smallest reserve within the stretch that is watched, in frames.
    least: usize,
    watched: usize,
    /// The frames that would have come next where some are left out.
    next: Vec<f32>,
}

impl Passing {
    pub(super) fn new(channels: usize, rate_hz: u32) -> Self {
        Self {
            rate_hz: f64::from(rate_hz),
            block: 0,
            least: usize::MAX,
            watched: 0,
            next: vec![0.0; CROSSFADE * channels],
        }
    }

    /// Frames that waited before the input's callback of this period, whether it has come or not.
    fn reserve(source: &Source, timing: Timing, rate_hz: f64) -> usize {
        let waiting = source.waiting();
        let Some(head) = source.seen else {
            return waiting;
        };
        let since = timing.now_ns.saturating_sub(head.timing.now_ns) as f64 * 1e-9 * rate_hz;
        if since < 0.5 * head.block as f64 {
            waiting.saturating_sub(head.block as usize)
        } else {
            waiting
        }
    }

    /// Whether enough is there to begin with; if more is, it is left out.
    pub(super) fn start(&mut self, source: &mut Source, count: usize, timing: Timing) -> bool {
        self.block = self.block.max(count);
        self.least = usize::MAX;
        self.watched = 0;
        let reserve = Self::reserve(source, timing, self.rate_hz);
        if source.seen.is_none() || reserve < self.block {
            return false;
        }
        source.skip(reserve - self.block);
        true
    }

    /// Frames filled, frames left out, and latency in nanoseconds.
    pub(super) fn pull(
        &mut self,
        source: &mut Source,
        frames: &mut [f32],
        timing: Timing,
    ) -> (usize, usize, u64) {
        let channels = source.channels;
        let count = frames.len() / channels;
        self.block = self.block.max(count);
        let reserve = Self::reserve(source, timing, self.rate_hz);
        let latency_ns = self.latency_ns(source, timing);
        self.least = self.least.min(reserve);
        self.watched += count;
        let slept = reserve as f64 > SLEPT_SECONDS * self.rate_hz;
        let mut skipped = 0;
        if slept || self.watched as f64 > WATCHED_SECONDS * self.rate_hz {
            let least = if slept { reserve } else { self.least };
            // A quarter of a block is jitter, more is a callback that was left out.
            if least > self.block + self.block / 4 {
                skipped = self.leave_out(source, least - self.block);
            }
            self.least = usize::MAX;
            self.watched = 0;
        }
        let filled = count.min(source.waiting());
        let sound = &mut frames[..filled * channels];
        source.take(sound);
        if skipped > 0 {
            for (i, (x, old)) in sound.iter_mut().zip(&self.next).enumerate() {
                let share = (i / channels) as f32 / CROSSFADE as f32;
                *x = old + share * (*x - old);
            }
        }
        (filled, skipped, latency_ns)
    }

    /// Leaves frames out, and keeps those that would have come for a crossfade.
    fn leave_out(&mut self, source: &mut Source, frames: usize) -> usize {
        if frames <= CROSSFADE || source.waiting() < frames + CROSSFADE {
            return 0;
        }
        source.take(&mut self.next);
        source.skip(frames - CROSSFADE) + CROSSFADE
    }

    fn latency_ns(&self, source: &Source, timing: Timing) -> u64 {
        let Some(head) = source.seen else {
            return 0;
        };
        // The first frame of the input's last block was in the air `device_ns` before that callback.
        let first = head.written.saturating_sub(head.block);
        let frames = first as f64 - source.taken as f64;
        let between = timing.now_ns as f64 - head.timing.now_ns as f64;
        let ns = frames / self.rate_hz * 1e9
            + between
            + head.timing.device_ns as f64
            + timing.device_ns as f64;
        ns.max(0.0) as u64
    }
}
