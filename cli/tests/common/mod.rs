//! What the tests of the command share: sounds, a small model, running the program.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use assert_cmd::Command;
use drfm_engine::rng::StableRng;
use hound::{SampleFormat, WavSpec, WavWriter};

/// Runs `drfm`.
pub fn drfm<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::cargo_bin("drfm")
        .unwrap()
        .args(arguments)
        .output()
        .unwrap()
}

/// Runs `drfm` with arguments split at blanks; `{}` stands for the folder.
pub fn drfm_in(folder: &Path, arguments: &str) -> Output {
    Command::cargo_bin("drfm")
        .unwrap()
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .output()
        .unwrap()
}

/// Runs `drfm`, which must succeed; its stdout.
pub fn works(folder: &Path, arguments: &str) -> String {
    let out = drfm_in(folder, arguments);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{arguments}: {text}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    text
}

/// Runs `drfm`, which must fail with `code` and say `part`, in a sentence, without a panic.
pub fn fails(folder: &Path, arguments: &str, code: i32, part: &str) {
    let out = drfm_in(folder, arguments);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(code), "{arguments}: {text}");
    assert!(text.contains(part), "{arguments}: {text:?} lacks {part:?}");
    assert!(!text.contains("panicked"), "{arguments}: {text}");
}

/// A few notes with some noise.
pub fn music(rate_hz: u32, seconds: f64, seed: u64) -> Vec<f32> {
    let mut rng = StableRng::new(seed, 0);
    let n = (f64::from(rate_hz) * seconds) as usize;
    let base = 110.0 * 1.06f64.powi((seed % 24) as i32);
    (0..n)
        .map(|i| {
            let t = i as f64 / f64::from(rate_hz);
            let note = base * 1.122f64.powi((t * 3.0) as i32 % 7);
            let decay = (-3.0 * (t * 3.0).fract()).exp();
            let tone: f64 = (1..6)
                .map(|h| (std::f64::consts::TAU * note * f64::from(h) * t).sin() / f64::from(h))
                .sum();
            (0.15 * decay * tone + 0.003 * rng.normal()) as f32
        })
        .collect()
}

/// Writes samples of `channels` interleaved channels with `bits` whole-number bits, or 0 for 32-bit floats.
pub fn write_wav(path: &Path, rate_hz: u32, channels: u16, bits: u16, samples: &[f32]) {
    let spec = WavSpec {
        channels,
        sample_rate: rate_hz,
        bits_per_sample: if bits == 0 { 32 } else { bits },
        sample_format: if bits == 0 {
            SampleFormat::Float
        } else {
            SampleFormat::Int
        },
    };
    let mut wav = WavWriter::create(path, spec).unwrap();
    for x in samples {
        if bits == 0 {
            wav.write_sample(*x).unwrap();
        } else {
            let scale = 2f64.powi(i32::from(bits) - 1);
            wav.write_sample((f64::from(*x) * scale).round().clamp(-scale, scale - 1.0) as i32)
                .unwrap();
        }
    }
    wav.finalize().unwrap();
}

/// Format and interleaved samples, whole numbers as they are.
pub fn read_wav(path: &Path) -> (WavSpec, Vec<f64>) {
    let mut wav = hound::WavReader::open(path).unwrap();
    let spec = wav.spec();
    let samples = match spec.sample_format {
        SampleFormat::Float => wav
            .samples::<f32>()
            .map(|x| f64::from(x.unwrap()))
            .collect(),
        SampleFormat::Int => wav
            .samples::<i32>()
            .map(|x| f64::from(x.unwrap()))
            .collect(),
    };
    (spec, samples)
}

/// Writes six recordings of three seconds into `folder`.
pub fn write_recordings(folder: &Path) {
    for i in 0..6 {
        write_wav(
            &folder.join(format!("r{i}.wav")),
            48_000,
            1,
            16,
            &music(48_000, 3.0, i),
        );
    }
}

/// A small model of mode live, trained once for all tests of a program.
pub fn model() -> &'static Path {
    static MODEL: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = MODEL.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        write_recordings(folder.path());
        works(
            folder.path(),
            "train . -o m.drfm --modes live --features 24",
        );
        let path = folder.path().join("m.drfm");
        (folder, path)
    });
    path
}

/// A folder with `take.wav` (mono, 48 kHz, 16 bits, 2 s).
pub fn folder_with_take() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_wav(
        &folder.path().join("take.wav"),
        48_000,
        1,
        16,
        &music(48_000, 2.0, 9),
    );
    folder
}

/// `--model` and the path of the small model.
pub fn with_model() -> String {
    format!("--model {}", model().display())
}

/// Names of the files in a folder.
pub fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    names.collect()
}

/// Starts `drfm`, presses Ctrl-C as soon as it has begun to write, and checks that it ends as interrupted programs do.
#[cfg(unix)]
pub fn interrupted<S: AsRef<std::ffi::OsStr>>(
    folder: &Path,
    arguments: impl IntoIterator<Item = S>,
) {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let mut running = Command::new(env!("CARGO_BIN_EXE_drfm"))
        .current_dir(folder)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !names_in(folder).iter().any(|name| name.ends_with(".part")) {
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = running.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
    assert_eq!(running.wait().unwrap().code(), Some(130));
}
