//! What the threads of the program share. The audio threads touch only what is atomic or a queue without locks.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;
use drfm_engine::audio::denoiser::{Output, StreamDenoiser};
use drfm_engine::realtime::meters::Meters;
use drfm_engine::realtime::noise_board::NoiseBoard;

/// Where the noise is known from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Noise {
    /// Tracked while playing.
    #[default]
    Tracked,
    /// Being learned at present; tracked until then.
    Learning,
    /// Learned.
    Learned,
}

impl Noise {
    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tracked => "tracked",
            Self::Learning => "learning",
            Self::Learned => "learned",
        }
    }
}

/// Numbers that only grow.
#[derive(Default)]
pub struct Counters {
    /// Callbacks of the input.
    pub input_blocks: AtomicU64,
    /// Frames of the input.
    pub input_frames: AtomicU64,
    /// Callbacks of the output.
    pub output_blocks: AtomicU64,
    /// Frames of the output.
    pub output_frames: AtomicU64,
    /// Blocks that took longer to compute than to play.
    pub late_blocks: AtomicU64,
    /// Times that the output ran dry.
    pub underruns: AtomicU64,
    /// Frames of silence because of that.
    pub silent_frames: AtomicU64,
    /// Frames of the input that were never heard.
    pub dropped_frames: AtomicU64,
    /// Times that frames were dropped.
    pub drops: AtomicU64,
    /// Samples beyond full scale in the output.
    pub clipped: AtomicU64,
    /// Frames that the recorder could not take in time.
    pub unrecorded_frames: AtomicU64,
    /// Nanoseconds spent in callbacks.
    pub busy_ns: AtomicU64,
}

impl Counters {
    /// Adds, if there is something to add.
    pub fn add(counter: &AtomicU64, n: usize) {
        if n > 0 {
            counter.fetch_add(n as u64, Ordering::Relaxed);
        }
    }
}

/// See the module.
pub struct Shared {
    amount_db: AtomicU32,
    output: AtomicU8,
    /// Grows with every request to begin or end learning.
    learn: AtomicBool,
    forget: AtomicBool,
    noise: AtomicU8,
    learn_frames: AtomicU64,
    /// A stream that is to take over.
    pub deliveries: ArrayQueue<Box<StreamDenoiser>>,
    /// Streams that are no longer needed.
    pub retired: ArrayQueue<Box<StreamDenoiser>>,
    /// Levels.
    pub meters: Meters,
    /// The noise that is taken away.
    pub present: NoiseBoard,
    /// The noise that was learned.
    pub learned: NoiseBoard,
    /// Counts.
    pub counters: Counters,
    /// Latency of the denoiser in samples.
    pub engine_latency: AtomicU64,
    /// Latency of everything else in nanoseconds; 0 if unknown.
    pub path_latency_ns: AtomicU64,
    /// Frames in the ring.
    pub waiting_frames: AtomicU64,
    /// Correction of the resampler in parts of 10^9, as `i64`.
    pub correction_ppb: AtomicU64,
    /// Largest callback of input and output so far, in frames.
    pub blocks: [AtomicU64; 2],
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            amount_db: AtomicU32::new(drfm_engine::audio::denoiser::FULL_AMOUNT_DB.to_bits()),
            output: AtomicU8::new(0),
            learn: AtomicBool::new(false),
            forget: AtomicBool::new(false),
            noise: AtomicU8::new(Noise::Tracked as u8),
            learn_frames: AtomicU64::new(0),
            deliveries: ArrayQueue::new(1),
            retired: ArrayQueue::new(4),
            meters: Meters::default(),
            present: NoiseBoard::default(),
            learned: NoiseBoard::default(),
            counters: Counters::default(),
            engine_latency: AtomicU64::new(0),
            path_latency_ns: AtomicU64::new(0),
            waiting_frames: AtomicU64::new(0),
            correction_ppb: AtomicU64::new(0),
            blocks: Default::default(),
        }
    }
}

impl Shared {
    /// How deep the noise is taken down, in dB.
    #[must_use]
    pub fn amount_db(&self) -> f32 {
        f32::from_bits(self.amount_db.load(Ordering::Relaxed))
    }

    /// Sets [`Self::amount_db`].
    pub fn set_amount_db(&self, amount_db: f32) {
        self.amount_db.store(amount_db.to_bits(), Ordering::Relaxed);
    }

    /// What is heard.
    #[must_use]
    pub fn output(&self) -> Output {
        match self.output.load(Ordering::Relaxed) {
            1 => Output::Removed,
            2 => Output::Bypass,
            _ => Output::Denoised,
        }
    }

    /// Sets [`Self::output`].
    pub fn set_output(&self, output: Output) {
        let number = match output {
            Output::Denoised => 0,
            Output::Removed => 1,
            Output::Bypass => 2,
        };
        self.output.store(number, Ordering::Relaxed);
    }

    /// Whether noise is to be learned now.
    #[must_use]
    pub fn learn(&self) -> bool {
        self.learn.load(Ordering::Relaxed)
    }

    /// Begins or ends learning.
    pub fn set_learn(&self, on: bool) {
        self.learn.store(on, Ordering::Relaxed);
    }

    /// What was learned is to be forgotten.
    pub fn forget_noise(&self) {
        self.forget.store(true, Ordering::Relaxed);
    }

    /// Takes the request of [`Self::forget_noise`].
    #[must_use]
    pub fn take_forget(&self) -> bool {
        self.forget.load(Ordering::Relaxed) && self.forget.swap(false, Ordering::Relaxed)
    }

    /// Where the noise is known from.
    #[must_use]
    pub fn noise(&self) -> Noise {
        match self.noise.load(Ordering::Relaxed) {
            1 => Noise::Learning,
            2 => Noise::Learned,
            _ => Noise::Tracked,
        }
    }

    /// Tells [`Self::noise`]; the audio thread's part.
    pub fn set_noise(&self, noise: Noise) {
        self.noise.store(noise as u8, Ordering::Relaxed);
    }

    /// Frames learned so far.
    #[must_use]
    pub fn learn_frames(&self) -> u64 {
        self.learn_frames.load(Ordering::Relaxed)
    }

    /// Tells [`Self::learn_frames`]; the audio thread's part.
    pub fn set_learn_frames(&self, frames: u64) {
        self.learn_frames.store(frames, Ordering::Relaxed);
    }
}
