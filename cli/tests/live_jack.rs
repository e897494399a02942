//! `drfm-live` through a JACK server without a sound card, started by the test: what comes out is the engine's own output,
//! to the last bit. Says `skipped` where JACK is not installed.
#![cfg(all(feature = "live", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::read_wav;
use drfm_engine::audio::denoiser::{NoiseSource, StreamDenoiser};
use drfm_engine::audio::embedded;
use drfm_engine::audio::model::{DenoiserModel, Mode};
use drfm_engine::realtime::denormals::FlushDenormals;
use serde_json::Value;

const RATE_HZ: u32 = 48_000;

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

/// A server of its own name, so that tests and other people's servers do not meet.
struct Jack {
    name: String,
    frames: u32,
    server: Option<Running>,
}

impl Drop for Jack {
    fn drop(&mut self) {
        // Servers that are killed stay in the list of all servers, which is short.
        if let Some(mut server) = self.server.take() {
            let pid = server.0.id().to_string();
            let _ = Command::new("kill").args(["-TERM", &pid]).status();
            wait(Duration::from_secs(3), || {
                !matches!(server.0.try_wait(), Ok(None))
            });
        }
    }
}

impl Jack {
    fn start(name: &str, frames: u32) -> Option<Self> {
        if !["jackd", "jack_metro", "jack_lsp", "jack_connect"]
            .iter()
            .all(|p| installed(p))
        {
            println!("skipped: JACK is not installed (apt-get install jackd2)");
            return None;
        }
        let mut jack = Self {
            name: format!("drfm-{name}-{}", std::process::id()),
            frames,
            server: None,
        };
        if !jack.restart() {
            println!("skipped: no JACK server can be started here");
            return None;
        }
        Some(jack)
    }

    fn restart(&mut self) -> bool {
        self.server = None;
        let (rate, frames) = (RATE_HZ.to_string(), self.frames.to_string());
        // Real-time priority if it is to be had.
        for priority in ["--realtime", "--no-realtime"] {
            let server = Command::new("jackd")
                .args([
                    "-n", &self.name, priority, "-d", "dummy", "-r", &rate, "-p", &frames,
                ])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let Ok(server) = server else {
                return false;
            };
            let mut server = Running(server);
            let up = wait(Duration::from_secs(5), || {
                !self.ports().is_empty() || server.0.try_wait().unwrap().is_some()
            });
            if up && server.0.try_wait().unwrap().is_none() {
                self.server = Some(server);
                return true;
            }
        }
        false
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("JACK_DEFAULT_SERVER", &self.name);
        command.stderr(Stdio::null());
        command
    }

    fn ports(&self) -> Vec<String> {
        let out = self.command("jack_lsp").output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        text.lines()
            .filter(|l| l.contains(':'))
            .map(str::to_owned)
            .collect()
    }

    fn connect(&self, from: &str, to: &str) {
        let done = self
            .command("jack_connect")
            .args([from, to])
            .stdout(Stdio::null())
            .status();
        assert!(done.unwrap().success(), "{from} {to}");
    }

    fn disconnect(&self, from: &str, to: &str) {
        let _ = self
            .command("jack_disconnect")
            .args([from, to])
            .stdout(Stdio::null())
            .status();
    }

    /// Starts the program and waits for its ports. A server on a machine that was too busy for a moment may turn a
    /// client away or leave it waiting: then both begin anew, and what the program said is printed.
    fn live(&mut self, folder: &Path, arguments: &str) -> Running {
        for _ in 0..3 {
            let said = folder.join("said.txt");
            let mut command = self.command(env!("CARGO_BIN_EXE_drfm-live"));
            command
                .current_dir(folder)
                .args(["--host", "jack", "--json"])
                .args(arguments.split_whitespace())
                .stderr(File::create(&said).unwrap())
                .stdout(Stdio::piped());
            let mut running = Running(command.spawn().unwrap());
            let port = format!("cpal_client_{}_in:in_0", running.0.id());
            let mut here = false;
            wait(Duration::from_secs(20), || {
                here = self.ports().contains(&port);
                here || running.0.try_wait().unwrap().is_some()
            });
            if here {
                return running;
            }
            let ended = running.0.try_wait().unwrap();
            let _ = running.0.kill();
            let mut printed = String::new();
            if let Some(mut stdout) = running.0.stdout.take() {
                let _ = stdout.read_to_string(&mut printed);
            }
            let said = std::fs::read_to_string(&said).unwrap_or_default();
            let ports = self.ports();
            println!("no ports of the program in {ports:?}; ended: {ended:?}; {printed}{said}");
            drop(running);
            assert!(self.restart(), "the JACK server does not come back");
        }
        panic!("drfm-live has no ports after three starts");
    }
}

