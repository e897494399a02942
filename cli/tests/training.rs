//! `drfm train`, `merge`, `inspect` and `eval`.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{fails, model, with_model, works, write_recordings};
use drfm_engine::audio::noise_floor::model::FloorModel;
use drfm_engine::model::file::ModelFile;

fn close(a: &Path, b: &Path) {
    let (a, b) = (ModelFile::load(a).unwrap(), ModelFile::load(b).unwrap());
    assert_eq!(a.recipe, b.recipe);
    assert!(a.parts.keys().eq(b.parts.keys()));
    for (name, part) in &a.parts {
        let other = &b.parts[name].model;
        let pairs = part.model.theta2().iter().zip(other.theta2().iter());
        let (mut difference, mut size) = (0.0f64, 0.0f64);
        for (x, y) in pairs {
            difference += f64::from(x - y).powi(2);
            size += f64::from(*x).powi(2);
        }
        assert!(
            difference.sqrt() < 1e-3 * size.sqrt(),
            "{name}: {difference} of {size}"
        );
    }
    for stage in ["first_stage", "second_stage"] {
        for (name, report) in a.training[stage]["steps"].as_object().unwrap() {
            let (x, y) = (
                report["loss"].as_f64().unwrap(),
                b.training[stage]["steps"][name]["loss"].as_f64().unwrap(),
            );
            assert!((x / y - 1.0).abs() < 1e-3, "{stage} {name}: {x} {y}");
        }
    }
}

#[test]
fn two_halves_merged_are_the_whole_and_training_repeats_itself() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["all", "a", "b"] {
        fs::create_dir(at(name)).unwrap();
    }
    write_recordings(&at("all"));
    for i in 0..6 {
        let half = if i < 3 { "a" } else { "b" };
        fs::copy(
            at(&format!("all/r{i}.wav")),
            at(&format!("{half}/r{i}.wav")),
        )
        .unwrap();
    }
    let options = "--modes live --features 16";
    works(folder.path(), &format!("train all -o all.drfm {options}"));
    works(folder.path(), &format!("train all -o again.drfm {options}"));
    assert_eq!(
        fs::read(at("all.drfm")).unwrap(),
        fs::read(at("again.drfm")).unwrap()
    );
    for half in ["a", "b"] {
        works(
            folder.path(),
            &format!("train {half} --stats-out {half}1.stats {options}"),
        );
    }
    works(folder.path(), "merge a1.stats b1.stats -o one.drfm");
    for half in ["a", "b"] {
        works(
            folder.path(),
            &format!("train {half} --base one.drfm --stats-out {half}2.stats"),
        );
    }
    works(
        folder.path(),
        "merge --base one.drfm a2.stats b2.stats -o both.drfm",
    );
    close(&at("all.drfm"), &at("both.drfm"));

    fails(
        folder.path(),
        "merge a1.stats a1.stats -o x.drfm",
        2,
        "same statistics",
    );
    fails(
        folder.path(),
        "merge a1.stats b2.stats -o x.drfm",
        1,
        "first",
    );
    fails(folder.path(), "merge a2.stats -o x.drfm", 2, "--base");
    fails(
        folder.path(),
        "merge a1.stats --base one.drfm -o x.drfm",
        2,
        "leave out --base",
    );
    works(
        folder.path(),
        "train a --stats-out c1.stats --modes live --features 8",
    );
    fails(
        folder.path(),
        "merge a1.stats c1.stats -o x.drfm",
        1,
        "options differ",
    );
}

#[test]
fn a_model_for_monitoring_can_be_trained_and_used() {
    let folder = tempfile::tempdir().unwrap();
    write_recordings(folder.path());
    works(
        folder.path(),
        "train . -o m.drfm --modes instant --features 8",
    );
    works(
        folder.path(),
        "denoise r0.wav -o o.wav --model m.drfm --mode instant",
    );
}

