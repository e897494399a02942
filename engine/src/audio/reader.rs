//! Reading audio files: WAV, FLAC, AIFF, OGG Vorbis, MP3, told apart by content.

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use super::file_error::AudioFileError;
use super::packets::{PacketProblem, PacketSource};
use super::wav_source::{WavProblem, WavSource};

/// Sample rates that can be used, in Hz.
pub const RATES_HZ: std::ops::RangeInclusive<u32> = 1_000..=768_000;
/// Most channels a file may have.
pub const MAX_CHANNELS: usize = 64;

/// How the samples of a file are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleFormat {
    /// Whole numbers; up to 24 bits are exact in f32.
    Int {
        /// Bits per sample.
        bits: u16,
    },
    /// Floating point.
    Float {
        /// Bits per sample, 32 or 64.
        bits: u16,
    },
    /// A lossy codec (MP3, Vorbis).
    Lossy,
}

/// What a file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioSpec {
    /// Sample rate in Hz, within [`RATES_HZ`].
    pub rate_hz: u32,
    /// Channels, 1 to [`MAX_CHANNELS`].
    pub channels: usize,
    /// How the samples are stored.
    pub format: SampleFormat,
    /// Frames to come, where that is known. For WAV it is counted from the file, for others it is the header's
    /// claim: do not allocate by it.
    pub frames: Option<u64>,
}

enum Source {
    Wav(WavSource<BufReader<File>>),
    Packets(Box<PacketSource>),
}

/// A file being read from start to end.
///
/// Samples are f32, full scale -1 up to (not including) 1 for integer formats with exact scaling. Floating-point
/// files pass unchanged, beyond full scale and NaN included.
pub struct AudioReader {
    path: PathBuf,
    source: Source,
    spec: AudioSpec,
}

impl AudioReader {
    /// Opens `path` and reads its header.
    ///
    /// # Errors
    /// A sentence for a missing, unreadable, empty or foreign file, no samples, or a rate or channel count that
    /// cannot be used. A file that is only cut short opens: see [`AudioReader::truncated`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, AudioFileError> {
        let path = path.as_ref();
        let on_io = |e| AudioFileError::reading(path, e);
        // Looked at before opening: opening a pipe would wait for a writer.
        let about = fs::metadata(path).map_err(on_io)?;
        if about.is_dir() {
            return Err(AudioFileError::IsFolder(path.to_path_buf()));
        }
        let not_audio = |detail: String| AudioFileError::NotAudio {
            path: path.to_path_buf(),
            detail,
        };
        if !about.is_file() {
            return Err(not_audio("it is not a regular file".into()));
        }
        if about.len() == 0 {
            return Err(AudioFileError::Empty(path.to_path_buf()));
        }
        let mut file = File::open(path).map_err(on_io)?;
        let source = if is_wav(&mut file).map_err(on_io)? {
            let wav = WavSource::open(BufReader::new(file), about.len()).map_err(|e| match e {
                WavProblem::Format(detail) => not_audio(detail),
                WavProblem::NoSamples => AudioFileError::NoSamples(path.to_path_buf()),
                WavProblem::Io(e) => on_io(e),
            })?;
            Source::Wav(wav)
        } else {
            let packets = PacketSource::open(file).map_err(|e| match e {
                PacketProblem::Format(detail) => not_audio(detail),
                PacketProblem::NoSamples => AudioFileError::NoSamples(path.to_path_buf()),
                PacketProblem::Io(e) => on_io(e),
            })?;
            Source::Packets(Box::new(packets))
        };
        let spec = match &source {
            Source::Wav(s) => AudioSpec {
                rate_hz: s.rate_hz,
                channels: s.channels,
                format: s.format,
                frames: Some(s.frames),
            },
            Source::Packets(s) => AudioSpec {
                rate_hz: s.rate_hz,
                channels: s.channels,
                format: s.format,
                frames: s.frames,
            },
        };
        if !RATES_HZ.contains(&spec.rate_hz) {
            return Err(AudioFileError::Rate {
                path: path.to_path_buf(),
                rate_hz: spec.rate_hz,
            });
        }
        if !(1..=MAX_CHANNELS).contains(&spec.channels) {
            return Err(AudioFileError::Channels {
                path: path.to_path_buf(),
                channels: spec.channels,
            });
        }
        Ok(Self {
            path: path.to_path_buf(),
            source,
            spec,
        })
    }

    /// What the file says about itself.
    #[must_use]
    pub fn spec(&self) -> AudioSpec {
        self.spec
    }

    /// Fills `interleaved` with as many whole frames as it holds, fewer at the end of the file; returns the number
    /// of frames, 0 only at the end (or when not even one frame fits).
    ///
    /// # Errors
    /// [`AudioFileError::Read`] when the system fails.
    pub fn read_into(&mut self, interleaved: &mut [f32]) -> Result<usize, AudioFileError> {
        match &mut self.source {
            Source::Wav(s) => s.read(interleaved),
            Source::Packets(s) => s.read(interleaved),
        }
        .map_err(|e| AudioFileError::reading(&self.path, e))
    }

    /// The file holds less than its header promises (a broken copy, a recorder that crashed). For WAV this is known
    /// at once, for other formats when the end is reached.
    #[must_use]
    pub fn truncated(&self) -> bool {
        match &self.source {
            Source::Wav(s) => s.truncated,
            Source::Packets(s) => s.truncated,
        }
    }

    /// Parts read so far could not be decoded; silence of the same length stands in their place.
    #[must_use]
    pub fn damaged(&self) -> bool {
        match &self.source {
            Source::Wav(_) => false,
            Source::Packets(s) => s.damaged,
        }
    }
}

