//! Where `drfm train --checkpoint FILE` keeps its runs: FILE says what the run is, and beside it lies one file per step.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use drfm_engine::audio::trainer_adam::Checkpoints;
use drfm_engine::train::{AdamState, TrainError};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::report;

/// The format entry of FILE.
const FORMAT: &str = "drfm training run 1";

/// Checkpoints in files; without a path nothing is kept.
#[derive(Debug)]
pub struct FileCheckpoints {
    path: Option<PathBuf>,
    steps: u64,
    /// FILE was there before, so that the files of its steps are those of this run.
    goes_on: bool,
    saved: bool,
}

impl FileCheckpoints {
    /// Opens or begins the run that `about` describes, of `steps` steps.
    ///
    /// # Errors
    /// If FILE is something else, describes another run, or cannot be read or written.
    pub fn open(path: Option<&Path>, about: &Value, steps: u64) -> Result<Self, Failure> {
        let mut checkpoints = Self {
            path: path.map(Path::to_path_buf),
            steps,
            goes_on: false,
            saved: false,
        };
        let Some(path) = path else {
            return Ok(checkpoints);
        };
        let wanted = format!("{}\n", json!({"format": FORMAT, "run": about}));
        match fs::read(path) {
            Ok(bytes) => {
                let found: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                if found.get("format").and_then(Value::as_str) != Some(FORMAT) {
                    return Err(Failure::Failed(format!(
                        "{} is there already and is no checkpoint of drfm train: give another --checkpoint",
                        path.display()
                    )));
                }
                // As text: numbers that have been read back need not be equal.
                if bytes != wanted.as_bytes() {
                    return Err(Failure::Failed(format!(
                        "{} belongs to a run on other recordings or with other options: give those again, or another --checkpoint",
                        path.display()
                    )));
                }
                checkpoints.goes_on = true;
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                report::write_file(path, wanted.as_bytes())?;
            }
            Err(e) => {
                return Err(Failure::Failed(format!(
                    "{} cannot be read: {e}",
                    path.display()
                )));
            }
        }
        Ok(checkpoints)
    }

    /// Tells after Ctrl-C how to go on; forgets a run that has not come to its first checkpoint.
    pub fn tell_stopped(&self) {
        let Some(path) = &self.path else { return };
        if self.saved || self.goes_on {
            eprintln!(
                "the run is kept in {}: give the same command to go on with it",
                path.display()
            );
        } else {
            let _ = fs::remove_file(path);
        }
    }

    /// The file of a step: `FILE.step`.
    fn file_of(&self, step: &str) -> Option<PathBuf> {
        let mut name = OsString::from(self.path.as_ref()?);
        name.push(format!(".{step}"));
        Some(PathBuf::from(name))
    }
}

fn refused(reason: String) -> TrainError {
    TrainError::File {
        kind: "checkpoint",
        reason,
    }
}

impl Checkpoints for FileCheckpoints {
    fn load(&mut self, step: &str) -> Result<Option<AdamState>, TrainError> {
        let Some(path) = self.file_of(step).filter(|_| self.goes_on) else {
            return Ok(None);
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(refused(format!("{} cannot be read: {e}", path.display()))),
        };
        let state = AdamState::read_from(BufReader::new(file)).map_err(|e| {
            refused(format!(
                "{}: {e}; remove it to train this step anew",
                path.display()
            ))
        })?;
        if state.step() > self.steps {
            return Err(refused(format!(
                "{} has {} steps behind it already: give --steps {1} or more, or another --checkpoint",
                path.display(),
                state.step()
            )));
        }
        Ok(Some(state))
    }

    fn save(&mut self, step: &str, state: &AdamState) -> Result<(), TrainError> {
        let Some(path) = self.file_of(step) else {
            return Ok(());
        };
        report::replace_file(&path, |file: &File| {
            let mut out = BufWriter::new(file);
            state.write_to(&mut out).map_err(std::io::Error::other)?;
            out.flush()?;
            drop(out);
            file.sync_all()
        })
        .map_err(|e| refused(e.to_string()))?;
        self.saved = true;
        Ok(())
    }
}