fn wait(most: Duration, mut done: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < most {
        if done() {
            return true;
        }
        // Looking at the ports disturbs the server.
        std::thread::sleep(Duration::from_millis(200));
    }
    false
}

/// Presses Ctrl-C.
fn interrupt(running: &Running) {
    let pid = running.0.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status();
    assert!(sent.unwrap().success());
}

/// Ends a program as Ctrl-C does; what it printed, line by line.
fn stop(mut running: Running) -> Vec<Value> {
    interrupt(&running);
    let mut text = String::new();
    running
        .0
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(running.0.wait().unwrap().code(), Some(0), "{text}");
    text.lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

fn last(lines: &[Value], event: &str) -> Value {
    lines
        .iter()
        .rfind(|l| l["event"] == event)
        .unwrap_or_else(|| panic!("no {event}: {lines:?}"))
        .clone()
}

fn channel(path: &Path, c: usize) -> Vec<f32> {
    let (spec, samples) = read_wav(path);
    let every = usize::from(spec.channels);
    samples
        .iter()
        .skip(c)
        .step_by(every)
        .map(|x| *x as f32)
        .collect()
}

/// What the engine makes of a recording.
fn engine(mode: Mode, raw: &Path) -> Vec<Vec<f32>> {
    // As on the audio thread.
    let _flush = FlushDenormals::new();
    let model = DenoiserModel::from_bytes(embedded::bytes("general").unwrap()).unwrap();
    let mut channels = vec![channel(raw, 0), channel(raw, 1)];
    let mut stream = StreamDenoiser::new(
        model.chain(mode).unwrap(),
        RATE_HZ,
        2,
        NoiseSource::Adaptive,
    );
    let (left, right) = channels.split_at_mut(1);
    stream.process(&mut [&mut left[0], &mut right[0]]);
    channels
}

/// What came out of an attempt.
#[derive(Clone, Copy, PartialEq)]
enum Attempt {
    /// The engine's output, bit for bit.
    Exact,
    /// Something else, and the programs told that the machine was too busy to keep time.
    Busy,
    /// Something else, and nobody told. A server can leave a client out while others come and go; not every time.
    Different,
}

/// Plays a metronome through the program and hears with a second one what comes out.
fn through_jack(jack: &mut Jack, mode: Mode, seconds: f64) -> Attempt {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let a = jack.live(
        folder.path(),
        &format!(
            "--mode {} --record-raw raw.wav --record out.wav",
            mode.name()
        ),
    );
    let (a_in, a_out) = (
        format!("cpal_client_{}_in", a.0.id()),
        format!("cpal_client_{}_out", a.0.id()),
    );
    let r = jack.live(
        folder.path(),
        "--output none --mode instant --record-raw heard.wav --channels 1",
    );
    let r_in = format!("cpal_client_{}_in:in_0", r.0.id());
    jack.disconnect("system:capture_1", &r_in);
    for c in 1..=2 {
        jack.disconnect(
            &format!("system:capture_{c}"),
            &format!("{a_in}:in_{}", c - 1),
        );
        jack.disconnect(
            &format!("{a_out}:out_{}", c - 1),
            &format!("system:playback_{c}"),
        );
    }
    jack.connect(&format!("{a_out}:out_0"), &r_in);
    let metro = jack
        .command("jack_metro")
        .args(["-b", "200", "-n", "metro"])
        .stdout(Stdio::null())
        .spawn();
    let metro = Running(metro.unwrap());
    assert!(wait(Duration::from_secs(5), || jack
        .ports()
        .iter()
        .any(|p| p.starts_with("metro:"))));
    let click = jack
        .ports()
        .into_iter()
        .find(|p| p.starts_with("metro:"))
        .unwrap();
    jack.connect(&click, &format!("{a_in}:in_0"));
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let heard_lines = stop(r);
    let lines = stop(a);
    // Asked, not killed: a server waits for a client that does not say goodbye.
    interrupt(&metro);
    assert!(wait(Duration::from_secs(5), || !jack
        .ports()
        .iter()
        .any(|p| p.starts_with("metro:"))));
    let end = last(&lines, "stopped");
    println!("{} at {}: {end}", mode.name(), jack.frames);
    assert_eq!(end["output_buffer_frames"], u64::from(jack.frames));
    let busy = |v: &Value| {
        ["underruns", "drops", "xruns", "late_blocks"]
            .iter()
            .any(|k| v[*k] != 0)
    };
    let lost = |lines: &[Value]| lines.iter().any(|l| l["event"] == "lost");
    if lost(&lines) || lost(&heard_lines) {
        // The server left it out for more than a second; it began anew.
        return Attempt::Busy;
    }
    let told = busy(&end) || busy(&last(&heard_lines, "stopped"));
    let want = engine(mode, &path("raw.wav"));
    let recorded = channel(&path("out.wav"), 0);
    assert_eq!(recorded, want[0], "the recording is the engine's output");
    let same = stretch_in_common(&channel(&path("heard.wav"), 0), &want[0]);
    let enough = same as f64 > (seconds - 2.5) * f64::from(RATE_HZ);
    println!("{same} frames heard are the engine's, bit for bit");
    if enough {
        Attempt::Exact
    } else if told {
        Attempt::Busy
    } else {
        Attempt::Different
    }
}

/// The second program began to hear at some frame of the first. A loud stretch is looked for a second and a half after
/// the first sound, when no more ports are being connected; how many frames around it are equal.
fn stretch_in_common(heard: &[f32], want: &[f32]) -> usize {
    const LENGTH: usize = 400;
    let loud = |x: &&f32| x.abs() > 0.01;
    let Some(first) = heard.iter().position(|x| loud(&x)) else {
        return 0;
    };
    let settled = first + RATE_HZ as usize * 3 / 2;
    let Some(anchor) = heard
        .iter()
        .skip(settled)
        .position(|x| loud(&x))
        .map(|at| at + settled)
    else {
        return 0;
    };
    let Some(pattern) = heard.get(anchor..anchor + LENGTH) else {
        return 0;
    };
    let Some(at) = want.windows(LENGTH).position(|w| w == pattern) else {
        println!("what is heard at frame {anchor} is nowhere in the engine's output");
        return 0;
    };
    let after = heard[anchor..]
        .iter()
        .zip(&want[at..])
        .take_while(|(a, b)| a == b)
        .count();
    let before = heard[..anchor]
        .iter()
        .rev()
        .zip(want[..at].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    println!(
        "heard: first sound at {first}, equal from {} to {} of {}",
        anchor - before,
        anchor + after,
        heard.len()
    );
    before + after
}

/// Every mode and buffer once; on a busy machine up to four times, each with a new server.
fn bit_exact(frames: u32, seconds: f64) {
    for mode in [Mode::Live, Mode::Instant] {
        let mut attempts = Vec::new();
        while attempts.len() < 4 && !attempts.contains(&Attempt::Exact) {
            let Some(mut jack) = Jack::start(&format!("exact{frames}"), frames) else {
                return;
            };
            attempts.push(through_jack(&mut jack, mode, seconds));
        }
        if attempts.contains(&Attempt::Exact) {
            continue;
        }
        assert!(
            !attempts.contains(&Attempt::Different),
            "{} at {frames} frames is not the engine's output",
            mode.name()
        );
        println!(
            "skipped: {} at {frames} frames: this machine is too busy to keep time",
            mode.name()
        );
    }
}

#[test]
fn bit_exact_at_64() {
    bit_exact(64, 4.0);
}

#[test]
fn bit_exact_at_128() {
    bit_exact(128, 4.0);
}

/// The long run: `DRFM_LIVE_SECONDS=600` for the ten minutes that are asked for.
#[test]
fn bit_exact_at_256() {
    let seconds = std::env::var("DRFM_LIVE_SECONDS")
        .ok()
        .map_or(10.0, |s| s.parse().expect("DRFM_LIVE_SECONDS is a number"));
    bit_exact(256, seconds);
}

#[test]
fn bit_exact_at_512() {
    bit_exact(512, 4.0);
}

/// What `--measure-latency` prints when its ports are connected to each other.
fn round_trip(mode: &str) -> Option<Option<Value>> {
    let mut jack = Jack::start("latency", 256)?;
    let folder = tempfile::tempdir().unwrap();
    let mut live = jack.live(folder.path(), &format!("--mode {mode} --measure-latency"));
    let (from, to) = (
        format!("cpal_client_{}_out:out_0", live.0.id()),
        format!("cpal_client_{}_in:in_0", live.0.id()),
    );
    assert!(wait(Duration::from_secs(5), || jack
        .ports()
        .contains(&from)));
    for c in 1..=2 {
        let end = |port: &str| format!("{}{}", &port[..port.len() - 1], c - 1);
        jack.disconnect(&format!("system:capture_{c}"), &end(&to));
        jack.disconnect(&end(&from), &format!("system:playback_{c}"));
    }
    jack.connect(&from, &to);
    let mut text = String::new();
    live.0
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    let done = live.0.wait().unwrap().success();
    println!("{text}");
    let lines: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    Some(done.then(|| last(&lines, "round_trip")))
}

#[test]
fn latency_is_measured_and_printed() {
    for mode in ["live", "instant"] {
        // On a busy machine sound is lost, and the probe with it.
        let mut found = None;
        for _ in 0..3 {
            let Some(answer) = round_trip(mode) else {
                return;
            };
            found = answer;
            if found.is_some() {
                break;
            }
        }
        let found = found.expect("the probe was heard");
        let block_ms = 256.0 / 48.0;
        let measured = found["ms"].as_f64().unwrap();
        let engine = found["engine_ms"].as_f64().unwrap();
        assert!(measured <= engine + 2.0 * block_ms + 0.01, "{found}");
        let printed = found["estimated_ms"].as_f64().unwrap();
        assert!((printed - measured).abs() <= block_ms, "{found}");
    }
}

#[test]
fn a_server_that_dies_is_waited_for() {
    let Some(mut jack) = Jack::start("dies", 256) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let live = jack.live(folder.path(), "--record out.wav");
    std::thread::sleep(Duration::from_secs(2));
    // Killed, not asked.
    jack.server = None;
    std::thread::sleep(Duration::from_secs(2));
    assert!(jack.restart());
    let back = Instant::now();
    let port = format!("cpal_client_{}_in:in_0", live.0.id());
    assert!(wait(Duration::from_secs(10), || jack
        .ports()
        .contains(&port)));
    assert!(
        back.elapsed() < Duration::from_secs(3),
        "{:?}",
        back.elapsed()
    );
    std::thread::sleep(Duration::from_secs(2));
    let lines = stop(live);
    let gap = last(&lines, "gap");
    let seconds = gap["seconds"].as_f64().unwrap();
    println!(
        "{} {} {gap}",
        last(&lines, "lost"),
        last(&lines, "back")["after_seconds"]
    );
    assert!((1.5..8.0).contains(&seconds), "{gap}");
    let (spec, samples) = read_wav(&folder.path().join("out.wav"));
    let recorded = samples.len() as f64 / f64::from(spec.channels) / f64::from(spec.sample_rate);
    let total = last(&lines, "stopped")["seconds"].as_f64().unwrap();
    assert!((recorded - total).abs() < 1.0, "{recorded} of {total} s");
    assert!(samples.iter().all(|x| x.is_finite() && x.abs() < 1.0));
}

#[test]
fn a_killed_program_leaves_a_readable_recording() {
    let Some(mut jack) = Jack::start("killed", 256) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut live = jack.live(folder.path(), "--record out.wav");
    std::thread::sleep(Duration::from_secs(4));
    live.0.kill().unwrap();
    live.0.wait().unwrap();
    let (spec, samples) = read_wav(&folder.path().join("out.wav"));
    let seconds = samples.len() as f64 / f64::from(spec.channels) / f64::from(spec.sample_rate);
    assert!(seconds > 1.5, "{seconds}");
}
