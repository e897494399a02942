//! What `train` and `merge` share: progress, targets, the table of steps.

use std::io::IsTerminal as _;
use std::path::Path;

use drfm_engine::audio::trainer::Progress;
use drfm_engine::audio::training_record::reports_of;
use drfm_engine::train::{Control, TrainEvent};
use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::Failure;
use crate::interrupt;
use crate::report::Table;

/// Progress on stderr: a bar on a terminal, a line for each step elsewhere.
pub struct Bar {
    bar: ProgressBar,
    quiet: bool,
    last: String,
}

impl Bar {
    /// A bar; `quiet` leaves out the lines where there is no terminal.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let bar = ProgressBar::no_length();
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            bar,
            quiet: quiet || std::io::stderr().is_terminal(),
            last: String::new(),
        }
    }

    /// Shows progress; the answer to the trainer.
    pub fn tell(&mut self, progress: &Progress<'_>) -> Control {
        let (number, count) = progress.position;
        let (doing, done, total) = match progress.event {
            TrainEvent::PartsRead { done, total, .. } => ("listening", *done as u64, *total as u64),
            TrainEvent::Round { round, rounds, .. } => ("solving", *round as u64, *rounds as u64),
            TrainEvent::Step { step, steps, .. } => ("training", *step, *steps),
            _ => return interrupt::control(),
        };
        let text = format!("step {number} of {count} ({}): {doing}", progress.step);
        if text != self.last {
            if !self.quiet {
                eprintln!("{text}");
            }
            self.bar.set_message(text.clone());
            self.last = text;
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
        interrupt::control()
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Tells a file that cannot be written before any work is done.
///
/// # Errors
/// A missing folder, or a folder as target.
pub fn check_target(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Err(Failure::Failed(format!(
            "{} is a folder: give a file name in it",
            path.display()
        )));
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => Err(Failure::Failed(
            format!("there is no folder {}: create it first", folder.display()),
        )),
        _ => Ok(()),
    }
}

/// The steps of a model and how well they were learned.
#[must_use]
pub fn steps_table(training: &serde_json::Value) -> Table {
    let mut table = Table::new(["step", "rows", "ridge", "loss", "separate loss"]);
    for (name, r) in reports_of(training) {
        table.row([
            name,
            (r.train_rows + r.validation_rows).to_string(),
            format!("{:.0e}", r.chosen_ridge),
            format!("{:.4}", r.loss),
            format!("{:.4}", r.separate_loss),
        ]);
    }
    table
}

/// The most memory this process has held, where the system tells (Linux).
#[must_use]
pub fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}
