//! The program without a screen: sentences, or lines of JSON.

use std::time::{Duration, Instant};

use super::listener::View;
use super::session::{Face, Key};
use super::shared::Shared;
use super::status::{Event, Status};
use crate::report;

/// How often a line of text and one of JSON come.
const EVERY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));

/// Prints lines.
pub struct Lines {
    json: bool,
    last: Instant,
}

impl Lines {
    /// Text or JSON.
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self {
            json,
            last: Instant::now(),
        }
    }
}

impl Face for Lines {
    fn event(&mut self, event: &Event) {
        // A closed pipe is noticed by nobody but the reader who has gone; the sound goes on.
        let _ = if self.json {
            report::print_json(&event.json())
        } else if event.is_trouble() {
            report::warn(&event.line());
            Ok(())
        } else {
            report::print(&format!("{}\n", event.line()))
        };
    }

    fn show(&mut self, status: &Status, _view: &View, _shared: &Shared) {
        let every = if self.json { EVERY.1 } else { EVERY.0 };
        if self.last.elapsed() < every {
            return;
        }
        self.last = Instant::now();
        let _ = if self.json {
            report::print_json(&status.json())
        } else {
            report::print(&format!("{}\n", status.line()))
        };
    }

    fn keys(&mut self) -> Vec<Key> {
        Vec::new()
    }
}
