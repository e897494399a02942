//! Two clocks: frames pass through an asynchronous resampler whose ratio follows the clocks.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Adjustable, Async, FixedAsync, Resampler, ResamplerConstructionError,
    SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

use super::bridge::{BridgeSetup, SLEPT_SECONDS, Source};
use super::steering::Steering;
use super::timing::Timing;

/// Frames of output made at once.
const CHUNK: usize = 32;
/// Points of the filter.
const POINTS: usize = 128;
/// Most that the ratio may differ from the nominal one.
const MOST_RELATIVE: f64 = 1.02;
/// What is kept in reserve for late callbacks, in seconds: in the beginning, how it grows with every gap, and at most.
const RESERVE_SECONDS: (f64, f64, f64) = (0.003, 1.6, 0.25);

/// See the module.
pub(super) struct Resampling {
    resampler: Async<f32>,
    steering: Steering,
    channels: usize,
    input_hz: f64,
    output_hz: f64,
    /// Interleaved input of one chunk.
    input: Vec<f32>,
    /// A chunk of interleaved output, and how many of its frames have been used.
    chunk: Vec<f32>,
    used: usize,
    /// The largest callbacks so far, in frames.
    input_block: f64,
    output_block: f64,
    reserve_seconds: f64,
    last_ns: u64,
}

impl Resampling {
    pub(super) fn new(setup: BridgeSetup) -> Result<Self, ResamplerConstructionError> {
        let parameters = SincInterpolationParameters {
            sinc_len: POINTS,
            f_cutoff: None,
            oversampling_factor: 256,
            interpolation: SincInterpolationType::Cubic,
            window: WindowFunction::BlackmanHarris2,
        };
        let channels = setup.channels.max(1);
        let resampler = Async::new_sinc(
            f64::from(setup.output_hz) / f64::from(setup.input_hz),
            MOST_RELATIVE,
            &parameters,
            CHUNK,
            channels,
            FixedAsync::Output,
        )?;
        Ok(Self {
            input: vec![0.0; resampler.input_frames_max() * channels],
            chunk: vec![0.0; CHUNK * channels],
            used: CHUNK,
            resampler,
            steering: Steering::default(),
            channels,
            input_hz: f64::from(setup.input_hz),
            output_hz: f64::from(setup.output_hz),
            input_block: 0.0,
            output_block: 0.0,
            reserve_seconds: RESERVE_SECONDS.0,
            last_ns: 0,
        })
    }

    pub(super) const fn correction(&self) -> f64 {
        self.steering.correction()
    }

    /// Input frames that the output lags the input, if both run evenly between their callbacks.
    fn lag(&self, source: &Source, timing: Timing) -> f64 {
        let Some(head) = source.seen else {
            return 0.0;
        };
        let since = timing.now_ns as f64 - head.timing.now_ns as f64;
        // A stream that has stopped does not run on.
        let since = (since * 1e-9 * self.input_hz).clamp(-self.input_block, 2.0 * self.input_block);
        let unused = (CHUNK - self.used) as f64 * self.input_hz / self.output_hz;
        head.written as f64 + since - (source.taken as f64 - unused)
    }

    /// The lag that is aimed at: the longest possible wait at either end, one chunk, and the reserve.
    fn wanted_lag(&self) -> f64 {
        let chunk = CHUNK as f64;
        self.input_block
            + (self.output_block + chunk) * self.input_hz / self.output_hz
            + self.reserve_seconds * self.input_hz
    }

    fn hear_of_blocks(&mut self, source: &Source, count: usize) {
        self.output_block = self.output_block.max(count as f64);
        if let Some(head) = source.seen {
            self.input_block = self.input_block.max(head.block as f64);
        }
    }

