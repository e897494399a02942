//! When a callback of a sound card happened, and the position of the input stream at that time.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

/// A point on the clock of the program, and how far the sound card is away from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// When the callback was called, in nanoseconds of a steady clock that input and output share.
    pub now_ns: u64,
    /// Of an input: since the first frame was in the air; of an output: until the first frame will be. In nanoseconds.
    pub device_ns: u64,
}

/// Where the input stream was at its last callback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Frames put into the ring so far.
    pub written: u64,
    /// Of these by the last callback.
    pub block: u64,
    /// When that was.
    pub timing: Timing,
}

/// Shows the newest [`Head`] from one audio thread to another; neither ever waits.
#[derive(Default)]
pub struct HeadCell {
    /// Odd while being written.
    sequence: AtomicUsize,
    values: [AtomicU64; 4],
}

impl HeadCell {
    /// Shows a new one. One thread only.
    pub fn set(&self, head: Head) {
        let start = self.sequence.load(Ordering::Relaxed);
        self.sequence
            .store(start.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        let values = [
            head.written,
            head.block,
            head.timing.now_ns,
            head.timing.device_ns,
        ];
        for (place, value) in self.values.iter().zip(values) {
            place.store(value, Ordering::Relaxed);
        }
        self.sequence
            .store(start.wrapping_add(2), Ordering::Release);
    }

    /// The newest one; `None` if there is none yet or it is being written at this moment.
    #[must_use]
    pub fn get(&self) -> Option<Head> {
        let before = self.sequence.load(Ordering::Acquire);
        if before == 0 || before % 2 == 1 {
            return None;
        }
        let [written, block, now_ns, device_ns] = [0, 1, 2, 3]
            .map(|i: usize| self.values.get(i).map_or(0, |v| v.load(Ordering::Relaxed)));
        fence(Ordering::Acquire);
        (self.sequence.load(Ordering::Relaxed) == before).then_some(Head {
            written,
            block,
            timing: Timing { now_ns, device_ns },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_head_is_seen_whole() {
        let cell = HeadCell::default();
        assert_eq!(cell.get(), None);
        for i in 1..10u64 {
            let head = Head {
                written: i * 256,
                block: 256,
                timing: Timing {
                    now_ns: i * 5_333_333,
                    device_ns: i,
                },
            };
            cell.set(head);
            assert_eq!(cell.get(), Some(head));
        }
    }
}
