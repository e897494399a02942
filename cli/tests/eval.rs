//! `drfm eval`: steps, amounts, harm, made-up hum, stereo, and the report page.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{fails, music, works, write_wav};
use serde_json::Value;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let take = music(48_000, 1.0, 1);
    write_wav(&folder.path().join("take.wav"), 48_000, 1, 16, &take);
    folder
}

fn json(folder: &Path, options: &str) -> Value {
    let options = format!("eval --clean take.wav --model guitar --json {options}");
    serde_json::from_str(&works(folder, &options)).unwrap()
}

#[test]
fn a_learned_whine_is_taken_out() {
    let folder = folder();
    let options = "--mode live --no-classical --noise whine --snr 10";
    let found = json(folder.path(), options);
    let means = &found["result"]["cells"][0]["means"];
    let snr_db = means[1]["snr_db"].as_f64().unwrap();
    assert!(snr_db > 18.0, "{means}");
}

#[test]
fn a_buzz_that_nobody_told_of_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let take = music(48_000, 5.0, 1);
    write_wav(&folder.path().join("take.wav"), 48_000, 1, 16, &take);
    let options = "--mode live --no-classical --noise dimmer --snr 0 --knows-noise no";
    let found = json(folder.path(), options);
    let means = &found["result"]["cells"][0]["means"];
    let snr_db = means[1]["snr_db"].as_f64().unwrap();
    assert!(snr_db > 10.0, "{means}");
}

#[test]
fn a_learned_whistle_that_wanders_is_taken_out() {
    let folder = folder();
    let options = "--mode best --noise whistle --snr 10";
    let found = json(folder.path(), options);
    let means = found["result"]["cells"][0]["means"].as_array().unwrap();
    let snr_db = |m: &Value| m["snr_db"].as_f64().unwrap();
    // The oracle and ours are the last two.
    let (ours, classical) = (&means[means.len() - 1], &means[1..means.len() - 2]);
    for filter in classical {
        assert!(snr_db(ours) > snr_db(filter), "{means:?}");
    }
}

#[test]
fn learned_crickets_are_softened_and_traffic_taken_out() {
    let folder = folder();
    let options = "--mode best --noise crickets traffic --snr 10";
    let found = json(folder.path(), options);
    let snr_db = |m: &Value| m["snr_db"].as_f64().unwrap();
    let means = |cell: usize| {
        let means = found["result"]["cells"][cell]["means"].as_array();
        means.unwrap().as_slice()
    };
    let crickets = means(0);
    assert!(snr_db(&crickets[crickets.len() - 1]) > 11.5, "{crickets:?}");
    let traffic = means(1);
    assert!(snr_db(&traffic[traffic.len() - 1]) > 18.0, "{traffic:?}");
}

#[test]
fn a_real_guitar_is_freed_of_learned_crickets_and_traffic() {
    let clean = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/guitar.flac");
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(clean, folder.path().join("take.wav")).unwrap();
    let options = "--mode best --mode live --no-classical --noise crickets traffic --snr 10";
    let found = json(folder.path(), options);
    let snr_db = |cell: usize, method: usize| {
        let means = &found["result"]["cells"][cell]["means"];
        means[method]["snr_db"].as_f64().unwrap()
    };
    // Method 0 is the noisy sound, 1 `best` and 2 `live`.
    let (best, live, traffic) = (snr_db(0, 1), snr_db(0, 2), snr_db(1, 1));
    println!("{best} {live} {traffic}");
    assert!(best > 30.0, "{found}");
    assert!(live > 28.0, "{found}");
    assert!(traffic > 18.0, "{found}");
}

#[test]
fn gaps_are_cut_into_mixtures_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let take = music(48_000, 5.0, 1);
    write_wav(&folder.path().join("take.wav"), 48_000, 1, 16, &take);
    let options = "--mode live --no-classical --snr 10";
    let whole = json(folder.path(), options);
    let cut = json(folder.path(), &format!("{options} --gaps"));
    let snr_db = |found: &Value, m: usize| {
        let means = &found["result"]["cells"][0]["means"];
        means[m]["snr_db"].as_f64().unwrap()
    };
    assert_eq!(
        (&whole["gaps"], &cut["gaps"]),
        (&false.into(), &true.into())
    );
    assert!((snr_db(&whole, 0) - 10.0).abs() < 0.1);
    assert!((snr_db(&cut, 0) - 10.0).abs() > 0.1, "{cut}");
    assert!(snr_db(&cut, 1) > snr_db(&cut, 0) + 4.0, "{cut}");
    let text = "eval --clean take.wav --model guitar --mode live --no-classical --snr 10";
    let text = works(folder.path(), &format!("{text} --gaps"));
    assert!(text.contains("with gaps of a second"), "{text}");
    fails(
        folder.path(),
        "eval --clean take.wav --gaps --stereo",
        2,
        "--stereo",
    );
}

