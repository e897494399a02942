//! `drfm train --domain waveform` and `drfm generate`.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{fails, music, read_wav, with_model, works, write_recordings, write_wav};
use drfm_engine::model::file::{Domain, ModelFile};
use drfm_engine::model::{Drfm, ModelKind};
use drfm_engine::rng::StableRng;
use hound::SampleFormat;

/// A folder of recordings with a small waveform model, `w.drfm`.
fn folder_with_model() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_recordings(folder.path());
    works(
        folder.path(),
        "train . -o w.drfm --domain waveform --window 32 --timesteps 6 --features 24",
    );
    folder
}

fn load(folder: &Path, name: &str) -> ModelFile {
    ModelFile::load(&folder.join(name)).unwrap()
}

#[test]
fn all_kinds_can_be_trained_and_training_repeats_itself() {
    let folder = folder_with_model();
    let at = |name: &str| folder.path().join(name);
    let sizes = "--domain waveform --window 32 --timesteps 6 --features 24";
    let text = works(folder.path(), &format!("train . -o again.drfm {sizes}"));
    assert!(
        text.contains("separate loss") && text.contains("waveform"),
        "{text}"
    );
    assert!(text.contains("written to again.drfm"), "{text}");
    assert_eq!(
        fs::read(at("w.drfm")).unwrap(),
        fs::read(at("again.drfm")).unwrap()
    );
    works(
        folder.path(),
        &format!("train . -o seed.drfm --seed 2 {sizes}"),
    );
    assert_ne!(
        fs::read(at("w.drfm")).unwrap(),
        fs::read(at("seed.drfm")).unwrap()
    );
    works(
        folder.path(),
        &format!("train . -o rf.drfm --kind rf {sizes}"),
    );
    let text = works(
        folder.path(),
        &format!("train . -o nn.drfm --kind nn --steps 100 {sizes}"),
    );
    assert!(text.contains("steps of adam"), "{text}");
    works(
        folder.path(),
        &format!("train . -o adam.drfm --trainer adam --steps 100 {sizes}"),
    );
    for (name, kind) in [
        ("w.drfm", ModelKind::Drfm),
        ("rf.drfm", ModelKind::Rf),
        ("nn.drfm", ModelKind::Nn),
        ("adam.drfm", ModelKind::Drfm),
    ] {
        let model = load(folder.path(), name);
        assert_eq!(
            (model.domain, model.kind),
            (Domain::Waveform, kind),
            "{name}"
        );
        let part = &model.parts["waveform"].model;
        assert_eq!((part.d_in(), part.d_out(), part.timesteps()), (32, 32, 6));
        works(
            folder.path(),
            &format!("generate --model {name} -n 2 -o {name}.wav"),
        );
    }
    let json: serde_json::Value = serde_json::from_str(&works(
        folder.path(),
        &format!("train . -o j.drfm --json {sizes}"),
    ))
    .unwrap();
    assert_eq!(json["training"]["options"]["window"], 32);
    assert!(works(folder.path(), "inspect w.drfm").contains("waveform model of kind DRFM"));
}

#[test]
fn generated_sound_repeats_itself_for_a_seed() {
    let folder = folder_with_model();
    let run = |options: &str, name: &str| {
        let text = works(
            folder.path(),
            &format!("generate --model w.drfm -n 20 {options} -o {name}.wav"),
        );
        assert!(text.contains("20 windows of 32 samples"), "{text}");
        fs::read(folder.path().join(format!("{name}.wav"))).unwrap()
    };
    let first = run("", "a");
    assert_eq!(first, run("--sampler ddpm --seed 1", "b"));
    assert_ne!(first, run("--seed 2", "c"));
    let ddim = run("--sampler ddim --steps 3", "d");
    assert_eq!(ddim, run("--sampler ddim --steps 3", "e"));
    assert_ne!(ddim, run("--sampler ddim --steps 6", "f"));
    assert_ne!(ddim, run("--sampler paper", "g"));
    let (spec, samples) = read_wav(&folder.path().join("a.wav"));
    assert_eq!(
        (
            spec.sample_rate,
            spec.channels,
            spec.bits_per_sample,
            spec.sample_format
        ),
        (48_000, 1, 16, SampleFormat::Int)
    );
    // Neighbours share a quarter of a window.
    assert_eq!(samples.len(), 32 + 19 * 24);
    let peak = samples.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    assert_eq!(peak, 16_384.0);
}

#[test]
fn what_cannot_be_trained_is_told() {
    let folder = tempfile::tempdir().unwrap();
    write_recordings(folder.path());
    let refused = |options: &str, part: &str| {
        fails(
            folder.path(),
            &format!("train . -o w.drfm {options}"),
            2,
            part,
        );
    };
    refused(
        "--domain waveform --stats-out s",
        "only spectral training has stages",
    );
    refused(
        "--domain waveform --base b.drfm",
        "only spectral training has stages",
    );
    refused(
        "--domain waveform --kind nn --trainer closed-form",
        "no closed form",
    );
    refused("--domain waveform --modes live", "for spectral training");
    refused("--domain waveform --excerpts 2", "for spectral training");
    refused("--domain waveform --lowest-hz 80", "for spectral training");
    refused("--domain waveform --steps 5", "for --trainer adam");
    refused("--domain waveform --window 30", "multiple of 4");
    refused("--domain waveform --window 4", "from 8 to 1024");
    refused("--domain waveform --window x", "from 8 to 1024");
    refused("--window 32", "for --domain waveform");
    assert!(!folder.path().join("w.drfm").exists());
}

