//! `drfm-live`: the microphone, cleaned while you play.
//!
//! The sound card calls [`sides`]; the input's side denoises ([`processor`]) and hands the sound to the output's side
//! through a [`bridge`], and copies of it to a [`listener`] for recordings and spectra. A [`session`] on the main thread
//! watches all that, opens the card anew when it was gone ([`link`]), and talks to a face: [`screen`] or [`lines`]. Sound
//! cards hide behind [`host`], so that all of this is tested without one.

pub mod bridge;
pub mod choice;
pub mod complaints;
pub mod cpal_host;
pub mod edges;
pub mod host;
pub mod lines;
pub mod link;
pub mod listener;
pub mod options;
mod passing;
pub mod priority;
pub mod probe;
pub mod processor;
pub mod quiet;
pub mod recorder;
mod resampling;
pub mod screen;
pub mod session;
pub mod shared;
pub mod sides;
pub mod status;
pub mod steering;
pub mod timing;
pub mod wav_file;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser as _;
use drfm_engine::audio::denoiser::Output;

use self::choice::Choice;
use self::cpal_host::CpalHost;
use self::host::HostError;
use self::lines::Lines;
use self::options::Options;
use self::screen::Screen;
use self::session::{Beginning, Face, Session, TICK};
use self::shared::Shared;
use crate::failure::Failure;
use crate::{interrupt, report};

/// Runs the program with the arguments of the process.
#[must_use]
pub fn run() -> ExitCode {
    let options = Options::parse();
    interrupt::listen();
    match live(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

fn of_host(e: HostError) -> Failure {
    match e {
        HostError::Usage(text) => Failure::Usage(text),
        HostError::Failed(text) => Failure::Failed(text),
    }
}

fn live(options: &Options) -> Result<(), Failure> {
    let host = CpalHost::new(options.host.as_deref()).map_err(of_host)?;
    if options.list {
        return report::print(&host.list());
    }
    check(options)?;
    let shared = Arc::new(Shared::default());
    if let Some(amount_db) = options.amount_db {
        shared.set_amount_db(amount_db);
    }
    if options.residual {
        shared.set_output(Output::Removed);
    } else if options.bypass || options.measure_latency {
        shared.set_output(Output::Bypass);
    }
    let beginning = Beginning {
        wanted: options.wanted(),
        choice: Choice::new(&options.model, options.mode)?.unlinked(options.unlinked),
        learn_seconds: options.learn,
        record: options.record.clone(),
        record_raw: options.record_raw.clone(),
    };
    if options.measure_latency {
        return measure_latency(options, Box::new(host), beginning, shared);
    }
    let session = Session::open(Box::new(host), beginning, shared, |_| None)?;
    let mut face = face(options);
    run_session(session, &mut *face, options.duration)
}

fn check(options: &Options) -> Result<(), Failure> {
    if options.record.is_some() && options.record == options.record_raw {
        return Err(Failure::Usage(
            "--record and --record-raw need files of their own".into(),
        ));
    }
    if options.measure_latency && options.output.as_deref() == Some("none") {
        return Err(Failure::Usage(
            "--measure-latency needs an output to play on: leave out --output none".into(),
        ));
    }
    Ok(())
}

fn face(options: &Options) -> Box<dyn Face> {
    let lines = options.json || options.no_tui;
    if lines {
        return Box::new(Lines::new(options.json));
    }
    if !std::io::stdout().is_terminal() {
        report::warn("this is no terminal: lines of text instead of the screen (as with --no-tui)");
        return Box::new(Lines::new(false));
    }
    match Screen::new() {
        Ok(screen) => Box::new(screen),
        Err(e) => {
            report::warn(&format!(
                "the screen cannot be drawn on this terminal ({e}): lines of text instead"
            ));
            Box::new(Lines::new(false))
        }
    }
}

fn run_session(
    mut session: Session,
    face: &mut dyn Face,
    duration: Option<f64>,
) -> Result<(), Failure> {
    session.greet(face);
    loop {
        let due = duration.is_some_and(|d| session.seconds() >= d);
        if due || interrupt::check().is_err() || !session.tick(face) {
            break;
        }
        let view = session.view();
        face.show(&session.status(&view), &view, session.shared());
        std::thread::sleep(TICK);
    }
    if session.finish(face) {
        Ok(())
    } else {
        Err(Failure::Told)
    }
}

/// Measurements that differ by fewer frames agree.
const AGREEING: usize = 64;
/// So many attempts to hear the probe.
const ATTEMPTS: usize = 10;

fn measure_latency(
    options: &Options,
    host: Box<dyn host::Host>,
    beginning: Beginning,
    shared: Arc<Shared>,
) -> Result<(), Failure> {
    let mut heard = None;
    let mut session = Session::open(host, beginning, shared, |rate_hz| {
        let (probe, other_end) = probe::probe(rate_hz);
        heard = Some(other_end);
        Some(probe)
    })?;
    let Some(mut heard) = heard else {
        return Err(Failure::Failed("there is no output to play on".into()));
    };
    let mut face = Lines::new(options.json);
    session.greet(&mut face);
    let rate_hz = session.plan().output.as_ref().map_or(1, |o| o.rate_hz);
    let (mut attempts, started) = (0, Instant::now());
    let mut found: Vec<usize> = Vec::new();
    // The second of two that agree counts: the first may have begun before the cable was in.
    while attempts < ATTEMPTS && interrupt::check().is_ok() {
        session.tick(&mut face);
        if let Some(delay) = heard.listen() {
            attempts += 1;
            match delay {
                // With clocks of their own, input and output drift by some frames.
                Some(delay) if found.last().is_some_and(|f| f.abs_diff(delay) < AGREEING) => {
                    found.push(delay);
                    break;
                }
                Some(delay) => found.push(delay),
                None => {}
            }
        }
        let patience = Duration::from_secs_f64(probe::PERIOD_SECONDS * (ATTEMPTS + 2) as f64);
        if started.elapsed() > patience {
            break;
        }
        std::thread::sleep(TICK);
    }
    let status = session.status(&session.view());
    let told = match found.last() {
        None => Err(Failure::Failed(
            "the probe was not heard on the input: connect output and input with a cable (or, with JACK, jack_connect), turn the gain up, and try again".into(),
        )),
        Some(delay) => {
            let ms = *delay as f64 * 1e3 / f64::from(rate_hz);
            let rest = ms - status.engine_ms;
            if options.json {
                report::print_json(&serde_json::json!({
                    "event": "round_trip",
                    "frames": delay,
                    "ms": ms,
                    "engine_ms": status.engine_ms,
                    "estimated_ms": status.total_ms,
                    "output_buffer_frames": status.buffer_frames.1,
                    "rate_hz": rate_hz,
                }))
            } else {
                let estimate = status
                    .total_ms
                    .map_or(String::new(), |t| format!("; estimated without a cable: {t:.2} ms"));
                report::print(&format!(
                    "round trip {ms:.2} ms ({delay} frames at {rate_hz} Hz): denoiser ({}) {:.2} ms, sound card and buffers {rest:.2} ms{estimate}\n",
                    status.mode.name(),
                    status.engine_ms,
                ))
            }
        }
    };
    drop(session);
    told
}

/// Ends the tests if an audio thread allocates.
#[cfg(test)]
#[global_allocator]
static GUARD: assert_no_alloc::AllocDisabler = assert_no_alloc::AllocDisabler;
