//! What `train` and `merge` share: progress, targets, the table of steps.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use drfm_engine::audio::file_denoise::same_file;
use drfm_engine::audio::trainer::Progress;
use drfm_engine::audio::training_record::reports_of;
use drfm_engine::audio::waveform::PART;
use drfm_engine::train::{Control, TrainEvent, TrainReport};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::interrupt;
use crate::report::Table;

/// Progress on stderr: a bar on a terminal, a line for each step elsewhere.
pub struct Bar {
    bar: ProgressBar,
    quiet: bool,
    last: String,
    losses: Vec<Loss>,
}

/// Where the training of a step by Adam has come to.
#[derive(Clone, Debug)]
pub struct Loss {
    step: String,
    done: u64,
    loss: f64,
}

impl Loss {
    /// As JSON.
    #[must_use]
    pub fn as_json(&self) -> Value {
        json!({"step": self.step, "steps": self.done, "loss": self.loss})
    }
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
            losses: Vec::new(),
        }
    }

    /// Shows progress; the answer to the trainer.
    pub fn tell(&mut self, progress: &Progress<'_>) -> Control {
        let (number, count) = progress.position;
        let (doing, done, total) = match progress.event {
            TrainEvent::PartsRead { done, total, .. } => ("listening", *done as u64, *total as u64),
            TrainEvent::Features { done, total } => ("multiplying", *done as u64, *total as u64),
            TrainEvent::Round { round, rounds, .. } => ("solving", *round as u64, *rounds as u64),
            TrainEvent::Step { step, steps, loss } => {
                self.note(progress.step, *step, *loss);
                ("training", *step, *steps)
            }
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

    fn note(&mut self, step: &str, done: u64, loss: f64) {
        self.losses.retain(|l| l.step != step);
        self.losses.push(Loss {
            step: step.to_owned(),
            done,
            loss,
        });
    }

    /// Takes the bar away; the last loss of every step that was trained by Adam.
    #[must_use]
    pub fn finish(mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
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

/// Tells a file that would be written over a recording that is learned from, before any work is done.
///
/// # Errors
/// If it is one of the `inputs`, also through links.
pub fn check_no_input(target: &Path, inputs: &[PathBuf]) -> Result<(), Failure> {
    if inputs.iter().any(|input| same_file(input, target)) {
        return Err(Failure::Failed(format!(
            "{} is one of the recordings to learn from and would be written over: choose another output",
            target.display()
        )));
    }
    Ok(())
}

/// The steps of a model and how well they were learned; empty for a model that does not tell.
#[must_use]
pub fn steps_table(training: &Value) -> Table {
    let mut reports = reports_of(training);
    // Models of the waveform domain have a single step.
    let single = training.get("report").cloned();
    if let Some(report) = single.and_then(|r| serde_json::from_value::<TrainReport>(r).ok()) {
        reports.push((PART.to_owned(), report));
    }
    if reports.is_empty() {
        return Table::default();
    }
    let mut table = Table::new(["step", "rows", "ridge", "loss", "separate loss"]);
    for (name, r) in reports {
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

/// Where Adam has come to; empty if it has not trained.
#[must_use]
pub fn losses_table(losses: &[Loss]) -> Table {
    if losses.is_empty() {
        return Table::default();
    }
    let mut table = Table::new(["step", "steps of adam", "loss"]);
    for l in losses {
        table.row([l.step.clone(), l.done.to_string(), format!("{:.4}", l.loss)]);
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
