//! What there is to be shown: a snapshot of the running program, and things that happen.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use drfm_engine::audio::denoiser::{FULL_AMOUNT_DB, Output};
use drfm_engine::audio::model::Mode;
use serde_json::{Value, json};

use super::host::Plan;
use super::shared::Noise;

/// A snapshot.
#[derive(Clone, Debug)]
pub struct Status {
    /// Seconds since the start.
    pub seconds: f64,
    /// For how many seconds the sound card has been away, if it is.
    pub away_seconds: Option<f64>,
    /// What is open, or was.
    pub plan: Plan,
    /// Frames a callback of input and output: as granted, or the largest that were seen.
    pub buffer_frames: (u64, u64),
    /// Peaks of the input in dB, per channel.
    pub input_db: [f32; 2],
    /// Peaks of the output in dB.
    pub output_db: [f32; 2],
    /// How much quieter the output is than the input, in dB.
    pub reduction_db: f32,
    /// Share of one core that the program takes, 1 is all of it.
    pub cpu: f64,
    /// Share of the time that is spent in callbacks.
    pub load: f64,
    /// Latency of the denoiser in ms.
    pub engine_ms: f64,
    /// From the microphone to the loudspeaker in ms, if known.
    pub total_ms: Option<f64>,
    /// Times that the output ran dry.
    pub underruns: u64,
    /// Frames of silence because of that.
    pub silent_frames: u64,
    /// Times that sound was dropped.
    pub drops: u64,
    /// Frames dropped.
    pub dropped_frames: u64,
    /// Blocks that took longer to compute than to play.
    pub late: u64,
    /// Complaints of the sound card about lateness.
    pub xruns: u64,
    /// Samples beyond full scale.
    pub clipped: u64,
    /// Frames that the recording lacks.
    pub unrecorded_frames: u64,
    /// Frames that wait between input and output.
    pub waiting_frames: u64,
    /// How far the clocks differ, in parts per million.
    pub drift_ppm: f64,
    /// Where the noise is known from.
    pub noise: Noise,
    /// Seconds learned so far, while learning.
    pub learn_seconds: f64,
    /// How far the noise is taken down.
    pub amount_db: f32,
    /// What is heard.
    pub output: Output,
    /// The mode.
    pub mode: Mode,
    /// The model.
    pub model: String,
    /// What is being recorded, and its length in seconds.
    pub recording: Option<(PathBuf, f64)>,
}

/// Loads a counter.
#[must_use]
pub fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn tenths(x: f64) -> Value {
    json!((x * 10.0).round() / 10.0)
}

fn output_name(output: Output) -> &'static str {
    match output {
        Output::Denoised => "cleaned",
        Output::Removed => "residual",
        Output::Bypass => "bypass",
    }
}

impl Status {
    /// What is heard, in a word.
    #[must_use]
    pub fn output_name(&self) -> &'static str {
        output_name(self.output)
    }

    /// The amount in words.
    #[must_use]
    pub fn amount(&self) -> String {
        if self.amount_db >= FULL_AMOUNT_DB {
            "full".into()
        } else {
            format!("{:.0} dB", self.amount_db)
        }
    }

    /// The noise in words.
    #[must_use]
    pub fn noise_words(&self) -> String {
        if self.noise == Noise::Learning {
            format!("learning {:.1} s", self.learn_seconds)
        } else {
            self.noise.name().into()
        }
    }

    /// As a line of JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let db = |x: [f32; 2]| json!(x.map(|x| (f64::from(x) * 10.0).round() / 10.0));
        json!({
            "event": "status",
            "seconds": tenths(self.seconds),
            "running": self.away_seconds.is_none(),
            "input_peak_db": db(self.input_db),
            "output_peak_db": db(self.output_db),
            "reduction_db": tenths(self.reduction_db.into()),
            "cpu_share": (self.cpu * 1000.0).round() / 1000.0,
            "callback_share": (self.load * 1000.0).round() / 1000.0,
            "engine_latency_ms": (self.engine_ms * 100.0).round() / 100.0,
            "latency_ms": self.total_ms.map(|x| (x * 100.0).round() / 100.0),
            "input_buffer_frames": self.buffer_frames.0,
            "output_buffer_frames": self.buffer_frames.1,
            "underruns": self.underruns,
            "silent_frames": self.silent_frames,
            "drops": self.drops,
            "dropped_frames": self.dropped_frames,
            "late_blocks": self.late,
            "xruns": self.xruns,
            "clipped_samples": self.clipped,
            "unrecorded_frames": self.unrecorded_frames,
            "waiting_frames": self.waiting_frames,
            "drift_ppm": tenths(self.drift_ppm),
            "noise": self.noise.name(),
            "amount_db": f64::from(self.amount_db),
            "output": self.output_name(),
            "mode": self.mode.name(),
            "model": self.model,
            "recording": self.recording.as_ref().map(|(p, _)| p.display().to_string()),
            "recorded_seconds": self.recording.as_ref().map(|(_, s)| tenths(*s)),
        })
    }

    /// As a line of text.
    #[must_use]
    pub fn line(&self) -> String {
        let time = crate::report::duration(self.seconds);
        if let Some(away) = self.away_seconds {
            return format!("{time}  waiting for the sound card for {away:.0} s");
        }
        let top = |x: [f32; 2]| x[0].max(x[1]).max(-99.0);
        let latency = self.total_ms.map_or_else(
            || format!("{:.1} ms + card", self.engine_ms),
            |x| format!("{x:.1} ms"),
        );
        let mut line = format!(
            "{time}  in {:6.1} dB  out {:6.1} dB  reduced {:4.1} dB  latency {latency}  cpu {:4.1} %  gaps {}  dropped {}  late {}  {} {} {}",
            top(self.input_db),
            top(self.output_db),
            self.reduction_db,
            100.0 * self.cpu,
            self.underruns,
            self.drops,
            self.late,
            self.model,
            self.mode.name(),
            self.output_name(),
        );
        if let Some((_, seconds)) = &self.recording {
            line.push_str(&format!("  rec {}", crate::report::duration(*seconds)));
        }
        line
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The sound runs.
    Started(Box<Plan>),
    /// Something to be careful about.
    Warning(String),
    /// The sound card complained, so many times since the last time.
    Complaint {
        /// The kind.
        kind: &'static str,
        /// Its words.
        words: String,
        /// How many times.
        count: u64,
    },
    /// The sound card is gone.
    Lost(String),
    /// It is back, after so many seconds.
    Back(f64, Box<Plan>),
    /// The sound was away for so many seconds; so many are silence in the recording.
    Gap(f64, Option<f64>),
    /// A recording has begun.
    Recording(PathBuf),
    /// A recording has ended, as asked.
    Recorded(PathBuf),
    /// A recording has ended before it should.
    RecordingEnded(String),
    /// The noise has been learned.
    Learned,
    /// There was no noise to learn.
    NotLearned,
    /// The end.
    Stopped(Box<Status>),
}

