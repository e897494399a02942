//! A running program: opens the sound card, watches it, opens it again when it was gone, and keeps account.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use drfm_engine::audio::denoiser::{FULL_AMOUNT_DB, Output};

use super::bridge::{BridgeSetup, bridge};
use super::choice::Choice;
use super::complaints::{Complaints, Kind, Teller};
use super::host::{Host, HostError, Plan, Running, Wanted};
use super::link::{Action, Link, Reason};
use super::listener::{Listener, Told, View};
use super::probe::Probe;
use super::processor::Processor;
use super::recorder::Recorder;
use super::shared::{Noise, Shared};
use super::sides::{InputSide, OutputSide};
use super::status::{Event, Status, count};
use crate::failure::Failure;

/// A request of the player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Bypass on or off.
    Bypass,
    /// Residual on or off.
    Residual,
    /// Begin or end learning the noise.
    Learn,
    /// Track the noise again.
    Forget,
    /// More or less is taken away, by so many dB.
    Amount(i8),
    /// The next mode.
    Mode,
    /// The next model.
    Model,
    /// Begin or end a recording.
    Record,
    /// The end.
    Quit,
}

/// Where the program shows itself.
pub trait Face {
    /// Something happened.
    fn event(&mut self, event: &Event);
    /// How things are; called many times a second.
    fn show(&mut self, status: &Status, view: &View, shared: &Shared);
    /// What the player asks for.
    fn keys(&mut self) -> Vec<Key>;
}

/// How a session begins.
pub struct Beginning {
    /// Which devices.
    pub wanted: Wanted,
    /// Which model.
    pub choice: Choice,
    /// Seconds of noise to learn at the start.
    pub learn_seconds: Option<f64>,
    /// Where to record what is played.
    pub record: Option<PathBuf>,
    /// Where to record the input.
    pub record_raw: Option<PathBuf>,
}

/// How often the session looks around.
pub const TICK: Duration = Duration::from_millis(20);
/// How long streams may take to be closed before they are left alone.
const CLOSING: Duration = Duration::from_secs(2);
/// Time over which shares and latencies are averaged, in seconds.
const AVERAGED_SECONDS: f64 = 1.0;

/// See the module.
pub struct Session {
    host: Box<dyn Host>,
    wanted: Wanted,
    choice: Choice,
    shared: Arc<Shared>,
    complaints: Arc<Complaints>,
    teller: Teller,
    listener: Listener,
    link: Link,
    plan: Plan,
    running: Option<Box<dyn Running>>,
    started: Instant,
    learn_until: Option<f64>,
    was_learning: bool,
    record: Option<PathBuf>,
    measured: Measured,
    input_db: [f32; 2],
    output_db: [f32; 2],
    /// Recordings that ended early, for the exit code.
    trouble: Vec<String>,
    /// Callbacks of a stream that was closed.
    wrapped: u32,
}

/// Shares and latencies, averaged.
struct Measured {
    at: Instant,
    cpu: ProcessTime,
    busy_ns: u64,
    cpu_share: f64,
    load: f64,
    path_ns: f64,
}

fn of_host(e: HostError) -> Failure {
    match e {
        HostError::Usage(text) => Failure::Usage(text),
        HostError::Failed(text) => Failure::Failed(text),
    }
}