fn is_wav(file: &mut File) -> std::io::Result<bool> {
    let mut head = Vec::with_capacity(12);
    file.by_ref().take(12).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(matches!(head.get(..4), Some(b"RIFF" | b"RF64")) && head.get(8..12) == Some(b"WAVE"))
}

/// A whole file in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioClip {
    /// Sample rate in Hz.
    pub rate_hz: u32,
    /// Samples per channel, all of the same length.
    pub channels: Vec<Vec<f32>>,
    /// How the samples were stored.
    pub format: SampleFormat,
    /// See [`AudioReader::truncated`].
    pub truncated: bool,
    /// See [`AudioReader::damaged`].
    pub damaged: bool,
}

impl AudioClip {
    /// Frames (samples per channel).
    #[must_use]
    pub fn frames(&self) -> usize {
        self.channels.first().map_or(0, Vec::len)
    }

    /// The mean of all channels.
    #[must_use]
    pub fn mono(&self) -> Vec<f32> {
        let mut mono = vec![0.0f32; self.frames()];
        let scale = 1.0 / self.channels.len().max(1) as f32;
        for channel in &self.channels {
            for (m, x) in mono.iter_mut().zip(channel) {
                *m += scale * x;
            }
        }
        mono
    }
}

/// Reads a whole file. `max_samples` limits the samples of all channels together (4 bytes of memory each).
///
/// # Errors
/// As [`AudioReader::open`] and [`AudioReader::read_into`], and [`AudioFileError::TooLong`] beyond the limit.
pub fn read_all(path: impl AsRef<Path>, max_samples: u64) -> Result<AudioClip, AudioFileError> {
    const BLOCK_FRAMES: usize = 4096;
    let path = path.as_ref();
    let mut reader = AudioReader::open(path)?;
    let spec = reader.spec();
    let mut channels = vec![Vec::new(); spec.channels];
    let mut block = vec![0.0f32; BLOCK_FRAMES * spec.channels];
    let mut samples = 0u64;
    loop {
        let frames = reader.read_into(&mut block)?;
        if frames == 0 {
            break;
        }
        samples += (frames * spec.channels) as u64;
        if samples > max_samples {
            return Err(AudioFileError::TooLong {
                path: path.to_path_buf(),
                limit: max_samples,
            });
        }
        for frame in block.chunks_exact(spec.channels).take(frames) {
            for (channel, sample) in channels.iter_mut().zip(frame) {
                channel.push(*sample);
            }
        }
    }
    Ok(AudioClip {
        rate_hz: spec.rate_hz,
        channels,
        format: spec.format,
        truncated: reader.truncated(),
        damaged: reader.damaged(),
    })
}