#[test]
fn the_range_of_an_instrument_can_be_given() {
    let folder = tempfile::tempdir().unwrap();
    write_recordings(folder.path());
    let range = |options: &str| {
        let train = format!("train . -o m.drfm --modes instant --features 8 {options}");
        works(folder.path(), &train);
        let text = works(folder.path(), "inspect --json m.drfm");
        std::fs::remove_file(folder.path().join("m.drfm")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json["lowest_hz"].as_f64().unwrap()
    };
    assert!(range("") > 30.0);
    assert_eq!(range("--lowest-hz 0"), 0.0);
    assert_eq!(range("--lowest-hz 41.5"), 41.5);
    for wrong in ["-5", "x", "NaN", "9000"] {
        let train = format!("train . -o m.drfm --lowest-hz={wrong}");
        fails(folder.path(), &train, 2, "from 0 to 2000 Hz");
    }
    // The second stage takes it from the first; merged it is still there.
    works(
        folder.path(),
        "train . --stats-out a.stats --modes live --features 8 --lowest-hz 41.5",
    );
    let mut longer = std::fs::read(folder.path().join("a.stats")).unwrap();
    longer.push(0);
    std::fs::write(folder.path().join("longer.stats"), longer).unwrap();
    let merge = "merge longer.stats -o one.drfm";
    fails(folder.path(), merge, 1, "something follows its end");
    works(folder.path(), "merge a.stats -o one.drfm");
    works(folder.path(), "train . --base one.drfm --stats-out b.stats");
    works(folder.path(), "merge b.stats --base one.drfm -o two.drfm");
    let text = works(folder.path(), "inspect two.drfm");
    assert!(text.contains("Range: from 42 Hz on"), "{text}");
}

#[test]
fn inspect_tells_and_draws() {
    let folder = tempfile::tempdir().unwrap();
    let text = works(
        folder.path(),
        &format!("inspect {} --picture p.png", model().display()),
    );
    for part in [
        "spectral model",
        "live",
        "refine_live",
        "separate loss",
        "like previous",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(image::open(folder.path().join("p.png")).is_ok());
    let json: serde_json::Value = serde_json::from_str(&works(
        folder.path(),
        &format!("inspect --json {}", model().display()),
    ))
    .unwrap();
    assert_eq!(json["modes"][0]["mode"], "live");
    assert_eq!(json["parts"]["live"]["features"], 24);
}

#[test]
fn eval_repeats_itself_for_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    write_recordings(folder.path());
    let run = |options: &str| {
        works(
            folder.path(),
            &format!(
                "eval --clean r0.wav r1.wav --noise white r2.wav --snr 5,-5 --seconds 1 {options} {}",
                with_model()
            ),
        )
    };
    let read = |options: &str| {
        let json: serde_json::Value =
            serde_json::from_str(&run(&format!("--json {options}"))).unwrap();
        json["result"]["cells"].clone()
    };
    let one = read("--threads 1");
    assert_eq!(one.as_array().unwrap().len(), 4);
    assert_eq!(one, read("--threads 2"));
    assert_ne!(one, read("--knows-noise no"));
    let text = run("");
    for part in [
        "SNR in dB, noise: white",
        "noise: r2",
        "m live",
        "oracle",
        "best classical",
        "real-time factor",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[cfg(unix)]
#[test]
fn other_denoisers_can_be_measured() {
    let folder = tempfile::tempdir().unwrap();
    write_recordings(folder.path());
    let run = |peer: &str, more: &str| {
        assert_cmd::Command::cargo_bin("drfm")
            .unwrap()
            .current_dir(folder.path())
            .args("eval --clean r0.wav --snr 10 --seconds 1 --mode instant".split_whitespace())
            .args(more.split_whitespace())
            .args(["--peer", peer])
            .output()
            .unwrap()
    };
    let out = run("nothing=cp {in} {out} && test -s {noise}", "");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let row = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!(row("nothing"), row("noisy input"));
    assert!(text.contains("best peer"), "{text}");
    let told = |peer: &str, more: &str, code, part: &str| {
        let out = run(peer, more);
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{text}");
        assert!(text.contains(part), "{text}");
    };
    told("a=false {in} {out}", "", 1, "peer a: exit status: 1");
    told("a=true {in} {out}", "", 1, "wrote no {out}");
    told("a=echo {in} > {out}", "", 1, "its result");
    told("a=cp {in}", "", 2, "{out}");
    told(
        "a=cp {in} {out} {noise}",
        "--knows-noise no",
        2,
        "--knows-noise no",
    );
}

#[test]
fn completions_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    assert!(works(folder.path(), "completions bash").contains("drfm"));
    fails(folder.path(), "completions cmd", 2, "possible values");
}

#[test]
fn the_noise_model_is_written_whole_and_repeats_itself() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("all")).unwrap();
    write_recordings(&at("all"));
    let options = "--mixtures 6 --features 16";
    works(
        folder.path(),
        &format!("train-noise all -o a.json {options}"),
    );
    works(
        folder.path(),
        &format!("train-noise all -o b.json {options}"),
    );
    let text = fs::read_to_string(at("a.json")).unwrap();
    assert_eq!(text, fs::read_to_string(at("b.json")).unwrap());
    assert!(FloorModel::from_json(&text).is_ok());
    fs::create_dir(at("empty")).unwrap();
    for wrong in [
        "train-noise empty -o c.json",
        "train-noise missing -o c.json",
    ] {
        fails(folder.path(), wrong, 1, wrong.split(' ').nth(1).unwrap());
    }
    fails(
        folder.path(),
        "train-noise all -o c.json --mixtures 0",
        2,
        "1..",
    );
    fails(
        folder.path(),
        "train-noise all -o nowhere/c.json",
        1,
        "nowhere",
    );
    assert!(!at("c.json").exists());
}

#[test]
fn no_recording_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("all")).unwrap();
    write_recordings(&folder.path().join("all"));
    let recording = folder.path().join("all/r0.wav");
    let before = fs::read(&recording).unwrap();
    for command in [
        "train all -o all/r0.wav --modes live --features 16",
        "train all -o x.drfm --stats-out ./all/r0.wav --modes live --features 16",
        "train-noise all -o all/r0.wav --mixtures 2 --features 16",
    ] {
        fails(folder.path(), command, 1, "choose another output");
        assert!(fs::read(&recording).unwrap() == before, "{command}");
        assert!(!folder.path().join("x.drfm").exists());
    }
}
