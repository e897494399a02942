//! From the input's callback to the output's, through a ring without locks.
//!
//! Where both run on one clock, frames pass as they are. Where they do not, a resampler makes up for the difference,
//! steered by how far the output lags the input. Neither end allocates, locks or waits.

use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};
use rubato::ResamplerConstructionError;

use super::edges::Edges;
use super::passing::Passing;
use super::resampling::Resampling;
use super::timing::{Head, HeadCell, Timing};

/// Seconds of sound that the ring takes.
const RING_SECONDS: f64 = 2.0;
/// Seconds of lag that no callback size explains: the output has slept, and the sound in between is dropped.
pub(super) const SLEPT_SECONDS: f64 = 0.5;

/// What is to be bridged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgeSetup {
    /// Channels of the frames.
    pub channels: usize,
    /// Rate of the input in Hz.
    pub input_hz: u32,
    /// Rate of the output in Hz.
    pub output_hz: u32,
    /// Whether input and output count the same clock: then they must have one rate.
    pub one_clock: bool,
}

/// What became of a block of output.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pulled {
    /// Frames that are silent because none were there.
    pub missing: usize,
    /// Whether a gap begins in this block.
    pub underrun: bool,
    /// Frames of the input that were left out to catch up.
    pub skipped: usize,
    /// From the air at the microphone to the air at the loudspeaker, without the denoiser, in nanoseconds; 0 if unknown.
    pub latency_ns: u64,
    /// Frames that waited in the ring.
    pub waiting: usize,
}

/// The input's end.
pub struct BridgeInput {
    ring: Producer<f32>,
    head: Arc<HeadCell>,
    channels: usize,
    written: u64,
}

impl BridgeInput {
    /// Puts a callback's frames in, interleaved; returns how many did not fit.
    pub fn push(&mut self, frames: &[f32]) -> usize {
        let count = frames.len() / self.channels;
        let fitting = count.min(self.ring.slots() / self.channels);
        let (now, lost) = frames.split_at(fitting * self.channels);
        // It fits: the slots were counted, and only this end takes any.
        let _ = self.ring.push_entire_slice(now);
        self.written += fitting as u64;
        lost.len() / self.channels
    }

    /// Tells the other end that a callback of `block` frames has been put in.
    pub fn publish(&mut self, block: usize, timing: Timing) {
        self.head.set(Head {
            written: self.written,
            block: block as u64,
            timing,
        });
    }
}

/// How frames pass.
enum Way {
    Passing(Passing),
    Resampling(Box<Resampling>),
}

/// The output's end.
pub struct BridgeOutput {
    source: Source,
    way: Way,
    edges: Edges,
    playing: bool,
    started: bool,
}

/// The ring as the output sees it.
pub(super) struct Source {
    ring: Consumer<f32>,
    head: Arc<HeadCell>,
    /// The newest head that was seen.
    pub(super) seen: Option<Head>,
    pub(super) channels: usize,
    /// Frames taken out so far.
    pub(super) taken: u64,
}

impl Source {
    /// Frames in the ring.
    pub(super) fn waiting(&self) -> usize {
        self.ring.slots() / self.channels
    }

    /// Fills `frames`, which the ring must have.
    pub(super) fn take(&mut self, frames: &mut [f32]) -> bool {
        let there = self.ring.pop_entire_slice(frames).is_ok();
        if there {
            self.taken += (frames.len() / self.channels) as u64;
        }
        there
    }

    /// Leaves frames out.
    pub(super) fn skip(&mut self, frames: usize) -> usize {
        let frames = frames.min(self.waiting());
        match self.ring.read_chunk(frames * self.channels) {
            Ok(chunk) => chunk.commit_all(),
            Err(_) => return 0,
        }
        self.taken += frames as u64;
        frames
    }

    fn look(&mut self) {
        if let Some(head) = self.head.get() {
            self.seen = Some(head);
        }
    }
}

/// Makes a bridge. Allocates everything it will ever need.
///
/// # Errors
/// If the rates are so far apart that no resampler can be made.
pub fn bridge(
    setup: BridgeSetup,
) -> Result<(BridgeInput, BridgeOutput), ResamplerConstructionError> {
    let channels = setup.channels.max(1);
    let frames = (RING_SECONDS * f64::from(setup.input_hz)) as usize;
    let (producer, consumer) = RingBuffer::new(frames * channels);
    let head = Arc::new(HeadCell::default());
    let input = BridgeInput {
        ring: producer,
        head: Arc::clone(&head),
        channels,
        written: 0,
    };
    let way = if setup.one_clock && setup.input_hz == setup.output_hz {
        Way::Passing(Passing::new(channels, setup.input_hz))
    } else {
        Way::Resampling(Box::new(Resampling::new(setup)?))
    };
    let output = BridgeOutput {
        source: Source {
            ring: consumer,
            head,
            seen: None,
            channels,
            taken: 0,
        },
        way,
        edges: Edges::new(channels, setup.output_hz),
        playing: false,
        started: false,
    };
    Ok((input, output))
}

impl BridgeOutput {
    /// Fills a callback's frames, interleaved.
    pub fn pull(&mut self, frames: &mut [f32], timing: Timing) -> Pulled {
        self.source.look();
        let count = frames.len() / self.source.channels;
        let mut pulled = Pulled {
            waiting: self.source.waiting(),
            ..Pulled::default()
        };
        if !self.playing {
            let ready = match &mut self.way {
                Way::Passing(way) => way.start(&mut self.source, count, timing),
                Way::Resampling(way) => way.start(&mut self.source, count, timing),
            };
            if !ready {
                self.edges.gap(frames);
                // Before the very first sound nothing is missing.
                pulled.missing = if self.started { count } else { 0 };
                return pulled;
            }
            self.playing = true;
            self.started = true;
        }
        let (filled, skipped, latency_ns) = match &mut self.way {
            Way::Passing(way) => way.pull(&mut self.source, frames, timing),
            Way::Resampling(way) => way.pull(&mut self.source, frames, timing),
        };
        pulled.skipped = skipped;
        pulled.latency_ns = latency_ns;
        let (sound, gap) = frames.split_at_mut(filled * self.source.channels);
        self.edges.sound(sound);
        if filled < count {
            self.edges.gap(gap);
            self.playing = false;
            pulled.underrun = true;
            pulled.missing = count - filled;
        }
        pulled
    }

    /// How much faster than nominal the input is consumed, as a part of 1; 0 on one clock.
    #[must_use]
    pub fn correction(&self) -> f64 {
        match &self.way {
            Way::Passing(_) => 0.0,
            Way::Resampling(way) => way.correction(),
        }
    }
}