#[test]
fn what_cannot_be_generated_is_told() {
    let folder = folder_with_model();
    let refused = |options: &str, code: i32, part: &str| {
        fails(folder.path(), &format!("generate {options}"), code, part);
    };
    refused("--model w.drfm -o o.wav --steps 3", 2, "for --sampler ddim");
    refused(
        "--model w.drfm -o o.wav --sampler ddim --steps 0",
        2,
        "--steps",
    );
    refused("--model w.drfm -o o.wav -n 0", 2, "0");
    refused("--model w.drfm -o o.flac", 2, "must end in .wav");
    refused("--model w.drfm -o no/o.wav", 1, "there is no folder no");
    refused(
        "--model none.drfm -o o.wav",
        1,
        "there is no model none.drfm",
    );
    refused("--model r0.wav -o o.wav", 1, "not an intact DRFM model");
    refused(&format!("{} -o o.wav", with_model()), 1, "can only denoise");
    let mut wild = load(folder.path(), "w.drfm");
    let part = wild.parts.get_mut("waveform").unwrap();
    let model = &part.model;
    let largest = model.theta2().iter().fold(0.0f32, |m, x| m.max(x.abs()));
    part.model = Drfm::new(
        model.features().clone(),
        model.theta1().clone(),
        model.theta2().mapv(|x| 0.9 * f32::MAX * (x / largest)),
    )
    .unwrap();
    wild.save(&folder.path().join("wild.drfm")).unwrap();
    refused("--model wild.drfm -o o.wav", 1, "leaves the finite numbers");
    let mut odd = load(folder.path(), "w.drfm");
    odd.recipe["window"] = 64.into();
    odd.save(&folder.path().join("odd.drfm")).unwrap();
    refused("--model odd.drfm -o o.wav", 1, "model odd.drfm");
    assert!(!folder.path().join("o.wav").exists());
}

#[test]
fn a_waveform_model_denoises_files() {
    let folder = folder_with_model();
    let clean = music(48_000, 2.0, 9);
    let mut rng = StableRng::new(5, 0);
    let mut noise = |n: usize| -> Vec<f32> { (0..n).map(|_| 0.03 * rng.normal() as f32).collect() };
    let added = noise(clean.len());
    let noisy: Vec<f32> = clean.iter().zip(&added).map(|(c, a)| c + a).collect();
    write_wav(&folder.path().join("noisy.wav"), 48_000, 1, 0, &noisy);
    write_wav(
        &folder.path().join("noise.wav"),
        48_000,
        1,
        0,
        &noise(48_000),
    );
    let known = "denoise noisy.wav --noise-file noise.wav --model w.drfm";
    works(folder.path(), &format!("{known} -o out.wav"));
    works(folder.path(), &format!("{known} -o rest.wav --residual"));
    works(
        folder.path(),
        &format!("{known} -o same.wav --amount-db 0 --mode instant"),
    );
    let read = |name: &str| read_wav(&folder.path().join(name)).1;
    let (out, rest, same) = (read("out.wav"), read("rest.wav"), read("same.wav"));
    assert_eq!(out.len(), clean.len());
    let (mut before, mut after) = (0.0, 0.0);
    for (i, c) in clean.iter().enumerate() {
        let y = f64::from(noisy[i]);
        assert_eq!(same[i], y);
        assert!((out[i] + rest[i] - y).abs() < 1e-6);
        before += (y - f64::from(*c)).powi(2);
        after += (out[i] - f64::from(*c)).powi(2);
    }
    let gain_db = 10.0 * f64::log10(before / after);
    assert!(gain_db > 1.0, "{gain_db}");

    let refused =
        |rest: &str, code, part| fails(folder.path(), &format!("{known} {rest}"), code, part);
    refused("-o no.wav --mode best", 2, "has no mode best");
    write_wav(
        &folder.path().join("other.wav"),
        44_100,
        1,
        16,
        &music(44_100, 1.0, 1),
    );
    let other = "denoise other.wav -o no.wav --model w.drfm";
    fails(folder.path(), other, 1, "resample the sound to 48000 Hz");
    assert!(!folder.path().join("no.wav").exists());
    let table = works(
        folder.path(),
        "eval --clean r0.wav --model w.drfm --snr 10 --seconds 1",
    );
    assert!(table.contains("w waveform"), "{table}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_generation_and_leaves_nothing_behind() {
    use common::{interrupted, names_in};

    let folder = folder_with_model();
    let arguments = "generate --model w.drfm -n 100000 -o o.wav";
    interrupted(folder.path(), arguments.split_whitespace());
    assert!(
        !names_in(folder.path())
            .iter()
            .any(|name| name.ends_with(".part") || name == "o.wav")
    );
}
