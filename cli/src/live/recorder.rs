//! Recording for hours: a file that is refreshed every second, the next one when it is full or the format changes,
//! silence where the sound card was away, and an end, but not of the sound, when the disk is full.

use std::path::{Path, PathBuf};

use super::edges::Edges;
use super::wav_file::WavFile;

/// Seconds of sound between two refreshes of the header.
const REFRESH_SECONDS: f64 = 1.0;
/// A gap is filled with silence up to this length, so that the recording keeps time with other recordings; a computer
/// that sleeps all night does not fill the disk.
pub const MOST_SILENCE_SECONDS: f64 = 60.0;

/// One recording, in one or more files.
pub struct Recorder {
    path: PathBuf,
    file: Option<WavFile>,
    rate_hz: u32,
    channels: usize,
    part: u32,
    frames: u64,
    unrefreshed: usize,
    edges: Edges,
    scratch: Vec<f32>,
    failure: Option<String>,
}

impl Recorder {
    /// Begins a recording.
    ///
    /// # Errors
    /// A sentence, see [`WavFile::create`].
    pub fn create(path: &Path, rate_hz: u32, channels: usize) -> Result<Self, String> {
        Ok(Self {
            path: path.to_owned(),
            file: Some(WavFile::create(path, rate_hz, channels)?),
            rate_hz,
            channels: channels.max(1),
            part: 1,
            frames: 0,
            unrefreshed: 0,
            edges: Edges::new(channels.max(1), rate_hz),
            scratch: Vec::new(),
            failure: None,
        })
    }

    /// Why it ended early, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Seconds recorded.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.frames as f64 / f64::from(self.rate_hz.max(1))
    }

    /// The file that is being written.
    #[must_use]
    pub fn current_path(&self) -> &Path {
        self.file.as_ref().map_or(&self.path, WavFile::path)
    }

    /// Appends interleaved samples.
    pub fn write(&mut self, samples: &[f32]) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(samples);
        self.edges.sound(&mut scratch);
        self.append(&scratch);
        self.scratch = scratch;
    }

    fn append(&mut self, samples: &[f32]) {
        if self
            .file
            .as_ref()
            .is_some_and(|f| !f.has_room(samples.len()))
        {
            self.next_file();
        }
        let Some(file) = &mut self.file else {
            return;
        };
        let mut done = file.write(samples);
        self.frames += (samples.len() / self.channels) as u64;
        self.unrefreshed += samples.len() / self.channels;
        if done.is_ok() && self.unrefreshed as f64 >= REFRESH_SECONDS * f64::from(self.rate_hz) {
            self.unrefreshed = 0;
            done = file.refresh();
        }
        if let Err(e) = done {
            self.end(e);
        }
    }

    /// The sound was away for so long.
    pub fn gap(&mut self, seconds: f64) {
        let seconds = seconds.clamp(0.0, MOST_SILENCE_SECONDS);
        let mut frames = (seconds * f64::from(self.rate_hz)) as usize;
        let mut silence = vec![0.0f32; 4096 * self.channels];
        while frames > 0 && self.file.is_some() {
            let n = frames.min(4096);
            let silence = &mut silence[..n * self.channels];
            self.edges.gap(silence);
            self.append(silence);
            frames -= n;
        }
    }

    /// From here on the sound has another format; if it has, a new file is begun.
    pub fn set_format(&mut self, rate_hz: u32, channels: usize) {
        if (rate_hz, channels) == (self.rate_hz, self.channels) {
            return;
        }
        self.rate_hz = rate_hz;
        self.channels = channels.max(1);
        self.edges = Edges::new(self.channels, rate_hz);
        if self.file.is_some() {
            self.next_file();
        }
    }

    fn next_file(&mut self) {
        let Some(full) = self.file.take() else {
            return;
        };
        if let Err(e) = full.finish() {
            self.end(e);
            return;
        }
        self.frames = 0;
        for _ in 0..1000 {
            self.part += 1;
            let path = numbered(&self.path, self.part);
            if path.exists() {
                continue;
            }
            match WavFile::create(&path, self.rate_hz, self.channels) {
                Ok(file) => self.file = Some(file),
                Err(e) => self.end(e),
            }
            return;
        }
        self.end("there are a thousand parts of the recording already".into());
    }

    fn end(&mut self, why: String) {
        self.file = None;
        self.failure.get_or_insert(why);
    }

    /// Completes the recording; why it ended early, if it did.
    #[must_use]
    pub fn finish(mut self) -> Option<String> {
        if let Some(file) = self.file.take()
            && let Err(e) = file.finish()
        {
            self.failure.get_or_insert(e);
        }
        self.failure
    }
}

/// `take.wav`, part 2: `take.2.wav`.
fn numbered(path: &Path, part: u32) -> PathBuf {
    let ending = path
        .extension()
        .map_or("wav".into(), |e| e.to_string_lossy());
    path.with_extension(format!("{part}.{ending}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(path: &Path) -> (u32, Vec<f32>) {
        let mut wav = hound::WavReader::open(path).unwrap();
        let rate_hz = wav.spec().sample_rate;
        (rate_hz, wav.samples::<f32>().map(|x| x.unwrap()).collect())
    }

    #[test]
    fn gaps_are_silent_and_another_format_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("take.wav");
        let mut recorder = Recorder::create(&path, 8000, 1).unwrap();
        recorder.write(&[0.25; 8000]);
        recorder.gap(0.5);
        recorder.write(&[-0.25; 100]);
        recorder.set_format(8000, 1);
        recorder.write(&[f32::NAN; 1]);
        recorder.set_format(16_000, 2);
        recorder.write(&[0.125; 10]);
        recorder.gap(1e9);
        assert!((recorder.seconds() - MOST_SILENCE_SECONDS).abs() < 1e-3);
        assert_eq!(recorder.current_path(), folder.path().join("take.2.wav"));
        assert_eq!(recorder.finish(), None);
        let (rate_hz, x) = read(&path);
        assert_eq!((rate_hz, x.len()), (8000, 12_101));
        assert_eq!(
            (x[7999], x[8100], x[11_999], x[12_000]),
            (0.25, 0.0, 0.0, 0.0)
        );
        assert_eq!((x[12_099], x[12_100]), (-0.25, 0.0));
        for pair in x[..12_100].windows(2) {
            assert!((pair[1] - pair[0]).abs() < 0.02, "a click");
        }
        let (rate_hz, x) = read(&folder.path().join("take.2.wav"));
        assert_eq!((rate_hz, x.len()), (16_000, 10 + 2 * 960_000));
    }
}
