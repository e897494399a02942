//! The plugin in a CLAP host, loaded from its file: what a DAW relies on.

#![allow(clippy::unwrap_used)]

mod host;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use drfm_engine::audio::denoiser::{NoiseSource, Output, StreamDenoiser};
use drfm_engine::audio::embedded;
use drfm_engine::audio::model::{DenoiserModel, Mode};
use drfm_engine::audio::noise::NoiseSpectrum;
use host::{Host, MODES, amount, noisy_chords};

const BLOCKS: [usize; 9] = [1, 7, 64, 333, 512, 1024, 3, 480, 4096];

fn peak(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |p, x| p.max(x.abs()))
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |d, (a, b)| d.max((a - b).abs()))
}

/// What the engine makes of the sound with the same settings.
fn engine(
    model: &str,
    mode: Mode,
    rate_hz: u32,
    sound: &[Vec<f32>],
    set: impl Fn(&mut StreamDenoiser),
) -> Vec<Vec<f32>> {
    let model = DenoiserModel::from_bytes(embedded::bytes(model).unwrap()).unwrap();
    let chain = model.chain(mode).unwrap();
    let mut stream = StreamDenoiser::new(chain, rate_hz, sound.len(), NoiseSource::Adaptive);
    set(&mut stream);
    stream.settle();
    let mut sound = sound.to_vec();
    let mut pieces: Vec<&mut [f32]> = sound.iter_mut().map(|c| &mut c[..]).collect();
    stream.process(&mut pieces);
    sound
}

#[test]
fn every_mode_and_layout_is_the_engine_and_reports_its_latency() {
    for (i, name) in MODES.iter().enumerate() {
        let mode = Mode::from_name(name).unwrap();
        for channels in [1, 2] {
            let mut host = Host::new(48_000.0, channels);
            host.set(&[("Mode", i as f64), ("Amount", amount(30.0))]);
            host.reactivate();
            let sound = noisy_chords(48_000.0, channels, 1.5);
            let mut ours = sound.clone();
            host.process(&mut ours, &BLOCKS, &[]);
            let mut latency = 0;
            let theirs = engine("general", mode, 48_000, &sound, |s| {
                s.set_amount_db(30.0);
            });
            for (a, b) in ours.iter().zip(&theirs) {
                assert!(difference(a, b) < 1e-6, "{name}");
                assert!(peak(a) > 0.05, "{name}: silence proves nothing");
            }
            // An impulse through the bypass comes out after exactly the reported time.
            host.set(&[("Bypass", 1.0)]);
            let n = host.latency() as usize + 4000;
            let mut impulse = vec![vec![0.0f32; n]; channels];
            host.process(&mut impulse.clone(), &[512], &[]);
            for c in &mut impulse {
                c[1000] = 0.5;
            }
            host.process(&mut impulse, &BLOCKS, &[]);
            for c in &impulse {
                let at = c.iter().position(|x| x.abs() > 1e-6);
                assert_eq!(at, Some(1000 + host.latency() as usize), "{name}");
                latency = host.latency();
            }
            println!("{name}: {latency} samples");
        }
    }
}

#[test]
fn all_sample_rates_from_8_to_384_khz() {
    let mut host = Host::new(48_000.0, 2);
    for rate_hz in [
        8_000.0, 11_025.0, 22_050.0, 32_000.0, 44_100.0, 88_200.0, 96_000.0, 192_000.0, 384_000.0,
    ] {
        for mode in [1.0, 3.0] {
            host.set(&[("Mode", mode)]);
            host.set_rate_hz(rate_hz);
            let latency = host.latency() as usize;
            let allowed = if mode == 1.0 { 0.135 } else { 0.004 };
            assert!(latency as f64 / rate_hz < allowed, "{rate_hz}: {latency}");
            let mut sound = noisy_chords(rate_hz, 2, 0.4);
            host.process(&mut sound, &[441, 64, 1000], &[]);
            for c in &sound {
                assert!(c.iter().all(|x| x.is_finite()));
                assert!(peak(c) > 0.02 && peak(c) < 1.0, "{rate_hz}");
            }
        }
    }
    // And none beyond.
    let mut host = Host::inactive(1_000_000.0, 2);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| host.activate())).is_err());
}

#[test]
fn a_mode_change_asks_for_a_restart_and_leaves_the_latency_alone_until_then() {
    let mut host = Host::new(48_000.0, 2);
    let balanced = host.latency();
    let mut sound = noisy_chords(48_000.0, 2, 0.5);
    let before = sound.clone();
    host.process(&mut sound, &[512], &[(10, "Mode", 0.0)]);
    assert_eq!(host.latency(), balanced);
    let alone = engine("general", Mode::Balanced, 48_000, &before, |s| {
        s.set_amount_db(30.0);
    });
    assert!(
        difference(&sound[0], &alone[0]) < 1e-6,
        "it goes on in the old mode"
    );
    assert!(host.asked.restart.load(Ordering::SeqCst));
    assert!(host.serve());
    assert!(host.latency() > balanced);
    assert!(host.asked.latency_changes.load(Ordering::SeqCst) > 0);
    // Asked for once, not in every block.
    host.serve();
    host.process(&mut noisy_chords(48_000.0, 2, 0.1), &[512], &[]);
    assert!(!host.serve());
}