impl Session {
    /// Opens the sound card.
    ///
    /// # Errors
    /// A sentence that says what is missing and what to do.
    pub fn open(
        mut host: Box<dyn Host>,
        beginning: Beginning,
        shared: Arc<Shared>,
        probe: impl FnOnce(u32) -> Option<Probe>,
    ) -> Result<Self, Failure> {
        let plan = host.plan(&beginning.wanted).map_err(of_host)?;
        let recorder = |path: &Option<PathBuf>| match path {
            None => Ok(None),
            Some(path) => Recorder::create(path, plan.input.rate_hz, plan.channels)
                .map(Some)
                .map_err(Failure::Failed),
        };
        let raw = recorder(&beginning.record_raw)?;
        let clean = recorder(&beginning.record)?;
        let fresh: Vec<PathBuf> = [&beginning.record_raw, &beginning.record]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let listener = Listener::start(raw, clean).map_err(Failure::of)?;
        let started = Instant::now();
        let complaints = Arc::new(Complaints::default());
        let output_hz = plan.output.as_ref().map(|o| o.rate_hz);
        let probe = output_hz.and_then(probe);
        let opened = open_streams(
            &mut *host,
            &plan,
            &beginning.choice,
            &shared,
            &listener,
            &complaints,
            probe,
        );
        let running = match opened {
            Ok(running) => running,
            Err(e) => {
                // Nothing was recorded: no file is left behind.
                drop(listener.finish());
                for path in fresh {
                    let _ = std::fs::remove_file(path);
                }
                return Err(e);
            }
        };
        if beginning.learn_seconds.is_some() {
            shared.set_learn(true);
        }
        Ok(Self {
            host,
            wanted: beginning.wanted,
            choice: beginning.choice,
            complaints,
            teller: Teller::default(),
            listener,
            link: Link::open(Duration::ZERO, (0, 0)),
            plan,
            running: Some(running),
            started,
            was_learning: beginning.learn_seconds.is_some(),
            learn_until: beginning.learn_seconds,
            record: beginning.record,
            measured: Measured {
                at: started,
                cpu: ProcessTime::now(),
                busy_ns: 0,
                cpu_share: 0.0,
                load: 0.0,
                path_ns: 0.0,
            },
            input_db: [-99.0; 2],
            output_db: [-99.0; 2],
            trouble: Vec::new(),
            wrapped: 0,
            shared,
        })
    }

    /// What is open.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Seconds since the start.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Tells how it begins, with the warnings that belong there.
    pub fn greet(&self, face: &mut dyn Face) {
        face.event(&Event::Started(Box::new(self.plan.clone())));
        if let Some(output) = &self.plan.output
            && output.is_built_in
            && self.plan.input.is_built_in
        {
            face.event(&Event::Warning(
                "the built-in microphone hears the built-in loudspeaker, which can howl: wear headphones, or use --output none".into(),
            ));
        }
        let granted = self.buffers();
        let differs = |granted: u64| {
            self.wanted
                .buffer_frames
                .is_some_and(|w| granted != 0 && granted != u64::from(w))
        };
        if differs(granted.0) || differs(granted.1) {
            face.event(&Event::Warning(format!(
                "{} gives callbacks of {} and {} frames instead of {}: the size is set there",
                self.plan.host,
                granted.0,
                granted.1,
                self.wanted.buffer_frames.unwrap_or(0),
            )));
        }
        if let Some(path) = &self.record {
            face.event(&Event::Recording(path.clone()));
        }
    }

    /// Looks around once. False when the player wants to stop.
    pub fn tick(&mut self, face: &mut dyn Face) -> bool {
        self.watch(face);
        while self.shared.retired.pop().is_some() {}
        self.follow_learning(face);
        while let Some(told) = self.listener.told() {
            let event = match told {
                Told::Gap { seconds, recorded } => Event::Gap(seconds, recorded),
                Told::RecordingEnded(why) => {
                    self.trouble.push(why.clone());
                    Event::RecordingEnded(why)
                }
            };
            face.event(&event);
        }
        for (kind, words, count) in self.teller.tell(&self.complaints, self.started.elapsed()) {
            if !kind.ends_streams() {
                face.event(&Event::Complaint {
                    kind: kind.name(),
                    words,
                    count,
                });
            }
        }
        for key in face.keys() {
            if key == Key::Quit {
                return false;
            }
            self.obey(key, face);
        }
        self.measure();
        true
    }

