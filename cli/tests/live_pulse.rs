//! `drfm-live` through a PulseAudio server with null sinks, started by the test: input and output on clocks and rates of
//! their own. Says `skipped` where PulseAudio is not installed.
#![cfg(all(feature = "live", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::read_wav;
use serde_json::Value;

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SCRIPT: &str = "load-module module-native-protocol-unix
load-module module-null-sink sink_name=mic format=float32le rate=44100 channels=2 norewinds=1
load-module module-null-sink sink_name=rec format=float32le rate=48000 channels=2 norewinds=1
set-default-sink rec
set-default-source mic.monitor
";

fn server(folder: &Path) -> Option<Running> {
    let script = folder.join("drfm.pa");
    std::fs::write(&script, SCRIPT).unwrap();
    let server = Command::new("pulseaudio")
        .env("XDG_RUNTIME_DIR", folder)
        .env("HOME", folder)
        .args(["-n", "--exit-idle-time=-1", "--use-pid-file=no", "-F"])
        .arg(&script)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(server) = server else {
        println!("skipped: PulseAudio is not installed (apt-get install pulseaudio)");
        return None;
    };
    let mut server = Running(server);
    let started = Instant::now();
    while !folder.join("pulse/native").exists() {
        if started.elapsed() > Duration::from_secs(8) || server.0.try_wait().unwrap().is_some() {
            println!("skipped: no PulseAudio server can be started here");
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Some(server)
}

fn live(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drfm-live"));
    command
        .current_dir(folder)
        .env("XDG_RUNTIME_DIR", folder)
        .env("HOME", folder)
        .env_remove("PULSE_SERVER")
        .args(["--host", "pulseaudio"]);
    command
}

fn json(folder: &Path, arguments: &str) -> Vec<Value> {
    let out = live(folder)
        .arg("--json")
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    text.lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

#[test]
fn two_rates_play_together_and_server_death_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(server_1) = server(folder) else {
        return;
    };
    let list = live(folder).arg("--list").output().unwrap();
    assert!(String::from_utf8_lossy(&list.stdout).contains("mic"));
    // What is played on one null sink is heard on its monitor: the way goes through the server and the resampler.
    let lines = json(
        folder,
        "--measure-latency --input rec.monitor --mode instant",
    );
    let found = lines.iter().find(|l| l["event"] == "round_trip").unwrap();
    println!("{found}");
    assert!(found["ms"].as_f64().unwrap() > 3.0);
    // Two null sinks have clocks of their own, and here rates of their own.
    let lines = json(folder, "--duration 6 --rate 44100 --record a.wav");
    let end = lines.last().unwrap();
    println!("{end}");
    let plan = &lines[0]["plan"];
    assert_eq!(plan["one_clock"], false);
    assert_eq!(plan["input"]["rate_hz"], 44_100);
    assert!(end["latency_ms"].as_f64().unwrap() > 0.0);
    let (spec, samples) = read_wav(&folder.join("a.wav"));
    assert_eq!((spec.sample_rate, spec.channels), (44_100, 2));
    assert!(samples.len() > 3 * 2 * 44_100, "{}", samples.len());
    // Unknown rates and devices are told.
    let out = live(folder)
        .args(["--no-tui", "--input", "banjo"])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        text.contains("there is no input") && text.contains("mic"),
        "{text}"
    );
    // The server is killed and comes back.
    let running = live(folder)
        .args(["--json", "--duration", "12", "--record", "b.wav"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(3));
    drop(server_1);
    let _ = std::fs::remove_file(folder.join("pulse/native"));
    std::thread::sleep(Duration::from_secs(2));
    let _server_2 = server(folder).expect("it could be started before");
    let out = running.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{text}");
    let lines: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let of = |event: &str| lines.iter().find(|l| l["event"] == event);
    println!("{:?} {:?} {:?}", of("lost"), of("back"), of("gap"));
    assert!(
        of("lost").is_some() && of("back").is_some() && of("gap").is_some(),
        "{text}"
    );
    let (spec, samples) = read_wav(&folder.join("b.wav"));
    let seconds = samples.len() as f64 / f64::from(spec.channels) / f64::from(spec.sample_rate);
    assert!((9.0..13.5).contains(&seconds), "{seconds}");
}
