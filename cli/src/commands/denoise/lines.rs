//! What is told about each file: rows of a table, or JSON lines.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use drfm_engine::audio::file_denoise::{FileDenoiseError, FileReport};
use drfm_engine::audio::model::Mode;
use indicatif::MultiProgress;
use serde_json::{Value, json};

use super::Arguments;
use super::plan::Task;
use crate::report;

/// The name of a file without its folder.
pub fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// What is told about one file; nothing about one that was stopped.
#[derive(Default)]
pub struct Line {
    warnings: Vec<String>,
    error: Option<String>,
    row: Option<[String; 7]>,
    json: Value,
}

impl Line {
    /// What is told about the result of a task that took `wall` seconds.
    pub fn new(
        arguments: &Arguments,
        mode: Mode,
        task: &Task,
        result: Result<Option<FileReport>, FileDenoiseError>,
        wall: f64,
    ) -> Self {
        let (input, output) = (
            task.job.input.display().to_string(),
            task.job.output.display().to_string(),
        );
        match result {
            Err(FileDenoiseError::Stopped) => Self::default(),
            Err(e) => Self {
                warnings: Vec::new(),
                error: Some(e.to_string()),
                row: None,
                json: json!({"input": input, "output": Value::Null, "error": e.to_string()}),
            },
            Ok(None) => Self {
                warnings: Vec::new(),
                error: None,
                row: Some([
                    name_of(&task.job.input),
                    "skipped".into(),
                    "".into(),
                    "".into(),
                    "".into(),
                    "".into(),
                    output.clone(),
                ]),
                json: json!({"input": input, "output": output, "skipped": true}),
            },
            Ok(Some(r)) => Self {
                warnings: warnings(&input, &output, &r),
                error: None,
                row: Some([
                    name_of(&task.job.input),
                    report::duration(r.seconds()),
                    r.spec.channels.to_string(),
                    format!("{:.0} ms", r.latency_ms()),
                    format!("{:.3}", wall / r.seconds()),
                    format!("{:.1} dBFS", r.noise_dbfs()),
                    output.clone(),
                ]),
                json: json!({
                    "input": input,
                    "output": output,
                    "model": arguments.model,
                    "mode": mode.name(),
                    "seconds": r.seconds(),
                    "rate_hz": r.spec.rate_hz,
                    "channels": r.spec.channels,
                    "latency_ms": r.latency_ms(),
                    "real_time_factor": wall / r.seconds(),
                    "noise_dbfs": r.noise_dbfs(),
                    "clipped_samples": r.clipped,
                    "broken_samples": r.broken,
                    "truncated": r.truncated,
                    "damaged": r.damaged,
                }),
            },
        }
    }
}

fn warnings(input: &str, output: &str, r: &FileReport) -> Vec<String> {
    let mut all = Vec::new();
    if r.truncated {
        all.push(format!(
            "{input} ends before its header says: only what is there was denoised"
        ));
    }
    if r.damaged {
        all.push(format!("{input} is damaged in places: they became silence"));
    }
    if r.broken > 0 {
        all.push(format!(
            "{input} holds {} samples that are no numbers or absurdly loud: they became silence",
            r.broken
        ));
    }
    if r.noise_may_be_music() {
        all.push(format!(
            "the stretch of {input} that the noise was learned from is nearly as loud as the whole recording: if music plays in it, music was \
             taken away; choose a stretch where nobody plays, or --noise adaptive"
        ));
    }
    if r.clipped > 0 {
        all.push(format!(
            "{} samples of {output} are beyond full scale and were clipped: use --bits 32f",
            r.clipped
        ));
    }
    all
}

#[derive(Default)]
struct Waiting {
    next: usize,
    /// The heading has been printed.
    heading: bool,
    lines: BTreeMap<usize, Line>,
}

/// Prints what is told about files in the order they were given, whatever the order they are done in.
pub struct Lines {
    json: bool,
    bars: MultiProgress,
    waiting: Mutex<Waiting>,
}

/// Widths of the columns after the name.
const WIDTHS: [usize; 5] = [9, 8, 8, 16, 11];

impl Lines {
    /// Lines as JSON or as a table, between the bars.
    pub fn new(json: bool, bars: MultiProgress) -> Self {
        Self {
            json,
            bars,
            waiting: Mutex::new(Waiting::default()),
        }
    }

    /// Takes in what is told about a task.
    pub fn add(&self, number: usize, line: Line) {
        let mut waiting = self
            .waiting
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let Waiting {
            next,
            heading,
            lines,
        } = &mut *waiting;
        lines.insert(number, line);
        while let Some(line) = lines.remove(next) {
            self.bars.suspend(|| self.tell(&line, heading));
            *next += 1;
        }
    }

    fn tell(&self, line: &Line, heading_told: &mut bool) {
        for warning in &line.warnings {
            report::warn(warning);
        }
        if let Some(error) = &line.error {
            eprintln!("error: {error}");
        }
        // A closed pipe must not stop the work.
        let _ = if line.json.is_null() {
            Ok(())
        } else if self.json {
            report::print_json(&line.json)
        } else {
            let heading = [
                "file",
                "duration",
                "channels",
                "latency",
                "real-time factor",
                "noise",
                "written to",
            ];
            let text = |cells: &[String]| {
                let mut text = String::new();
                for (i, cell) in cells.iter().enumerate() {
                    match i.checked_sub(1).and_then(|i| WIDTHS.get(i)) {
                        Some(width) => text.push_str(&format!("  {cell:>width$}")),
                        None if i == 0 => text.push_str(&format!("{cell:<24}")),
                        None => text.push_str(&format!("  {cell}")),
                    }
                }
                text.push('\n');
                text
            };
            let mut out = String::new();
            if let Some(row) = &line.row {
                if !std::mem::replace(heading_told, true) {
                    out.push_str(&text(&heading.map(str::to_owned)));
                }
                out.push_str(&text(row));
            }
            report::print(&out)
        };
    }
}
