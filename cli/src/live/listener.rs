//! A thread beside the audio threads that takes copies of the sound in: it writes recordings and draws spectra.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use drfm_engine::audio::analyser::Analyser;
use rtrb::{Consumer, RingBuffer};

use super::recorder::Recorder;
use super::sides::Taps;

/// Seconds of sound that may wait for this thread.
const TAP_SECONDS: usize = 4;
/// How often it looks.
const EVERY: Duration = Duration::from_millis(20);
/// Points of a spectrum.
pub const POINTS: usize = 160;

/// What this thread shows to others.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Levels of the input in dB, from low to high frequencies (see [`Analyser`]).
    pub input_db: Vec<f32>,
    /// Levels of the output.
    pub output_db: Vec<f32>,
    /// What is being recorded: file and seconds.
    pub recording: Option<(PathBuf, f64)>,
}

/// What this thread tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The sound was away for so many seconds, of which so many are silence in the recording.
    Gap {
        /// Length in seconds.
        seconds: f64,
        /// Silence recorded instead, in seconds; `None` without a recording.
        recorded: Option<f64>,
    },
    /// A recording ended before it should; why.
    RecordingEnded(String),
}

enum Command {
    Format {
        rate_hz: u32,
        channels: usize,
        raw: Consumer<f32>,
        clean: Consumer<f32>,
    },
    Record(Option<Box<Recorder>>),
}

/// The recordings when they are complete: why they ended early, if they did.
pub type Endings = Vec<String>;

/// See the module.
pub struct Listener {
    commands: Sender<Command>,
    told: Receiver<Told>,
    view: Arc<Mutex<View>>,
    thread: JoinHandle<Endings>,
}

impl Listener {
    /// Starts it; `raw` and `clean` record from the beginning.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(raw: Option<Recorder>, clean: Option<Recorder>) -> std::io::Result<Self> {
        let (commands, received) = channel();
        let (tell, told) = channel();
        let view = Arc::new(Mutex::new(View::default()));
        let shown = Arc::clone(&view);
        let thread = std::thread::Builder::new()
            .name("drfm-listener".into())
            .spawn(move || {
                Work {
                    commands: received,
                    tell,
                    view: shown,
                    raw,
                    clean,
                    taps: None,
                    last_sound: None,
                    analysers: None,
                    samples: Vec::new(),
                    mono: Vec::new(),
                }
                .run()
            })?;
        Ok(Self {
            commands,
            told,
            view,
            thread,
        })
    }

    /// Makes the audio thread's end for streams of this format; from now on those are heard.
    #[must_use]
    pub fn taps(&self, rate_hz: u32, channels: usize) -> Taps {
        let samples = TAP_SECONDS * rate_hz as usize * channels;
        let (raw, raw_end) = RingBuffer::new(samples);
        let (clean, clean_end) = RingBuffer::new(samples);
        let _ = self.commands.send(Command::Format {
            rate_hz,
            channels,
            raw: raw_end,
            clean: clean_end,
        });
        Taps { raw, clean }
    }

    /// Begins a recording of what is played, or ends it.
    pub fn record(&self, recorder: Option<Recorder>) {
        let _ = self.commands.send(Command::Record(recorder.map(Box::new)));
    }

    /// What is to be seen now.
    #[must_use]
    pub fn view(&self) -> View {
        self.view
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The next thing it has to tell.
    #[must_use]
    pub fn told(&self) -> Option<Told> {
        self.told.try_recv().ok()
    }

    /// Takes in what is left and completes the recordings.
    #[must_use]
    pub fn finish(self) -> Endings {
        drop(self.commands);
        self.thread
            .join()
            .unwrap_or_else(|_| vec!["the recording thread has failed".into()])
    }
}

struct Taken {
    raw: Consumer<f32>,
    clean: Consumer<f32>,
    channels: usize,
}

struct Work {
    commands: Receiver<Command>,
    tell: Sender<Told>,
    view: Arc<Mutex<View>>,
    raw: Option<Recorder>,
    clean: Option<Recorder>,
    taps: Option<Taken>,
    /// When sound came last.
    last_sound: Option<Instant>,
    analysers: Option<(Analyser, Analyser)>,
    samples: Vec<f32>,
    mono: Vec<f32>,
}