    fn watch(&mut self, face: &mut dyn Face) {
        let now = self.started.elapsed();
        let counters = &self.shared.counters;
        let input = count(&counters.input_blocks);
        let output = if self.plan.output.is_some() {
            count(&counters.output_blocks)
        } else {
            input
        };
        let gone = self.complaints.count(Kind::Gone) + self.complaints.count(Kind::FormatChanged);
        let told = gone > u64::from(self.wrapped);
        self.wrapped = u32::try_from(gone).unwrap_or(u32::MAX);
        match self.link.step(now, told, (input, output)) {
            Action::Wait => {}
            Action::Close(reason) => {
                let why = match reason {
                    Reason::Told => self.last_words(),
                    Reason::Stalled => "it has stopped sending or taking sound".into(),
                };
                face.event(&Event::Lost(why));
                self.close();
            }
            Action::Open => {
                let away = self.link.closed_for(now).unwrap_or_default();
                if self.reopen() {
                    let now = self.started.elapsed();
                    let counters = &self.shared.counters;
                    let seen = (
                        count(&counters.input_blocks),
                        count(&counters.output_blocks),
                    );
                    self.link.opened(now, seen);
                    face.event(&Event::Back(
                        away.as_secs_f64(),
                        Box::new(self.plan.clone()),
                    ));
                }
            }
        }
    }

    /// What the sound card said when it went.
    fn last_words(&mut self) -> String {
        let mut words = String::from("it says no more");
        for (kind, said, _) in self.teller.tell(&self.complaints, self.started.elapsed()) {
            if kind.ends_streams() {
                words = said;
            }
        }
        for kind in Kind::ALL {
            if kind.ends_streams() {
                self.complaints.listen_again(kind);
            }
        }
        words
    }

    /// Closes the streams; a library that hangs in it is left to itself.
    fn close(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        let (done, wait) = channel::<()>();
        let closing = std::thread::Builder::new()
            .name("drfm-closing".into())
            .spawn(move || {
                drop(running);
                drop(done);
            });
        if closing.is_ok() {
            let _ = wait.recv_timeout(CLOSING);
        }
    }

    fn reopen(&mut self) -> bool {
        let Ok(plan) = self.host.plan(&self.wanted) else {
            return false;
        };
        let opened = open_streams(
            &mut *self.host,
            &plan,
            &self.choice,
            &self.shared,
            &self.listener,
            &self.complaints,
            None,
        );
        let Ok(running) = opened else {
            return false;
        };
        self.plan = plan;
        self.running = Some(running);
        let gone = self.complaints.count(Kind::Gone) + self.complaints.count(Kind::FormatChanged);
        self.wrapped = u32::try_from(gone).unwrap_or(u32::MAX);
        true
    }

    fn follow_learning(&mut self, face: &mut dyn Face) {
        let learned = self.learn_seconds();
        if let Some(seconds) = self.learn_until
            && learned >= seconds
        {
            self.shared.set_learn(false);
            self.learn_until = None;
        }
        let noise = self.shared.noise();
        if self.was_learning && !self.shared.learn() && noise != Noise::Learning {
            self.was_learning = false;
            face.event(if noise == Noise::Learned {
                &Event::Learned
            } else {
                &Event::NotLearned
            });
        }
    }

    fn learn_seconds(&self) -> f64 {
        self.shared.learn_frames() as f64 / f64::from(self.plan.input.rate_hz.max(1))
    }

    fn obey(&mut self, key: Key, face: &mut dyn Face) {
        let toggle = |output| {
            let now = self.shared.output();
            self.shared.set_output(if now == output {
                Output::Denoised
            } else {
                output
            });
        };
        match key {
            Key::Bypass => toggle(Output::Bypass),
            Key::Residual => toggle(Output::Removed),
            Key::Learn => {
                let on = !self.shared.learn();
                self.learn_until = None;
                self.was_learning = true;
                self.shared.set_learn(on);
            }
            Key::Forget => {
                self.shared.set_learn(false);
                self.was_learning = false;
                self.learn_until = None;
                self.shared.forget_noise();
            }
            Key::Amount(step) => {
                // From "wholly" the first step goes to where it begins to be heard.
                let now = self.shared.amount_db();
                let now = if now >= FULL_AMOUNT_DB { 42.0 } else { now };
                let next = (now + f32::from(step)).max(0.0);
                self.shared
                    .set_amount_db(if next > 40.0 { FULL_AMOUNT_DB } else { next });
            }
            Key::Mode => {
                self.choice.next_mode();
                self.exchange(face);
            }
            Key::Model => match self.choice.next_model() {
                Ok(()) => self.exchange(face),
                Err(e) => face.event(&Event::Warning(e.to_string())),
            },
            Key::Record => self.toggle_recording(face),
            Key::Quit => {}
        }
    }