/// Names of both ends.
#[must_use]
pub fn way(plan: &Plan) -> String {
    let end = |e: &super::host::End| format!("{} ({} Hz)", e.name, e.rate_hz);
    let output = plan.output.as_ref().map_or("nowhere".into(), end);
    format!("{}: {} to {output}", plan.host, end(&plan.input))
}

fn plan_json(plan: &Plan) -> Value {
    let end = |e: &super::host::End| json!({ "id": e.id, "name": e.name, "rate_hz": e.rate_hz, "channels": e.channels });
    json!({
        "host": plan.host,
        "input": end(&plan.input),
        "output": plan.output.as_ref().map(end),
        "one_clock": plan.one_clock,
        "channels": plan.channels,
    })
}

impl Event {
    /// Whether it is about something that went wrong.
    #[must_use]
    pub const fn is_trouble(&self) -> bool {
        matches!(
            self,
            Self::Warning(_)
                | Self::Complaint { .. }
                | Self::Lost(_)
                | Self::RecordingEnded(_)
                | Self::NotLearned
        )
    }

    /// As a sentence.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Started(plan) => way(plan),
            Self::Warning(text) => text.clone(),
            Self::Complaint { kind, words, count } if *count > 1 => {
                format!("{kind} ({count} times): {words}")
            }
            Self::Complaint { kind, words, .. } => format!("{kind}: {words}"),
            Self::Lost(why) => format!("the sound card is gone: {why}; waiting for it"),
            Self::Back(seconds, plan) => format!("back after {seconds:.1} s, {}", way(plan)),
            Self::Gap(seconds, None) => format!("a gap of {seconds:.1} s in the sound"),
            Self::Gap(seconds, Some(recorded)) if recorded == seconds => {
                format!("a gap of {seconds:.1} s in the sound, silence in the recording")
            }
            Self::Gap(seconds, Some(recorded)) => format!(
                "a gap of {seconds:.1} s in the sound, shortened to {recorded:.1} s of silence in the recording"
            ),
            Self::Recording(path) => format!("recording {}", path.display()),
            Self::Recorded(path) => format!("recorded {}", path.display()),
            Self::RecordingEnded(why) => {
                format!("the recording has ended, the sound goes on: {why}")
            }
            Self::Learned => "the noise has been learned".into(),
            Self::NotLearned => {
                "nothing was learned: it was silent, or shorter than a fifth of a second".into()
            }
            Self::Stopped(s) => format!(
                "stopped after {}: {} gaps ({} frames), {} dropped ({} frames), {} late blocks, {} xruns",
                crate::report::duration(s.seconds),
                s.underruns,
                s.silent_frames,
                s.drops,
                s.dropped_frames,
                s.late,
                s.xruns
            ),
        }
    }

    /// As a line of JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        match self {
            Self::Started(plan) => json!({ "event": "started", "plan": plan_json(plan) }),
            Self::Warning(text) => json!({ "event": "warning", "text": text }),
            Self::Complaint { kind, words, count } => {
                json!({ "event": "complaint", "kind": kind, "text": words, "count": count })
            }
            Self::Lost(why) => json!({ "event": "lost", "text": why }),
            Self::Back(seconds, plan) => {
                json!({ "event": "back", "after_seconds": seconds, "plan": plan_json(plan) })
            }
            Self::Gap(seconds, recorded) => {
                json!({ "event": "gap", "seconds": seconds, "recorded_silence_seconds": recorded })
            }
            Self::Recording(path) => json!({ "event": "recording", "path": path }),
            Self::Recorded(path) => json!({ "event": "recorded", "path": path }),
            Self::RecordingEnded(why) => json!({ "event": "recording_ended", "text": why }),
            Self::Learned => json!({ "event": "learned" }),
            Self::NotLearned => json!({ "event": "not_learned" }),
            Self::Stopped(status) => {
                let mut value = status.json();
                if let Some(map) = value.as_object_mut() {
                    map.insert("event".into(), json!("stopped"));
                }
                value
            }
        }
    }
}
