//! What the command says when something is wrong.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{fails, folder_with_take, model, music, with_model, write_wav};

#[test]
fn inputs_that_cannot_be_denoised() {
    let folder = folder_with_take();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("empty")).unwrap();
    fs::write(at("zero.wav"), b"").unwrap();
    fs::write(at("text.wav"), b"this is no sound at all, only some words").unwrap();
    let m = with_model();
    fails(
        folder.path(),
        &format!("denoise nosuch.wav {m}"),
        1,
        "there is no file nosuch.wav",
    );
    fails(
        folder.path(),
        &format!("denoise empty {m}"),
        1,
        "there are no sound files in empty",
    );
    fails(
        folder.path(),
        &format!("denoise zero.wav {m}"),
        1,
        "is empty (0 bytes)",
    );
    fails(
        folder.path(),
        &format!("denoise text.wav {m}"),
        1,
        "is not a sound file",
    );
    fails(folder.path(), "denoise", 2, "required");
    fails(
        folder.path(),
        &format!("denoise . -o o.wav {m}"),
        2,
        "use --out-dir",
    );
    // The others are done nevertheless.
    fails(
        folder.path(),
        &format!("denoise zero.wav take.wav {m}"),
        1,
        "is empty",
    );
    assert!(at("take.denoised.wav").exists());
}

#[test]
fn outputs_that_cannot_be_written() {
    let folder = folder_with_take();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("dir.wav")).unwrap();
    let before = fs::read(at("take.wav")).unwrap();
    let m = with_model();
    fails(
        folder.path(),
        &format!("denoise take.wav -o take.wav {m}"),
        1,
        "choose another output",
    );
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(at("take.wav"), at("soft.wav")).unwrap();
        fs::hard_link(at("take.wav"), at("hard.wav")).unwrap();
        fails(
            folder.path(),
            &format!("denoise take.wav -o soft.wav {m}"),
            1,
            "choose another output",
        );
        fails(
            folder.path(),
            &format!("denoise take.wav -o hard.wav {m}"),
            1,
            "choose another output",
        );
    }
    fails(
        folder.path(),
        &format!("denoise take.wav -o no/o.wav {m}"),
        1,
        "there is no folder no",
    );
    fails(
        folder.path(),
        &format!("denoise take.wav --out-dir no/such {m}"),
        1,
        "there is no folder no",
    );
    fails(
        folder.path(),
        &format!("denoise take.wav -o dir.wav {m}"),
        1,
        "is a folder",
    );
    fails(
        folder.path(),
        &format!("denoise take.wav --out-dir take.wav {m}"),
        1,
        "is a file",
    );
    fails(
        folder.path(),
        &format!("denoise take.wav --picture p.jpg {m}"),
        2,
        ".png",
    );
    fails(
        folder.path(),
        &format!("denoise take.wav -o o.flac {m}"),
        2,
        "must end in .wav",
    );
    assert_eq!(fs::read(at("take.wav")).unwrap(), before);
    let parts = fs::read_dir(folder.path()).unwrap().filter(|e| {
        e.as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .ends_with(".part")
    });
    assert_eq!(parts.count(), 0);
}

#[test]
fn noise_that_cannot_be_learned() {
    let folder = folder_with_take();
    write_wav(
        &folder.path().join("silent.wav"),
        48_000,
        1,
        16,
        &[0.0; 96_000],
    );
    let m = with_model();
    fails(
        folder.path(),
        &format!("denoise take.wav --noise-from 1:5 {m}"),
        1,
        "lies outside take.wav, which lasts 2.000 s",
    );
    fails(
        folder.path(),
        &format!("denoise silent.wav --noise-from 0:1 {m}"),
        1,
        "is silent",
    );
    fails(
        folder.path(),
        &format!("denoise take.wav --noise-file silent.wav {m}"),
        1,
        "is silent",
    );
    fails(
        folder.path(),
        &format!("denoise take.wav --noise-from 0:0.001 {m}"),
        1,
        "mark a longer one",
    );
    fails(
        folder.path(),
        &format!("denoise take.wav --noise-from 2:1 {m}"),
        2,
        "before it starts",
    );
    fails(
        folder.path(),
        &format!("denoise take.wav --noise-from x {m}"),
        2,
        "START:END",
    );
    fails(
        folder.path(),
        &format!("denoise take.wav --noise-file no.wav {m}"),
        1,
        "there is no file no.wav",
    );
    fails(
        folder.path(),
        &format!("denoise take.wav --noise-file take.wav --noise-from 0:1 {m}"),
        2,
        "cannot be used with",
    );
}