#[test]
fn a_state_comes_back_whole_also_while_playing() {
    let mut host = Host::new(48_000.0, 2);
    // Learn from noise alone, then use it.
    let mut noise = noisy_chords(48_000.0, 2, 2.0);
    for c in &mut noise {
        for x in c {
            *x = 0.01 * x.signum();
        }
    }
    host.set(&[
        ("Mode", 2.0),
        ("Model", 0.0),
        ("Amount", amount(18.0)),
        ("Stereo link", 0.0),
        ("Output trim", 0.6),
    ]);
    host.process(
        &mut noise,
        &[480],
        &[(0, "Learn", 1.0), (150, "Learn", 0.0)],
    );
    host.set(&[("Noise source", 1.0)]);
    wait_for_background();
    let saved = host.save();
    let text = String::from_utf8_lossy(&saved[8..]).into_owned();
    for id in [
        "mode",
        "model",
        "amount_db",
        "noise_source",
        "learn",
        "output",
        "stereo_link",
        "output_trim_db",
        "bypass",
    ] {
        assert!(text.contains(&format!("\"{id}\"")), "{id}");
    }
    assert!(text.len() > 40_000, "the noise is in it");

    let mut values = std::collections::BTreeMap::new();
    for name in host.params.keys().cloned().collect::<Vec<_>>() {
        let value = host.value(&name);
        values.insert(name, value);
    }
    // Into a new instance before it is activated, and into one that plays.
    let sound = noisy_chords(48_000.0, 2, 2.5);
    host.reactivate();
    let mut expected = sound.clone();
    host.process(&mut expected, &BLOCKS, &[]);
    for active in [false, true] {
        let mut other = Host::inactive(48_000.0, 2);
        if active {
            other.activate();
            other.process(&mut sound.clone(), &[512], &[]);
        }
        assert!(other.load(&saved));
        if active {
            // Nobody activates it again unasked; it must ask, for the mode is another one.
            other.process(&mut noisy_chords(48_000.0, 2, 0.1), &[512], &[]);
            assert!(other.serve());
        } else {
            other.activate();
        }
        for (name, value) in &values {
            assert!((other.value(name) - value).abs() < 1e-6, "{name}");
        }
        let mut again = sound.clone();
        other.process(&mut again, &BLOCKS, &[]);
        for (a, b) in again.iter().zip(&expected) {
            assert!(difference(a, b) < 1e-6, "active: {active}");
        }
        assert_eq!(other.save(), saved);
    }
}

#[test]
fn a_learned_noise_that_comes_with_a_state_is_heard_without_a_restart() {
    let mut teacher = Host::new(48_000.0, 2);
    let mut noise = vec![vec![0.0f32; 96_000]; 2];
    let hiss = noisy_chords(48_000.0, 2, 2.0);
    for (n, h) in noise.iter_mut().zip(&hiss) {
        for (n, h) in n.iter_mut().zip(h) {
            *n = 0.01 * h.signum();
        }
    }
    teacher.process(
        &mut noise,
        &[480],
        &[
            (0, "Learn", 1.0),
            (190, "Learn", 0.0),
            (191, "Noise source", 1.0),
        ],
    );
    wait_for_background();
    let saved = teacher.save();
    let mut host = Host::new(48_000.0, 2);
    host.process(&mut noisy_chords(48_000.0, 2, 0.5), &[512], &[]);
    assert!(host.load(&saved));
    let mut sound = noisy_chords(48_000.0, 2, 0.1);
    host.process(&mut sound, &[64], &[]);
    wait_for_background();
    let mut quiet = vec![vec![0.0f32; 48_000]; 2];
    for (q, h) in quiet.iter_mut().zip(&hiss) {
        for (q, h) in q.iter_mut().zip(h) {
            *q = 0.005 * h.signum();
        }
    }
    host.process(&mut quiet, &[64], &[]);
    assert!(!host.serve(), "same mode, no restart");
    let left = peak(&quiet[0][36_000..]);
    assert!(left < 0.0008, "the noise is known: {left}");
}

