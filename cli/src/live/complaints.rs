//! What sound cards complain of: counted by kind, told seldom. Storms of thousands of errors a second cost nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam::queue::ArrayQueue;

/// Kinds of complaints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A callback came too late, or its work.
    Xrun,
    /// The device or server is gone.
    Gone,
    /// The format is another one now.
    FormatChanged,
    /// The sound goes another way now, by itself.
    Rerouted,
    /// No real-time priority.
    NoPriority,
    /// Anything else.
    Other,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Xrun,
        Self::Gone,
        Self::FormatChanged,
        Self::Rerouted,
        Self::NoPriority,
        Self::Other,
    ];

    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xrun => "xrun",
            Self::Gone => "gone",
            Self::FormatChanged => "format changed",
            Self::Rerouted => "rerouted",
            Self::NoPriority => "no real-time priority",
            Self::Other => "error",
        }
    }

    /// Whether the streams must be opened anew.
    #[must_use]
    pub const fn ends_streams(self) -> bool {
        matches!(self, Self::Gone | Self::FormatChanged)
    }
}

/// See the module.
pub struct Complaints {
    counts: [AtomicU64; Kind::ALL.len()],
    /// Whether the words of a complaint of that kind wait to be told.
    pending: [AtomicBool; Kind::ALL.len()],
    words: ArrayQueue<(Kind, String)>,
}

impl Default for Complaints {
    fn default() -> Self {
        Self {
            counts: Default::default(),
            pending: Default::default(),
            words: ArrayQueue::new(Kind::ALL.len()),
        }
    }
}

impl Complaints {
    /// Takes a complaint in, from any thread; `words` are asked for only if nobody has complained of the same lately.
    pub fn note(&self, kind: Kind, words: impl FnOnce() -> String) {
        let i = kind as usize;
        if let Some(count) = self.counts.get(i) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(pending) = self.pending.get(i)
            && !pending.swap(true, Ordering::Relaxed)
        {
            let _ = self.words.push((kind, words()));
        }
    }

    /// The next complaint that nobody was told of.
    pub fn take(&self) -> Option<(Kind, String)> {
        self.words.pop()
    }

    /// From now on a complaint of this kind is told again.
    pub fn listen_again(&self, kind: Kind) {
        if let Some(pending) = self.pending.get(kind as usize) {
            pending.store(false, Ordering::Relaxed);
        }
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        let count = self.counts.get(kind as usize);
        count.map_or(0, |c| c.load(Ordering::Relaxed))
    }
}

/// A kind is told of this often at most.
pub const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Decides what is told.
#[derive(Default)]
pub struct Teller {
    /// When a kind was told last, and its count then.
    told: [Option<(Duration, u64)>; Kind::ALL.len()],
}

impl Teller {
    /// What is to be told at `now`: kind, words, and how many there were since it was told last.
    pub fn tell(&mut self, complaints: &Complaints, now: Duration) -> Vec<(Kind, String, u64)> {
        let mut out = Vec::new();
        while let Some((kind, words)) = complaints.take() {
            let count = complaints.count(kind);
            let Some(place) = self.told.get_mut(kind as usize) else {
                continue;
            };
            let before = place.map_or(0, |(_, n)| n);
            *place = Some((now, count));
            out.push((kind, words, count - before));
        }
        for (kind, place) in Kind::ALL.into_iter().zip(&self.told) {
            if place.is_some_and(|(at, _)| now.saturating_sub(at) >= TOLD_EVERY) {
                complaints.listen_again(kind);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storms_are_counted_and_told_seldom() {
        let complaints = Complaints::default();
        let mut teller = Teller::default();
        let mut told = Vec::new();
        for ms in 0..25_000u64 {
            for _ in 0..5 {
                complaints.note(Kind::Other, || "I/O error".into());
            }
            if ms == 100 {
                complaints.note(Kind::Gone, || "unplugged".into());
            }
            if ms % 50 == 0 {
                told.extend(teller.tell(&complaints, Duration::from_millis(ms)));
            }
        }
        assert_eq!(complaints.count(Kind::Other), 125_000);
        let others = told.iter().filter(|t| t.0 == Kind::Other).count();
        assert_eq!(others, 3, "{told:?}");
        assert_eq!(told.iter().filter(|t| t.0 == Kind::Gone).count(), 1);
        assert!(Kind::Gone.ends_streams() && !Kind::Xrun.ends_streams());
    }
}
