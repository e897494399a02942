//! Ctrl-C while a recording is being denoised.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{model, music, write_wav};

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let samples = music(48_000, 120.0, 1);
    write_wav(&folder.path().join("long.wav"), 48_000, 1, 16, &samples);
    let files = || {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
        names.collect::<Vec<String>>()
    };
    let mut running = Command::new(env!("CARGO_BIN_EXE_drfm"))
        .current_dir(folder.path())
        .args(["denoise", "long.wav", "-o", "out.wav", "--model"])
        .arg(model())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !files().iter().any(|name| name.ends_with(".part")) {
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = running.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
    assert_eq!(running.wait().unwrap().code(), Some(130));
    assert_eq!(files(), ["long.wav"]);
}