#[test]
fn a_model_file_travels_in_the_state_as_bytes() {
    use base64::Engine as _;
    let mut host = Host::new(48_000.0, 2);
    host.set(&[("Mode", 3.0), ("Model", 3.0), ("Amount", amount(100.0))]);
    // Nothing loaded yet: the general model stands in.
    host.reactivate();
    let sound = noisy_chords(48_000.0, 2, 1.0);
    let mut ours = sound.clone();
    host.process(&mut ours, &BLOCKS, &[]);
    let theirs = engine("general", Mode::Instant, 48_000, &sound, |_| {});
    assert!(difference(&ours[0], &theirs[0]) < 1e-6);
    // A session that brings the bytes of a model, loaded while playing.
    let mut state: serde_json::Value = serde_json::from_slice(&host.save()[8..]).unwrap();
    let bytes = embedded::bytes("flute").unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.encode(bytes);
    let model = serde_json::json!({ "name": "from afar", "bytes": bytes });
    state["fields"]["model"] = model.to_string().into();
    let text = state.to_string();
    let mut saved = (text.len() as u64).to_le_bytes().to_vec();
    saved.extend_from_slice(text.as_bytes());
    assert!(host.load(&saved));
    host.process(&mut sound.clone(), &[512], &[]);
    wait_for_background();
    host.process(&mut noisy_chords(48_000.0, 2, 0.5), &[512], &[]);
    assert!(!host.serve(), "same latency, no restart");
    host.reactivate();
    let mut ours = sound.clone();
    host.process(&mut ours, &BLOCKS, &[]);
    let theirs = engine("flute", Mode::Instant, 48_000, &sound, |_| {});
    assert!(difference(&ours[0], &theirs[0]) < 1e-6);
    let again: serde_json::Value = serde_json::from_slice(&host.save()[8..]).unwrap();
    let again = again["fields"]["model"].as_str().unwrap();
    let again: serde_json::Value = serde_json::from_str(again).unwrap();
    assert!(again == model, "the model is saved again as it came");
}

#[test]
fn garbage_and_newer_states_change_nothing() {
    let mut host = Host::new(48_000.0, 2);
    host.set(&[("Amount", amount(55.0)), ("Output", 1.0)]);
    let before = host.save();
    let with_length = |text: &str| {
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        bytes
    };
    let text = String::from_utf8(before[8..].to_vec()).unwrap();
    let newer = text
        .replace("\"format\":\"1\"", "\"format\":\"99\"")
        .replace("55.0", "1.0");
    assert_ne!(newer, text);
    let cut = &before[..before.len() / 2];
    let mut flipped = before.clone();
    for i in (8..flipped.len()).step_by(37) {
        flipped[i] ^= 0x15;
    }
    let states = [
        Vec::new(),
        vec![0xFF; 8],
        b"not a state of any kind at all".to_vec(),
        cut.to_vec(),
        flipped,
        with_length("{}"),
        with_length("{\"version\":\"0.1.0\",\"params\":{},\"fields\":{}}"),
        with_length("{\"version\":\"9\",\"params\":{\"amount_db\":{\"f32\":1e39}},\"fields\":{}}"),
        with_length(
            "{\"version\":\"0.1.0\",\"params\":{\"mode\":{\"string\":\"warp\"},\"model\":{\"i32\":-7}},\"fields\":\
             {\"noise\":\"[]\",\"model\":\"{\\\"name\\\":\\\"x\\\",\\\"bytes\\\":\\\"AAAA\\\"}\",\"window\":\"[0,0]\"}}",
        ),
        with_length(&newer),
    ];
    for (i, state) in states.iter().enumerate() {
        host.load(state);
        let mut sound = noisy_chords(48_000.0, 2, 0.1);
        host.process(&mut sound, &[512], &[]);
        host.serve();
        assert!(
            (host.value("Amount") - amount(55.0)).abs() < 1e-3,
            "state {i}"
        );
        assert_eq!(host.value("Output"), 1.0, "state {i}");
        assert!(sound.iter().flatten().all(|x| x.is_finite()), "state {i}");
    }
}