    /// Sends the chosen model to the audio thread.
    fn exchange(&self, face: &mut dyn Face) {
        match self
            .choice
            .stream(self.plan.input.rate_hz, self.plan.channels)
        {
            Ok(stream) => drop(self.shared.deliveries.force_push(stream)),
            Err(e) => face.event(&Event::Warning(e.to_string())),
        }
    }

    fn toggle_recording(&mut self, face: &mut dyn Face) {
        if let Some((path, _)) = self.listener.view().recording
            && self.record.take().is_some()
        {
            self.listener.record(None);
            face.event(&Event::Recorded(path));
            return;
        }
        let path = (1..10_000)
            .map(|i| PathBuf::from(format!("drfm-live-{i:03}.wav")))
            .find(|p| !p.exists())
            .unwrap_or_else(|| PathBuf::from("drfm-live.wav"));
        match Recorder::create(&path, self.plan.input.rate_hz, self.plan.channels) {
            Ok(recorder) => {
                self.listener.record(Some(recorder));
                self.record = Some(path.clone());
                face.event(&Event::Recording(path));
            }
            Err(e) => face.event(&Event::Warning(e)),
        }
    }

    fn measure(&mut self) {
        let elapsed = self.measured.at.elapsed().as_secs_f64();
        let fall = |shown: f32, peak: f32| {
            let db = 20.0 * peak.max(1e-6).log10();
            db.max(shown - 20.0 * TICK.as_secs_f32())
        };
        let peaks = (
            self.shared.meters.input.take(),
            self.shared.meters.output.take(),
        );
        for c in 0..2 {
            self.input_db[c] = fall(self.input_db[c], peaks.0[c]);
            self.output_db[c] = fall(self.output_db[c], peaks.1[c]);
        }
        let path_ns = self.shared.path_latency_ns.load(Ordering::Relaxed) as f64;
        let share = (TICK.as_secs_f64() / AVERAGED_SECONDS).min(1.0);
        if self.measured.path_ns == 0.0 {
            self.measured.path_ns = path_ns;
        }
        self.measured.path_ns += share * (path_ns - self.measured.path_ns);
        if elapsed < AVERAGED_SECONDS {
            return;
        }
        let busy_ns = count(&self.shared.counters.busy_ns);
        self.measured.cpu_share = self.measured.cpu.elapsed().as_secs_f64() / elapsed;
        self.measured.load = (busy_ns - self.measured.busy_ns) as f64 * 1e-9 / elapsed;
        self.measured.at = Instant::now();
        self.measured.cpu = ProcessTime::now();
        self.measured.busy_ns = busy_ns;
    }

    fn buffers(&self) -> (u64, u64) {
        let seen = [0, 1].map(|i| self.shared.blocks.get(i).map_or(0, count));
        let granted = self
            .running
            .as_ref()
            .map_or((None, None), |r| r.buffer_frames());
        (
            granted.0.map_or(seen[0], u64::from),
            granted.1.map_or(seen[1], u64::from),
        )
    }

