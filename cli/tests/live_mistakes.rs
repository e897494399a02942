//! What `drfm-live` says when something is missing or wrong; needs no sound server.
#![cfg(feature = "live")]
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

/// Runs it where no server and no sound card is to be found.
fn fails(folder: &Path, arguments: &str, code: i32, part: &str) {
    let home = tempfile::tempdir().unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_drfm-live"))
        .current_dir(folder)
        .env("XDG_RUNTIME_DIR", home.path())
        .env("HOME", home.path())
        .env_remove("PULSE_SERVER")
        .env("JACK_DEFAULT_SERVER", "drfm-there-is-none")
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(code), "{arguments}: {text}");
    assert!(text.contains(part), "{arguments}: {text:?} lacks {part:?}");
    assert!(!text.contains("panicked"), "{arguments}: {text}");
    let left = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(left, 0, "{arguments}: something is left behind");
}

#[test]
fn wrong_options_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fails(folder, "--host banjo", 2, "there is no host");
    fails(folder, "--rate 12", 2, "8000");
    fails(folder, "--channels 3", 2, "1..=2");
    fails(folder, "--amount-db loud", 2, "decibels");
    fails(folder, "--amount-db -3", 2, "decibels from 0 to 100");
    fails(folder, "--learn -1", 2, "above 0");
    fails(folder, "--residual --bypass", 2, "cannot be used with");
    fails(
        folder,
        "--record a.wav --record-raw a.wav",
        2,
        "files of their own",
    );
    fails(
        folder,
        "--measure-latency --output none",
        2,
        "needs an output",
    );
    fails(folder, "--model bagpipe", 1, "there is no model");
    fails(folder, "--mode fast", 2, "instant");
}

#[cfg(target_os = "linux")]
#[test]
fn missing_sound_cards_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fails(folder, "--host jack --no-tui", 1, "JACK");
    fails(folder, "--host pulseaudio --no-tui", 1, "PulseAudio");
    fails(
        folder,
        "--host alsa --input banjo --no-tui",
        1,
        "there is no input \"banjo\"",
    );
    fails(
        folder,
        "--input banjo --no-tui",
        1,
        "there is no input \"banjo\"",
    );
    fails(folder, "--host jack --record no/such/a.wav", 1, "");
}