#[test]
fn a_model_change_is_heard_soon_without_a_click_or_a_restart() {
    let mut host = Host::new(48_000.0, 2);
    host.set(&[("Mode", 2.0)]);
    host.reactivate();
    let sound = noisy_chords(48_000.0, 2, 8.0);
    let mut played = sound.clone();
    let (first, rest): (Vec<_>, Vec<_>) = played
        .iter()
        .map(|c| (c[..48_000].to_vec(), c[48_000..].to_vec()))
        .unzip();
    let (mut first, mut rest) = (first, rest);
    host.process(&mut first, &[512], &[(50, "Model", 1.0)]);
    wait_for_background();
    host.process(&mut rest, &[512], &[]);
    assert!(!host.serve());
    for (c, (a, b)) in played.iter_mut().zip(first.iter().zip(&rest)) {
        *c = [a.as_slice(), b].concat();
    }
    let flute = engine("flute", Mode::Live, 48_000, &sound, |s| {
        s.set_amount_db(30.0)
    });
    let general = engine("general", Mode::Live, 48_000, &sound, |s| {
        s.set_amount_db(30.0)
    });
    // The streams remember some seconds of what they have made of the sound, and the trackers cut it into other
    // stretches, so it is nearer to one model than to the other and not the same. Without a change it would be the other.
    let late = 7 * 48_000..8 * 48_000;
    let to = |other: &[Vec<f32>]| -> f32 {
        let pairs = played[0][late.clone()].iter().zip(&other[0][late.clone()]);
        pairs.map(|(a, b)| (a - b).powi(2)).sum()
    };
    assert!(
        to(&flute) < 0.7 * to(&general),
        "{} {}",
        to(&flute),
        to(&general)
    );
    let steps = |x: &[f32]| {
        x.windows(2)
            .map(|w| (w[1] - w[0]).abs())
            .fold(0.0f32, f32::max)
    };
    let smoothest = steps(&flute[0]).max(steps(&general[0]));
    assert!(steps(&played[0]) < 1.2 * smoothest, "a click");
}

#[test]
fn removed_and_denoised_add_up_to_the_bypass() {
    let sound = noisy_chords(48_000.0, 2, 1.0);
    let run = |settings: &[(&str, f64)]| {
        let mut host = Host::new(48_000.0, 2);
        host.set(&[("Mode", 3.0)]);
        host.set(settings);
        host.reactivate();
        let mut sound = sound.clone();
        host.process(&mut sound, &[256], &[]);
        sound
    };
    let kept = run(&[("Amount", amount(100.0))]);
    let removed = run(&[("Amount", amount(100.0)), ("Output", 1.0)]);
    let bypassed = run(&[("Bypass", 1.0), ("Output trim", 0.9)]);
    for c in 0..2 {
        let sum: Vec<f32> = kept[c]
            .iter()
            .zip(&removed[c])
            .map(|(a, b)| a + b)
            .collect();
        assert!(difference(&sum, &bypassed[c]) < 1e-5);
        assert!(peak(&removed[c]) > 0.005);
    }
}

#[test]
fn learned_noise_beats_none_and_is_the_engines() {
    let hiss: Vec<Vec<f32>> = noisy_chords(48_000.0, 1, 2.0)
        .iter()
        .map(|c| c.iter().map(|x| 0.01 * x.signum()).collect())
        .collect();
    let mut host = Host::new(48_000.0, 1);
    host.set(&[("Mode", 3.0), ("Amount", amount(100.0))]);
    host.process(
        &mut hiss.clone(),
        &[480],
        &[
            (0, "Learn", 1.0),
            (199, "Learn", 0.0),
            (199, "Noise source", 1.0),
        ],
    );
    wait_for_background();
    let sound = noisy_chords(48_000.0, 1, 1.0);
    let mut ours = sound.clone();
    host.reset();
    host.process(&mut ours, &[480], &[]);
    let heard = 199 * 480;
    let spectrum = NoiseSpectrum::learn(48_000, &[&hiss[0][..heard]]).unwrap();
    let theirs = engine("general", Mode::Instant, 48_000, &sound, |s| {
        s.follow_noise(0, &spectrum);
        s.set_output(Output::Denoised);
    });
    assert!(difference(&ours[0], &theirs[0]) < 1e-5);
}

#[test]
fn a_new_instance_is_ready_in_time() {
    // The first one reads the models; later ones find them read.
    let times: Vec<Duration> = (0..3)
        .map(|_| {
            let started = Instant::now();
            let mut host = Host::inactive(48_000.0, 2);
            host.activate();
            started.elapsed()
        })
        .collect();
    println!("ready after {times:?}");
    // The goal is 50 ms with optimisation on a free machine; this only catches what is far off.
    assert!(
        times.iter().all(|t| *t < Duration::from_secs(10)),
        "{times:?}"
    );
}

#[test]
fn parameters_have_sensible_texts() {
    let mut host = Host::inactive(48_000.0, 2);
    let names: Vec<&String> = host.params.keys().collect();
    assert_eq!(
        names,
        [
            "Amount",
            "Bypass",
            "Learn",
            "Mode",
            "Model",
            "Noise source",
            "Output",
            "Output trim",
            "Stereo link"
        ]
    );
    assert_eq!(host.text("Amount", amount(30.0)), "30.0 dB");
    assert_eq!(host.text("Output trim", 0.5), "0.0 dB");
    assert_eq!(host.text("Model", 3.0), "Own model");
    assert_eq!(host.text("Mode", 1.0), "Balanced");
}

/// The plugin does some things in the background; a host would go on playing meanwhile.
fn wait_for_background() {
    // Milliseconds are enough on an idle machine.
    std::thread::sleep(Duration::from_secs(3));
}