    /// A snapshot.
    #[must_use]
    pub fn status(&self, view: &View) -> Status {
        let counters = &self.shared.counters;
        let engine_ms = self.shared.engine_latency.load(Ordering::Relaxed) as f64 * 1e3
            / f64::from(self.plan.input.rate_hz.max(1));
        let path_ms = self.measured.path_ns * 1e-6;
        let drift = self.shared.correction_ppb.load(Ordering::Relaxed) as i64;
        let power = |levels: &[f32]| -> f32 {
            let powers = levels.iter().map(|db| 10f32.powf(0.1 * db));
            powers.sum::<f32>() + 1e-12
        };
        Status {
            seconds: self.seconds(),
            away_seconds: self
                .link
                .closed_for(self.started.elapsed())
                .map(|d| d.as_secs_f64()),
            plan: self.plan.clone(),
            buffer_frames: self.buffers(),
            input_db: self.input_db,
            output_db: self.output_db,
            reduction_db: 10.0 * (power(&view.input_db) / power(&view.output_db)).log10(),
            cpu: self.measured.cpu_share,
            load: self.measured.load,
            engine_ms,
            total_ms: (path_ms > 0.0).then_some(engine_ms + path_ms),
            underruns: count(&counters.underruns),
            silent_frames: count(&counters.silent_frames),
            drops: count(&counters.drops),
            dropped_frames: count(&counters.dropped_frames),
            late: count(&counters.late_blocks),
            xruns: self.complaints.count(Kind::Xrun),
            clipped: count(&counters.clipped),
            unrecorded_frames: count(&counters.unrecorded_frames),
            waiting_frames: self.shared.waiting_frames.load(Ordering::Relaxed),
            drift_ppm: drift as f64 * 1e-3,
            noise: self.shared.noise(),
            learn_seconds: self.learn_seconds(),
            amount_db: self.shared.amount_db(),
            output: self.shared.output(),
            mode: self.choice.mode(),
            model: self.choice.name(),
            recording: view.recording.clone(),
        }
    }

    /// What the listener sees.
    #[must_use]
    pub fn view(&self) -> View {
        self.listener.view()
    }

    /// What the threads share.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Stops the sound, completes the recordings and tells; true if everything that was to be recorded was.
    pub fn finish(mut self, face: &mut dyn Face) -> bool {
        let status = self.status(&self.view());
        self.close();
        let endings = self.listener.finish();
        if endings.is_empty()
            && let Some((path, _)) = &status.recording
        {
            face.event(&Event::Recorded(path.clone()));
        }
        for why in &endings {
            face.event(&Event::RecordingEnded(why.clone()));
        }
        face.event(&Event::Stopped(Box::new(status)));
        self.trouble.is_empty() && endings.is_empty()
    }
}

fn open_streams(
    host: &mut dyn Host,
    plan: &Plan,
    choice: &Choice,
    shared: &Arc<Shared>,
    listener: &Listener,
    complaints: &Arc<Complaints>,
    probe: Option<Probe>,
) -> Result<Box<dyn Running>, Failure> {
    let rate_hz = plan.input.rate_hz;
    let stream = choice.stream(rate_hz, plan.channels)?;
    // What was meant for the streams before does not fit any more.
    while shared.deliveries.pop().is_some() {}
    let processor = Processor::new(Arc::clone(shared), stream);
    let bridged = match &plan.output {
        None => None,
        Some(output) => {
            let setup = BridgeSetup {
                channels: plan.channels,
                input_hz: rate_hz,
                output_hz: output.rate_hz,
                one_clock: plan.one_clock,
            };
            Some((output, bridge(setup).map_err(|e| {
                Failure::Failed(format!(
                    "{rate_hz} Hz and {} Hz cannot be joined ({e}): choose devices with more usual rates",
                    output.rate_hz
                ))
            })?))
        }
    };
    let (to_bridge, output) = match bridged {
        None => (None, None),
        Some((end, (input, output))) => {
            let channels = (plan.channels, end.channels);
            let mut side = OutputSide::new(Arc::clone(shared), output, channels, end.rate_hz);
            if let Some(probe) = probe {
                side = side.with_probe(probe);
            }
            (Some(input), Some(side))
        }
    };
    let input = InputSide::new(
        Arc::clone(shared),
        processor,
        to_bridge,
        listener.taps(rate_hz, plan.channels),
        (plan.channels, plan.input.channels),
        rate_hz,
    );
    host.start(plan, input, output, complaints).map_err(of_host)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