#[test]
fn steps_amounts_and_hum() {
    let folder = folder();
    let found = json(
        folder.path(),
        "--mode live --steps 1 --steps 2 --steps 3 --amount-db 10 --amount-db 100 --no-classical --noise hum60 --snr 10",
    );
    let names: Vec<&str> = found["result"]["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 7);
    assert_eq!(names[1], "guitar live, 1 step, 10 dB");
    assert_eq!(names[6], "guitar live, 3 steps, 100 dB");
    let means = &found["result"]["cells"][0]["means"];
    let snr = |m: usize| means[m]["snr_db"].as_f64().unwrap();
    assert!((snr(0) - 10.0).abs() < 0.1);
    // Ten dB of attenuation cannot gain more; all three numbers of steps differ.
    assert!(snr(1) > 10.0 && snr(1) < 20.5, "{means}");
    assert!(snr(2) != snr(4) && snr(4) != snr(6), "{means}");
    for (options, part) in [("--steps 0", "0"), ("--amount-db 101", "from 0")] {
        let options = format!("eval --clean take.wav {options}");
        fails(folder.path(), &options, 2, part);
    }
}

#[test]
fn what_is_left_of_the_noise_is_measured() {
    let folder = folder();
    let found = json(folder.path(), "--mode instant --snr 0");
    let means = found["result"]["cells"][0]["means"].as_array().unwrap();
    let left = |m: usize, key: &str| means[m]["left"][key].as_f64().unwrap();
    // A little of the music lies in the cells that are measured.
    assert!(left(0, "log_kurtosis_ratio").abs() < 0.05, "{means:?}");
    let ours = means.len() - 1;
    assert!(left(ours, "noise_left_db") < -10.0, "{found}");
    assert!(left(ours, "islands_db") < left(0, "islands_db"));
}

#[test]
fn harm_is_measured() {
    let folder = folder();
    let found = json(
        folder.path(),
        "--model flute --mode instant --snr 10 --harm",
    );
    let clean = found["result"]["clean"].as_array().unwrap();
    assert_eq!(clean.len(), 2);
    assert!(
        clean
            .iter()
            .all(|c| c["mean_snr_db"].as_f64().unwrap() > 10.0)
    );
    // 10, 30 and 40 dB, two models; only the second has a cost.
    let noisy = found["result"]["noisy"].as_array().unwrap();
    assert_eq!(noisy.len(), 6);
    assert!(noisy[0]["cost_db"].is_null() && noisy[1]["cost_db"].is_number());
    let text = works(
        folder.path(),
        "eval --clean take.wav --model guitar --mode instant --snr 10 --harm",
    );
    assert!(text.contains("worst file"), "{text}");
}

#[test]
fn two_channels_are_measured_as_a_pair_and_apart() {
    let folder = folder();
    // Of another seed than the noise in the take.
    let found = json(folder.path(), "--mode instant --snr 10 --stereo --seed 2");
    let cells = found["result"].as_array().unwrap();
    let scenes: Vec<&str> = cells.iter().map(|c| c["scene"].as_str().unwrap()).collect();
    let all = ["middle", "side", "spaced", "two", "beside", "quiet"];
    assert_eq!(scenes, all);
    for cell in cells {
        let (apart, pair) = (&cell["models_db"][0][0], &cell["models_db"][0][1]);
        let (apart, pair) = (apart.as_f64().unwrap(), pair.as_f64().unwrap());
        // One second of music is little to find the picture in; what both channels share is clearer together.
        let least = if cell["scene"] == "middle" { 1.0 } else { -0.5 };
        assert!(pair > apart + least, "{cell}");
        assert!(cell["classical_db"].as_f64() > cell["noisy_db"].as_f64());
    }
    let text = works(
        folder.path(),
        "eval --clean take.wav --mode instant --snr 10 --stereo --no-classical",
    );
    assert!(text.contains("nothing but noise right"), "{text}");
    for other in ["--harm", "--report page", "--steps 1"] {
        let options = format!("eval --clean take.wav --stereo {other}");
        fails(folder.path(), &options, 2, "cannot be used with");
    }
}

#[test]
fn the_report_is_whole_or_not_there() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let eval = "eval --clean take.wav --model guitar --mode instant --snr 10 --seconds 0.5";
    works(folder.path(), &format!("{eval} --report page"));
    let page = fs::read_to_string(at("page/index.html")).unwrap();
    for part in ["guitar instant", "<audio", "<polyline", "1-1-0.wav"] {
        assert!(page.contains(part), "{part}");
    }
    // Everything that the page names is there, and nothing that is elsewhere is named.
    for piece in page
        .split(['"'])
        .filter(|p| p.ends_with(".wav") || p.ends_with(".png"))
    {
        assert!(at("page").join(piece).is_file(), "{piece}");
    }
    assert!(!page.contains("http"), "a page for offline use");
    // clean, noisy, best classical, ours
    assert_eq!(fs::read_dir(at("page")).unwrap().count(), 1 + 2 * 4);
    fails(
        folder.path(),
        &format!("{eval} --report page"),
        1,
        "has something in it",
    );
    fails(
        folder.path(),
        &format!("{eval} --report take.wav"),
        1,
        "is a file",
    );
    fails(
        folder.path(),
        &format!("{eval} --report no/page"),
        1,
        "there is no folder no",
    );
    fs::create_dir(at("empty")).unwrap();
    works(folder.path(), &format!("{eval} --report empty"));
    assert!(at("empty/index.html").is_file());
    // A run that fails leaves nothing.
    fails(
        folder.path(),
        &format!("{eval} --noise nosuch.wav --report other"),
        1,
        "nosuch.wav",
    );
    let names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(
        !names.iter().any(|n| n.starts_with(".drfm") || n == "other"),
        "{names:?}"
    );
}