#[test]
fn option_values_that_make_no_sense() {
    let folder = folder_with_take();
    for (options, part) in [
        ("--mode loud", "best, balanced, live, instant"),
        ("--steps 0", "1..=2"),
        ("--steps 9", "1..=2"),
        ("--bits 12", "16, 24, 32f"),
        ("--amount-db -3", "from 0"),
        ("--amount-db nan", "from 0"),
        ("--threads x", "invalid"),
        ("--noise guess", "adaptive"),
    ] {
        fails(
            folder.path(),
            &format!("denoise take.wav {options}"),
            2,
            part,
        );
    }
}

#[test]
fn models_that_are_none() {
    let folder = folder_with_take();
    let bytes = fs::read(model()).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("cut.drfm", &bytes[..bytes.len() / 2]);
    let mut flipped = bytes.clone();
    let last = flipped.len() - 10;
    flipped[last] ^= 0x40;
    write("flipped.drfm", &flipped);
    let place = bytes
        .windows(18)
        .position(|w| w == b"format_version\\\":1")
        .unwrap();
    let mut other = bytes.clone();
    other[place + 17] = b'9';
    write("other.drfm", &other);
    fails(
        folder.path(),
        "denoise take.wav --model piano",
        1,
        "there is no model piano: give guitar, flute, general",
    );
    fails(
        folder.path(),
        "denoise take.wav --model cut.drfm",
        1,
        "not an intact DRFM model",
    );
    fails(
        folder.path(),
        "denoise take.wav --model flipped.drfm",
        1,
        "checksum",
    );
    fails(
        folder.path(),
        "denoise take.wav --model other.drfm",
        1,
        "format version 9",
    );
    fails(
        folder.path(),
        "denoise take.wav --model take.wav",
        1,
        "not an intact DRFM model",
    );
    fails(
        folder.path(),
        "denoise take.wav --model .",
        1,
        "is a folder",
    );
    fails(
        folder.path(),
        &format!("denoise take.wav --mode best {}", with_model()),
        1,
        "without mode best; it has: live",
    );
    fails(
        folder.path(),
        &format!("generate -o o.wav {}", with_model()),
        1,
        "can only denoise",
    );
    fails(folder.path(), "inspect piano", 1, "there is no model piano");
}

#[test]
fn recordings_that_cannot_be_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    write_wav(
        &folder.path().join("short.wav"),
        48_000,
        1,
        16,
        &[0.1; 4_800],
    );
    write_wav(
        &folder.path().join("silent.wav"),
        48_000,
        1,
        16,
        &[0.0; 144_000],
    );
    fails(
        folder.path(),
        "train short.wav -o m.drfm",
        1,
        "add more recordings",
    );
    fails(
        folder.path(),
        "train silent.wav -o m.drfm",
        1,
        "the recordings are silent",
    );
    fails(
        folder.path(),
        "train no -o m.drfm",
        1,
        "there is no file no",
    );
    fails(folder.path(), "train silent.wav", 2, "required");
    fails(
        folder.path(),
        "train silent.wav -o no/m.drfm",
        1,
        "there is no folder no",
    );
    fails(folder.path(), "merge no.stats -o m.drfm", 1, "no such file");
    fails(
        folder.path(),
        "merge short.wav -o m.drfm",
        1,
        "not a file of DRFM statistics",
    );
    fails(
        folder.path(),
        "eval --clean silent.wav --model nosuch",
        1,
        "there is no model nosuch",
    );
}

/// A limit on the size of files stands for the full disk, which needs no rights to make.
#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    write_wav(
        &folder.path().join("in.wav"),
        48_000,
        2,
        24,
        &music(48_000, 4.0, 1),
    );
    // Blocks of 512 or 1024 bytes: the output would have 576 kB. Without the trap the signal would end the program.
    let script =
        "trap '' XFSZ; ulimit -f 100; exec \"$0\" denoise in.wav -o out.wav --mode instant";
    let out = std::process::Command::new("sh")
        .current_dir(folder.path())
        .args(["-c", script, env!("CARGO_BIN_EXE_drfm")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(text.contains("writing out.wav failed"), "{text}");
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["in.wav"]);
}
