//! `drfm train --trainer adam` in the spectral domain, and its checkpoints.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{fails, works, write_recordings};
use drfm_engine::model::ModelKind;
use drfm_engine::model::file::ModelFile;
use drfm_engine::train::AdamState;

const SIZES: &str = "--modes live --features 16 --timesteps 4";

fn folder_with_recordings() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_recordings(folder.path());
    folder
}

fn steps_of(path: &Path) -> u64 {
    AdamState::read_from(fs::File::open(path).unwrap())
        .unwrap()
        .step()
}

#[test]
fn nn_and_rf_are_trained_and_denoise() {
    let folder = folder_with_recordings();
    for (options, kind) in [
        ("--kind nn", ModelKind::Nn),
        ("--kind nn --trainer adam", ModelKind::Nn),
        ("--kind rf --trainer adam", ModelKind::Rf),
    ] {
        let text = works(
            folder.path(),
            &format!("train . -o m.drfm --steps 100 {options} {SIZES}"),
        );
        assert!(
            text.contains("refine_live") && text.contains("steps of adam"),
            "{text}"
        );
        assert_eq!(
            ModelFile::load(&folder.path().join("m.drfm")).unwrap().kind,
            kind
        );
        works(
            folder.path(),
            "denoise r0.wav -o o.wav --model m.drfm --mode live",
        );
        works(folder.path(), "inspect m.drfm");
    }
}

#[test]
fn a_run_goes_on_from_its_checkpoint_with_the_same_bits() {
    let folder = folder_with_recordings();
    let at = |name: &str| folder.path().join(name);
    let run = |steps: u32, more: &str| format!("train . --kind nn {SIZES} --steps {steps} {more}");
    works(folder.path(), &run(200, "-o whole.drfm"));
    works(folder.path(), &run(100, "-o half.drfm --checkpoint run"));
    assert_eq!(steps_of(&at("run.live")), 100);
    works(folder.path(), &run(200, "-o m.drfm --checkpoint run"));
    assert_eq!(steps_of(&at("run.live")), 200);
    // The second step has learned from another first one than in the whole run, so only the first must be the same.
    let (m, whole) = (
        ModelFile::load(&at("m.drfm")).unwrap(),
        ModelFile::load(&at("whole.drfm")).unwrap(),
    );
    assert_eq!(m.parts["live"], whole.parts["live"]);

    let refused = |command: &str, part: &str| fails(folder.path(), command, 1, part);
    refused(
        &run(100, "-o x.drfm --checkpoint run"),
        "give --steps 200 or more",
    );
    refused(
        &run(200, "-o x.drfm --checkpoint run --seed 2"),
        "with other options",
    );
    refused(
        &format!("train r0.wav --kind nn {SIZES} --steps 200 -o x.drfm --checkpoint run"),
        "other recordings",
    );
    refused(
        &run(200, "-o x.drfm --checkpoint r0.wav"),
        "no checkpoint of drfm train",
    );
    refused(
        &run(200, "-o x.drfm --checkpoint no/run"),
        "there is no folder no",
    );
    let bytes = fs::read(at("run.live")).unwrap();
    fs::write(at("run.live"), &bytes[..bytes.len() / 2]).unwrap();
    refused(
        &run(200, "-o x.drfm --checkpoint run"),
        "remove it to train this step anew",
    );
    fails(
        folder.path(),
        &run(200, "-o x --checkpoint x"),
        2,
        "name the same file",
    );
    assert!(!at("x.drfm").exists());
}

#[test]
fn options_that_do_not_go_with_adam_are_told() {
    let folder = folder_with_recordings();
    let refused = |options: &str, part: &str| {
        fails(
            folder.path(),
            &format!("train . -o x.drfm {options}"),
            2,
            part,
        );
    };
    refused("--kind nn --trainer closed-form", "no closed form");
    refused("--trainer adam --stats-out s", "only closed-form training");
    refused("--kind nn --stats-out s", "only closed-form training");
    refused("--steps 100", "for --trainer adam");
    refused("--checkpoint run", "for --trainer adam");
    refused("--trainer adam --steps 0", "--steps");
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_the_last_checkpoint() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let folder = folder_with_recordings();
    let at = |name: &str| folder.path().join(name);
    let run = |steps: u64| {
        format!(
            "train . -o m.drfm --kind rf --trainer adam {SIZES} --steps {steps} --checkpoint run"
        )
    };
    let mut running = Command::new(env!("CARGO_BIN_EXE_drfm"))
        .current_dir(folder.path())
        .args(run(100_000_000).split_whitespace())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !at("run.live").exists() {
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = running.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(running.wait().unwrap().code(), Some(130));
    let mut told = String::new();
    std::io::Read::read_to_string(&mut running.stderr.take().unwrap(), &mut told).unwrap();
    assert!(told.contains("give the same command to go on"), "{told}");
    assert!(!at("m.drfm").exists());
    let leftover = fs::read_dir(folder.path())
        .unwrap()
        .any(|e| e.unwrap().file_name().to_string_lossy().ends_with(".part"));
    assert!(!leftover);
    let done = steps_of(&at("run.live"));
    assert!(done >= 500);
    works(folder.path(), &run(done + 100));
    assert_eq!(steps_of(&at("run.live")), done + 100);
    assert!(at("m.drfm").exists());
}