impl Work {
    fn run(mut self) -> Endings {
        loop {
            match self.commands.recv_timeout(EVERY) {
                Ok(command) => self.obey(command),
                Err(RecvTimeoutError::Timeout) => self.listen(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.listen();
        [self.raw, self.clean]
            .into_iter()
            .flatten()
            .filter_map(Recorder::finish)
            .collect()
    }

    fn obey(&mut self, command: Command) {
        self.listen();
        match command {
            Command::Format {
                rate_hz,
                channels,
                raw,
                clean,
            } => {
                self.taps = Some(Taken {
                    raw,
                    clean,
                    channels,
                });
                for recorder in [&mut self.raw, &mut self.clean].into_iter().flatten() {
                    recorder.set_format(rate_hz, channels);
                }
                self.analysers = Some((
                    Analyser::new(rate_hz, POINTS),
                    Analyser::new(rate_hz, POINTS),
                ));
            }
            Command::Record(recorder) => {
                let before = std::mem::replace(&mut self.clean, recorder.map(|r| *r));
                if let Some(why) = before.and_then(Recorder::finish) {
                    let _ = self.tell.send(Told::RecordingEnded(why));
                }
                self.show();
            }
        }
    }

    fn listen(&mut self) {
        let Some(taps) = &mut self.taps else {
            return;
        };
        let (mut analysed_in, mut analysed_out) = (None, None);
        if let Some((a, b)) = &mut self.analysers {
            (analysed_in, analysed_out) = (Some(a), Some(b));
        }
        drain(&mut taps.clean, &mut self.samples, taps.channels);
        let heard = !self.samples.is_empty();
        if heard {
            let now = Instant::now();
            if let Some(last) = self.last_sound.replace(now) {
                let away = now - last;
                // Callbacks of any sane size come more often.
                if away > Duration::from_millis(700) {
                    note_gap(
                        away.as_secs_f64(),
                        &mut self.raw,
                        &mut self.clean,
                        &self.tell,
                    );
                }
            }
        }
        if let Some(recorder) = &mut self.clean {
            recorder.write(&self.samples);
        }
        mean(&self.samples, taps.channels, &mut self.mono);
        let mut changed = analysed_out.is_some_and(|a| a.push(&self.mono));
        drain(&mut taps.raw, &mut self.samples, taps.channels);
        if let Some(recorder) = &mut self.raw {
            recorder.write(&self.samples);
        }
        mean(&self.samples, taps.channels, &mut self.mono);
        changed |= analysed_in.is_some_and(|a| a.push(&self.mono));
        for recorder in [&mut self.raw, &mut self.clean] {
            if let Some(why) = recorder.as_ref().and_then(Recorder::failure) {
                let _ = self.tell.send(Told::RecordingEnded(why.to_owned()));
                *recorder = None;
            }
        }
        if changed {
            self.show();
        }
    }

    fn show(&self) {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((input, output)) = &self.analysers {
            view.input_db.clear();
            view.input_db.extend_from_slice(input.levels_db());
            view.output_db.clear();
            view.output_db.extend_from_slice(output.levels_db());
        }
        let recorder = self.clean.as_ref().or(self.raw.as_ref());
        view.recording = recorder.map(|r| (r.current_path().to_owned(), r.seconds()));
    }
}

fn note_gap(
    seconds: f64,
    raw: &mut Option<Recorder>,
    clean: &mut Option<Recorder>,
    tell: &Sender<Told>,
) {
    let mut recorded = None;
    for recorder in [raw, clean].into_iter().flatten() {
        recorder.gap(seconds);
        recorded = Some(seconds.min(super::recorder::MOST_SILENCE_SECONDS));
    }
    let _ = tell.send(Told::Gap { seconds, recorded });
}

/// Takes whole frames out.
fn drain(from: &mut Consumer<f32>, to: &mut Vec<f32>, channels: usize) {
    to.clear();
    let n = from.slots() / channels * channels;
    to.resize(n, 0.0);
    // They are there: they were counted, and only this end takes any.
    let _ = from.pop_entire_slice(to);
}

fn mean(samples: &[f32], channels: usize, to: &mut Vec<f32>) {
    let scale = 1.0 / channels.max(1) as f32;
    to.clear();
    to.extend(samples.chunks_exact(channels.max(1)).map(|frame| {
        let x = frame.iter().sum::<f32>() * scale;
        if x.is_finite() { x } else { 0.0 }
    }));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_played_is_recorded_whole_across_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let recorder = Recorder::create(&path, 8000, 2).unwrap();
        let listener = Listener::start(None, Some(recorder)).unwrap();
        for part in 0..2 {
            let mut taps = listener.taps(8000, 2);
            for i in 0..100 {
                let frame = [(part * 100 + i) as f32 * 1e-3, 0.5];
                taps.clean.push_entire_slice(&frame.repeat(10)).unwrap();
                taps.raw.push_entire_slice(&frame.repeat(10)).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
            if part == 0 {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        std::thread::sleep(Duration::from_millis(100));
        let told: Vec<Told> = std::iter::from_fn(|| listener.told()).collect();
        assert!(
            matches!(&told[..], [Told::Gap { seconds, recorded: Some(r) }]
            if (0.8..3.0).contains(seconds) && r == seconds),
            "{told:?}"
        );
        assert!(listener.finish().is_empty());
        let mut wav = hound::WavReader::open(&path).unwrap();
        let x: Vec<f32> = wav.samples::<f32>().map(|x| x.unwrap()).collect();
        assert!(x.len() > 2 * (2000 + 8000 * 8 / 10));
        assert!((x[2 * 999] - 0.099).abs() < 1e-6);
        assert!((x[x.len() - 2] - 0.199).abs() < 1e-6);
    }
}
