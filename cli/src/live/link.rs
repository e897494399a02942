//! Whether the sound card is there: when to give streams up and when to try again. Knows neither clock nor card.

use std::time::Duration;

/// So long without a callback, and the streams are taken for dead: a suspended computer, a server that hangs.
const STALLED_AFTER: Duration = Duration::from_millis(1500);
/// New streams may take longer to begin.
const FIRST_CALLBACK_WITHIN: Duration = Duration::from_secs(4);
/// Between two attempts, in the beginning and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Wait,
    /// The streams are dead: close them.
    Close(Reason),
    /// Try to open streams.
    Open,
}

/// Why streams are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The sound card or its server said so.
    Told,
    /// No callback came for a while.
    Stalled,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Open {
        blocks: (u64, u64),
        moved: (Duration, Duration),
        begun: (bool, bool),
    },
    Closed {
        since: Duration,
        next: Duration,
        pause: Duration,
    },
}

/// See the module. Times are of any steady clock.
pub struct Link {
    state: State,
}

impl Link {
    /// Streams have just been opened, with so many callbacks of input and output before.
    #[must_use]
    pub const fn open(now: Duration, blocks: (u64, u64)) -> Self {
        Self {
            state: State::Open {
                blocks,
                moved: (now, now),
                begun: (false, false),
            },
        }
    }

    /// Whether streams are open.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// For how long there have been no streams.
    #[must_use]
    pub fn closed_for(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Open { .. } => None,
            State::Closed { since, .. } => Some(now.saturating_sub(since)),
        }
    }

    /// Looks at the world: whether the card said that it is gone, and how many callbacks of input and output there were
    /// (an output that is not used counts like the input).
    pub fn step(&mut self, now: Duration, told: bool, seen: (u64, u64)) -> Action {
        match &mut self.state {
            State::Open {
                blocks,
                moved,
                begun,
            } => {
                if told {
                    return self.close(now, Reason::Told);
                }
                if seen.0 != blocks.0 {
                    moved.0 = now;
                    begun.0 = true;
                }
                if seen.1 != blocks.1 {
                    moved.1 = now;
                    begun.1 = true;
                }
                *blocks = seen;
                let patience = |begun: bool| {
                    if begun {
                        STALLED_AFTER
                    } else {
                        FIRST_CALLBACK_WITHIN
                    }
                };
                let stalled = now.saturating_sub(moved.0) > patience(begun.0)
                    || now.saturating_sub(moved.1) > patience(begun.1);
                if stalled {
                    return self.close(now, Reason::Stalled);
                }
                Action::Wait
            }
            State::Closed { next, pause, .. } => {
                if now < *next {
                    return Action::Wait;
                }
                *next = now + *pause;
                *pause = (*pause + *pause / 2).min(RETRY.1);
                Action::Open
            }
        }
    }

    fn close(&mut self, now: Duration, reason: Reason) -> Action {
        self.state = State::Closed {
            since: now,
            next: now + RETRY.0,
            pause: RETRY.0,
        };
        Action::Close(reason)
    }

    /// Streams have been opened.
    pub const fn opened(&mut self, now: Duration, blocks: (u64, u64)) {
        *self = Self::open(now, blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_server_that_goes_and_comes_back_is_found_within_a_second() {
        let mut link = Link::open(at(0), (0, 0));
        let mut blocks = 0;
        let mut opened_at = None;
        for ms in (0..20_000).step_by(20) {
            let alive = ms < 5000 || opened_at.is_some();
            blocks += u64::from(alive);
            match link.step(at(ms), ms == 5000, (blocks, blocks)) {
                Action::Close(reason) => {
                    assert_eq!((ms, reason), (5000, Reason::Told));
                    assert!(!link.is_open());
                }
                // The server is back after ten seconds.
                Action::Open if ms >= 15_000 => {
                    link.opened(at(ms), (blocks, blocks));
                    opened_at = Some(ms);
                }
                _ => {}
            }
        }
        let opened_at = opened_at.unwrap_or(u64::MAX);
        assert!((15_000..=16_000).contains(&opened_at), "{opened_at}");
        assert!(link.is_open());
    }

    #[test]
    fn silence_of_either_side_is_noticed() {
        for dead in 0..2 {
            let mut link = Link::open(at(0), (0, 0));
            let closed = (0..10_000).step_by(20).find(|ms| {
                let alive = ms / 20;
                let stopped = alive.min(100);
                let blocks = if dead == 0 {
                    (stopped, alive)
                } else {
                    (alive, stopped)
                };
                link.step(at(*ms), false, blocks) == Action::Close(Reason::Stalled)
            });
            let closed = closed.unwrap_or(0);
            assert!((3500..3600).contains(&closed), "{closed}");
        }
        let mut link = Link::open(at(0), (7, 7));
        assert_eq!(link.step(at(3900), false, (7, 7)), Action::Wait);
        assert_eq!(
            link.step(at(4100), false, (7, 7)),
            Action::Close(Reason::Stalled)
        );
        assert_eq!(link.closed_for(at(5000)), Some(at(900)));
    }

    #[test]
    fn attempts_become_rarer_but_go_on() {
        let mut link = Link::open(at(0), (0, 0));
        link.step(at(0), true, (0, 0));
        let attempts: Vec<u64> = (0..60_000)
            .step_by(20)
            .filter(|ms| link.step(at(*ms), false, (0, 0)) == Action::Open)
            .collect();
        assert_eq!(attempts.first(), Some(&200));
        assert!((55..70).contains(&attempts.len()), "{}", attempts.len());
    }
}
