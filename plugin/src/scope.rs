//! Sound on its way from the audio thread to the editor, only while the editor is open.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rtrb::{Consumer, Producer, RingBuffer};

/// Samples in a queue at most; when the editor is slow, newer ones are lost.
const SAMPLES: usize = 1 << 16;

/// The audio thread's end: mean of the channels of input and output.
pub struct ScopeSender {
    input: Producer<f32>,
    output: Producer<f32>,
}

impl ScopeSender {
    /// Shows a block of input. Never waits.
    pub fn input(&mut self, block: &[&mut [f32]]) {
        send(&mut self.input, block);
    }

    /// Shows a block of output. Never waits.
    pub fn output(&mut self, block: &[&mut [f32]]) {
        send(&mut self.output, block);
    }
}

fn send(to: &mut Producer<f32>, block: &[&mut [f32]]) {
    let scale = 1.0 / block.len().max(1) as f32;
    for i in 0..block.first().map_or(0, |c| c.len()) {
        let sum: f32 = block.iter().filter_map(|c| c.get(i)).sum();
        let mean = scale * sum;
        if to.push(if mean.is_finite() { mean } else { 0.0 }).is_err() {
            return;
        }
    }
}

struct Receiver {
    input: Consumer<f32>,
    output: Consumer<f32>,
}

/// The editor's end, and the switch.
pub struct Scope {
    open: AtomicBool,
    sender: Mutex<Option<ScopeSender>>,
    receiver: Mutex<Receiver>,
}

impl Default for Scope {
    fn default() -> Self {
        let input = RingBuffer::new(SAMPLES);
        let output = RingBuffer::new(SAMPLES);
        Self {
            open: AtomicBool::new(false),
            sender: Mutex::new(Some(ScopeSender {
                input: input.0,
                output: output.0,
            })),
            receiver: Mutex::new(Receiver {
                input: input.1,
                output: output.1,
            }),
        }
    }
}

impl Scope {
    /// The sending end, once. Not for the audio thread.
    #[must_use]
    pub fn take_sender(&self) -> Option<ScopeSender> {
        self.sender
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Whether somebody looks. Never waits.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// The editor is opened or closed.
    pub fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
    }

    /// Appends every waiting sample of input and output.
    pub fn drain(&self, input: &mut Vec<f32>, output: &mut Vec<f32>) {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        input.extend(std::iter::from_fn(|| receiver.input.pop().ok()));
        output.extend(std::iter::from_fn(|| receiver.output.pop().ok()));
    }
}
