//! Ctrl-C: the first asks the work to stop and clean up, the second ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};

use drfm_engine::train::Control;

use crate::failure::Failure;

static ASKED: AtomicBool = AtomicBool::new(false);

/// Starts to listen for Ctrl-C and requests to terminate. Where the system does not allow it, they end the program
/// in the system's own way.
pub fn listen() {
    let _ = ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
}

/// Whether to go on, for observers of the engine.
#[must_use]
pub fn control() -> Control {
    if ASKED.load(Ordering::Relaxed) {
        Control::Stop
    } else {
        Control::Continue
    }
}

/// `Ok` unless Ctrl-C was pressed.
///
/// # Errors
/// [`Failure::Interrupted`].
pub fn check() -> Result<(), Failure> {
    match control() {
        Control::Continue => Ok(()),
        Control::Stop => Err(Failure::Interrupted),
    }
}