    /// Whether enough is there to begin with; if more is, it is left out.
    pub(super) fn start(&mut self, source: &mut Source, count: usize, timing: Timing) -> bool {
        self.hear_of_blocks(source, count);
        if source.seen.is_none() {
            return false;
        }
        self.resampler.reset();
        self.used = CHUNK;
        // At first the filter is filled: what comes out of it until then has an edge, and is thrown away.
        let usual = CHUNK as f64 * self.input_hz / self.output_hz;
        let discarded = (2 * self.resampler.output_delay()).div_ceil(CHUNK);
        let first = (self.resampler.input_frames_next() as f64 - usual).max(0.0);
        // A frame more, because chunks take whole frames.
        let filling = first + discarded as f64 * usual + 1.0;
        let surplus = self.lag(source, timing) - self.wanted_lag() - filling;
        if surplus < 0.0 || (source.waiting() as f64) < surplus + filling + 1.0 {
            return false;
        }
        source.skip(surplus as usize);
        for _ in 0..discarded {
            if !self.make_chunk(source) {
                return false;
            }
        }
        self.used = CHUNK;
        self.steering.resume();
        self.last_ns = timing.now_ns;
        true
    }

    /// Frames filled, frames left out, and latency in nanoseconds.
    pub(super) fn pull(
        &mut self,
        source: &mut Source,
        frames: &mut [f32],
        timing: Timing,
    ) -> (usize, usize, u64) {
        let count = frames.len() / self.channels;
        self.hear_of_blocks(source, count);
        let elapsed = timing.now_ns.saturating_sub(self.last_ns) as f64 * 1e-9;
        self.last_ns = timing.now_ns;
        let mut skipped = 0;
        if self.lag(source, timing) - self.wanted_lag() > SLEPT_SECONDS * self.input_hz {
            let before = source.taken;
            if self.start(source, count, timing) {
                skipped = (source.taken - before) as usize;
            }
        }
        let lag = self.lag(source, timing);
        let correction = self.steering.step(
            lag / self.input_hz,
            self.wanted_lag() / self.input_hz,
            elapsed,
        );
        // Out of range is ruled out by the limits of the steering.
        let _ = self
            .resampler
            .set_resample_ratio_relative(1.0 / (1.0 + correction), true);
        let latency_ns = self.latency_ns(source, lag, timing);
        let mut filled = 0;
        while filled < count {
            if self.used == CHUNK && !self.make_chunk(source) {
                self.reserve_seconds =
                    (self.reserve_seconds * RESERVE_SECONDS.1).min(RESERVE_SECONDS.2);
                break;
            }
            let n = (count - filled).min(CHUNK - self.used);
            let from = self.used * self.channels..(self.used + n) * self.channels;
            let to = filled * self.channels..(filled + n) * self.channels;
            frames[to].copy_from_slice(&self.chunk[from]);
            self.used += n;
            filled += n;
        }
        (filled, skipped, latency_ns)
    }

    fn make_chunk(&mut self, source: &mut Source) -> bool {
        let needed = self.resampler.input_frames_next();
        if needed * self.channels > self.input.len() || source.waiting() < needed {
            return false;
        }
        let input = &mut self.input[..needed * self.channels];
        if !source.take(input) {
            return false;
        }
        let (Ok(input), Ok(mut output)) = (
            InterleavedSlice::new(&*input, self.channels, needed),
            InterleavedSlice::new_mut(&mut self.chunk, self.channels, CHUNK),
        ) else {
            return false;
        };
        let made = self
            .resampler
            .process_into_buffer(&input, &mut output, None);
        self.used = 0;
        made.is_ok()
    }

    fn latency_ns(&self, source: &Source, lag: f64, timing: Timing) -> u64 {
        let Some(head) = source.seen else {
            return 0;
        };
        let block = head.block as f64 / self.input_hz * 1e9;
        let filter = self.resampler.output_delay() as f64 / self.output_hz * 1e9;
        // A frame that is taken now was put in `lag` ago, at the end of a block whose first frame was in the air
        // `device_ns` before.
        let ns = lag / self.input_hz * 1e9 - block
            + filter
            + head.timing.device_ns as f64
            + timing.device_ns as f64;
        ns.max(0.0) as u64
    }
}
