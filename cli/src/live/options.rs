//! The options of `drfm-live`.

use std::path::PathBuf;

use clap::Parser;
use drfm_engine::audio::model::Mode;

use super::host::{OutputChoice, Wanted};
use crate::models::parse_mode;

const EXAMPLES: &str = "Examples:
  drfm-live
      the default microphone, cleaned, on the default loudspeaker: use headphones
  drfm-live --list
      what can be heard and played on, and what to write after --input and --output
  drfm-live --input scarlett --output none --record take.wav --record-raw raw.wav
      record only, with the sound as it came beside it
  drfm-live --model guitar --mode instant --learn 2
      the first two seconds are noise alone: learn it there
  drfm-live --host jack --no-tui --json
      for scripts: one line of JSON a second

While it runs: b bypass, r residual, l learn the noise (again to end), f forget it, + and - amount, m mode, n model,
c record, q quit.";

/// Cleans the microphone while you play.
#[derive(Parser, Debug)]
#[command(name = "drfm-live", version, after_help = EXAMPLES)]
pub struct Options {
    /// Shows sound cards and ends.
    #[arg(long)]
    pub list: bool,
    /// Plays a short sound on the output, hears it on the input (connect the two with a cable, or hold the microphone to
    /// the loudspeaker), prints the round trip and ends.
    #[arg(long, conflicts_with = "list")]
    pub measure_latency: bool,
    /// The way to the sound card: ALSA, JACK, PulseAudio, PipeWire, CoreAudio, WASAPI or ASIO, as far as built in.
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// Microphone, by id or part of its name.
    #[arg(long, value_name = "DEV")]
    pub input: Option<String>,
    /// Loudspeaker, by id or part of its name; none only records.
    #[arg(long, value_name = "DEV|none")]
    pub output: Option<String>,
    /// Sample rate in Hz; without it, that of the input.
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(8_000..=384_000))]
    pub rate: Option<u32>,
    /// Frames a callback; smaller is faster and less safe. Sound servers may give another size.
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u32).range(16..=8_192))]
    pub buffer: Option<u32>,
    /// Channels.
    #[arg(long, value_name = "1|2", value_parser = clap::value_parser!(u8).range(1..=2))]
    pub channels: Option<u8>,
    /// guitar, flute, general, or the path of a model file.
    #[arg(long, default_value = "general", value_name = "MODEL")]
    pub model: String,
    /// instant (3 ms), live (11 ms), balanced (128 ms) or best (416 ms): longer sounds better.
    #[arg(long, value_parser = parse_mode)]
    pub mode: Option<Mode>,
    /// How far the noise is taken down; without it, wholly.
    #[arg(long, value_name = "DB", value_parser = parse_amount, allow_negative_numbers = true)]
    pub amount_db: Option<f32>,
    /// Clean each channel by itself instead of two as one picture: for two instruments, left and right.
    #[arg(long)]
    pub unlinked: bool,
    /// The first seconds are noise alone: learn it there. Without this, it is tracked while you play.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, allow_negative_numbers = true)]
    pub learn: Option<f64>,
    /// Record what is played: WAV, 32-bit float. A file that exists is not overwritten.
    #[arg(long, value_name = "OUT.wav")]
    pub record: Option<PathBuf>,
    /// Record the input as it came.
    #[arg(long, value_name = "RAW.wav")]
    pub record_raw: Option<PathBuf>,
    /// End after so long.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, allow_negative_numbers = true)]
    pub duration: Option<f64>,
    /// Hear what is taken away.
    #[arg(long, conflicts_with = "bypass")]
    pub residual: bool,
    /// Begin with the sound as it came, delayed like the cleaned one.
    #[arg(long)]
    pub bypass: bool,
    /// Lines of JSON instead of the screen.
    #[arg(long)]
    pub json: bool,
    /// Lines of text instead of the screen.
    #[arg(long)]
    pub no_tui: bool,
}

impl Options {
    /// What they say about sound cards.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted {
            input: self.input.clone(),
            output: match self.output.as_deref() {
                None => OutputChoice::Default,
                Some("none") => OutputChoice::None,
                Some(name) => OutputChoice::Named(name.to_owned()),
            },
            rate_hz: self.rate,
            buffer_frames: self.buffer,
            channels: self.channels.map(usize::from),
        }
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() && x > 0.0 && x < 1e9 => Ok(x),
        _ => Err("give a number of seconds above 0".into()),
    }
}

fn parse_amount(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(x) if (0.0..=100.0).contains(&x) => Ok(x),
        _ => Err("give a number of decibels from 0 to 100".into()),
    }
}
