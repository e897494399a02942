//! Denoising a file to a file: streamed, aligned to the sample, in memory that does not grow with the file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::denoiser::BROKEN_ABOVE;
use super::file_error::AudioFileError;
use super::hum::HumCanceller;
use super::method::{Method, MethodStream};
use super::mix::Output;
use super::noise::NoiseSpectrum;
use super::reader::{AudioClip, AudioReader, AudioSpec, SampleFormat};
use super::resample::{ResampleError, resample};
use super::tracking::{PRIMING_SECONDS, Tracking};
use super::waveform::WaveformError;
use super::writer::{AudioWriter, WavFormat};
use crate::train::Control;

/// Frames read, processed and written at once.
const BLOCK_FRAMES: usize = 8192;
/// Shortest stretch that noise can be learned from, in seconds.
pub const LEAST_NOISE_SECONDS: f64 = 0.02;
/// Longest stretch that noise is learned from, in seconds; what lies beyond is not read.
pub const MOST_NOISE_SECONDS: f64 = 60.0;
/// Hum is known from so much of a recording before it is denoised, in seconds.
const HUM_SECONDS: f64 = 10.0;

/// Where the noise of a file is known from.
#[derive(Clone, Debug)]
pub enum FileNoise {
    /// Tracked blindly, primed with the beginning of the file.
    Adaptive,
    /// Learned from a stretch of the file itself, in seconds.
    Stretch {
        /// Start of the stretch.
        start: f64,
        /// End of the stretch.
        end: f64,
    },
    /// Learned from another recording, of any rate and channel count.
    Recording(Arc<AudioClip>),
}

/// A stretch that holds more than this share of the file's mean power (-5 dB) is suspected to be music: a recording as
/// noisy as that (less than 3 dB of SNR) is hard to find, and a stretch of it can be listened to.
const SUSPICIOUS_SHARE: f64 = 0.316;

/// What to do with one file.
#[derive(Clone, Debug)]
pub struct FileJob {
    /// The sound file to read.
    pub input: PathBuf,
    /// The WAV file to write.
    pub output: PathBuf,
    /// How to store the samples; `None`: as the input does.
    pub format: Option<WavFormat>,
    /// Where the noise is known from.
    pub noise: FileNoise,
    /// Whether the level of a learned noise is followed when it changes.
    pub follow_level: bool,
    /// Whether pairs of channels are heard as one picture, or each channel by itself.
    pub linked: bool,
    /// How deep the noise is taken down, see [`super::denoiser::StreamDenoiser::set_amount_db`].
    pub amount_db: f32,
    /// What is written.
    pub heard: Output,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FileReport {
    /// The input's rate, channels and format.
    pub spec: AudioSpec,
    /// Frames read and written.
    pub frames: u64,
    /// Delay of the denoiser, which was made up for.
    pub latency_samples: usize,
    /// Mean noise power per sample (full scale squared), as learned or as first tracked; mean over the channels.
    pub noise_power: f64,
    /// Mean power per sample of the input (full scale squared).
    pub input_power: f64,
    /// The noise was learned from a stretch of the file itself.
    pub learned_inside: bool,
    /// Output samples that did not fit the format.
    pub clipped: u64,
    /// Input samples that were not finite or absurdly large and became silence.
    pub broken: u64,
    /// The input ends before its header says.
    pub truncated: bool,
    /// Parts of the input could not be decoded and became silence.
    pub damaged: bool,
}

impl FileReport {
    /// Length in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.frames as f64 / f64::from(self.spec.rate_hz)
    }

    /// Latency in milliseconds.
    #[must_use]
    pub fn latency_ms(&self) -> f64 {
        1000.0 * self.latency_samples as f64 / f64::from(self.spec.rate_hz)
    }

    /// Noise level in dB below full scale.
    #[must_use]
    pub fn noise_dbfs(&self) -> f64 {
        10.0 * libm::log10(self.noise_power.max(1e-20))
    }

    /// Whether what was learned as noise is so loud against the file that music may have been learned.
    #[must_use]
    pub fn noise_may_be_music(&self) -> bool {
        self.learned_inside && self.noise_power > SUSPICIOUS_SHARE * self.input_power
    }
}

/// Progress of a file, for an observer that may stop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileProgress {
    /// Frames done.
    pub done: u64,
    /// Frames in all, if the file says so.
    pub total: Option<u64>,
}

/// Sees progress and may stop the work.
pub type FileObserver<'a> = &'a mut dyn FnMut(FileProgress) -> Control;

/// Why a file could not be denoised; every text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum FileDenoiseError {
    /// Reading or writing failed.
    #[error(transparent)]
    File(#[from] AudioFileError),
    /// Output and input are the same file.
    #[error("{} would be written over its own input: choose another output", .0.display())]
    SameFile(PathBuf),
    /// The marked stretch is not in the file.
    #[error(
        "the noise stretch {start} s to {end} s lies outside {}, which lasts {seconds:.3} s: mark a stretch inside it",
        path.display()
    )]
    NoiseOutside {
        /// The file.
        path: PathBuf,
        /// Start marked, in seconds.
        start: f64,
        /// End marked, in seconds.
        end: f64,
        /// Length of the file in seconds.
        seconds: f64,
    },
    /// The stretch is too short.
    #[error(
        "the noise stretch lasts {0:.4} s, but at least {LEAST_NOISE_SECONDS} s are needed (0.5 s or more is better): mark a longer one"
    )]
    NoiseTooShort(f64),
    /// The stretch is silent.
    #[error("the noise taken from {} is silent: mark a stretch where only the noise is heard", .0.display())]
    NoiseSilent(PathBuf),
    /// The noise recording cannot be brought to the file's rate.
    #[error(transparent)]
    Resample(#[from] ResampleError),
    /// A waveform model cannot work at the file's rate.
    #[error(transparent)]
    Waveform(#[from] WaveformError),
    /// The observer stopped it.
    #[error("stopped")]
    Stopped,
}

/// The format that keeps what the input holds: its own depth, 24 bits for lossy codecs, floats for more than 24 bits.
#[must_use]
pub const fn format_like(input: SampleFormat) -> WavFormat {
    match input {
        SampleFormat::Int { bits: 0..=8 } => WavFormat::Int8,
        SampleFormat::Int { bits: 9..=16 } => WavFormat::Int16,
        SampleFormat::Int { bits: 17..=24 } | SampleFormat::Lossy => WavFormat::Int24,
        SampleFormat::Int { .. } | SampleFormat::Float { .. } => WavFormat::Float32,
    }
}

/// Whether two paths lead to the same existing file, also through links.
#[must_use]
pub fn same_file(a: &Path, b: &Path) -> bool {
    if let (Ok(a), Ok(b)) = (fs::canonicalize(a), fs::canonicalize(b))
        && a == b
    {
        return true;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if let (Ok(a), Ok(b)) = (fs::metadata(a), fs::metadata(b)) {
            return a.dev() == b.dev() && a.ino() == b.ino();
        }
    }
    false
}

/// Denoises one file. The output has the input's length, rate and channels and is aligned with it; it
/// appears only when it is complete.
///
/// # Errors
/// See [`FileDenoiseError`]; the output is then as it was before.
pub fn denoise_file(
    method: &Method,
    job: &FileJob,
    observer: FileObserver<'_>,
) -> Result<FileReport, FileDenoiseError> {
    let mut reader = AudioReader::open(&job.input)?;
    if same_file(&job.input, &job.output) {
        return Err(FileDenoiseError::SameFile(job.output.clone()));
    }
    let spec = reader.spec();
    let format = job.format.unwrap_or_else(|| format_like(spec.format));
    // Before the work, so that a wrong output is told at once.
    let mut writer = AudioWriter::create(&job.output, spec.rate_hz, spec.channels, format)?;
    let learned = match &job.noise {
        FileNoise::Adaptive => None,
        FileNoise::Stretch { start, end } => {
            let channels = read_stretch(&job.input, *start, *end)?;
            Some(learn(&job.input, spec.rate_hz, &channels)?)
        }
        FileNoise::Recording(clip) => Some(learn_from_recording(&job.input, spec, clip)?),
    };
    let hum_until = (HUM_SECONDS * f64::from(spec.rate_hz)) as u64;
    let (beginning, _) = read_between(&job.input, 0, hum_until, hum_until)?;
    let known = learned.as_deref().unwrap_or_default();
    let hum = method.hum_of(spec.rate_hz, &beginning, known);
    let (spectra, mut tracking) = if let Some(learned) = learned {
        followed(job, spec, &beginning, learned)
    } else {
        let tracking = primed(&job.input, method.lowest_hz(), &hum, observer)?;
        (tracking.estimates(), Some(tracking))
    };
    drop(beginning);
    let mut denoiser = method.stream(spec.rate_hz, spec.channels, job.linked, &spectra)?;
    denoiser.start_with_hum(&hum);
    denoiser.start_with(job.amount_db, job.heard);
    let latency = denoiser.latency_samples();
    let mut report = FileReport {
        spec,
        frames: 0,
        latency_samples: latency,
        noise_power: spectra.iter().map(|s| f64::from(s.variance())).sum::<f64>()
            / spectra.len().max(1) as f64,
        input_power: 0.0,
        learned_inside: matches!(job.noise, FileNoise::Stretch { .. }),
        clipped: 0,
        broken: 0,
        truncated: false,
        damaged: false,
    };
    let mut blocks = Blocks::new(spec.channels);
    let mut skip = latency as u64;
    let mut written = 0u64;
    loop {
        let frames = blocks.read(&mut reader)?;
        report.frames += frames as u64;
        report.broken += blocks.count_broken(frames);
        report.input_power += blocks.energy(frames);
        // After the end, silence pushes the rest out.
        let frames = if frames > 0 { frames } else { blocks.silence() };
        blocks.denoise(&mut denoiser, tracking.as_mut(), frames);
        let dropped = skip.min(frames as u64);
        skip -= dropped;
        let from = usize::try_from(dropped).unwrap_or(frames);
        let wanted = usize::try_from(report.frames - written).unwrap_or(frames);
        let to = frames.min(from + wanted);
        writer.write(blocks.interleaved(from, to))?;
        written += (to - from) as u64;
        if blocks.at_end && written >= report.frames {
            break;
        }
        let progress = FileProgress {
            done: written,
            total: spec.frames,
        };
        if observer(progress) == Control::Stop {
            return Err(FileDenoiseError::Stopped);
        }
    }
    report.truncated = reader.truncated();
    report.damaged = reader.damaged();
    report.input_power /= (report.frames.max(1) * spec.channels.max(1) as u64) as f64;
    report.clipped = writer.finish()?;
    Ok(report)
}

/// Learned spectra, and what follows their level if that is wanted.
fn followed(
    job: &FileJob,
    spec: AudioSpec,
    beginning: &[Vec<f32>],
    learned: Vec<NoiseSpectrum>,
) -> (Vec<NoiseSpectrum>, Option<Tracking>) {
    if !job.follow_level {
        return (learned, None);
    }
    let tracking = Tracking::following(spec.rate_hz, beginning, &learned);
    (tracking.estimates(), Some(tracking))
}

/// Trackers that have heard the beginning of a file.
fn primed(
    path: &Path,
    lowest_hz: f32,
    hum: &[HumCanceller],
    observer: FileObserver<'_>,
) -> Result<Tracking, FileDenoiseError> {
    let mut reader = AudioReader::open(path)?;
    let spec = reader.spec();
    let mut tracking = Tracking::new(spec.rate_hz, spec.channels)
        .expecting_from(lowest_hz)
        .without_hum(hum);
    let mut blocks = Blocks::new(spec.channels);
    let mut left = (PRIMING_SECONDS * f64::from(spec.rate_hz)) as usize;
    while left > 0 {
        let frames = blocks.read(&mut reader)?.min(left);
        if frames == 0 {
            break;
        }
        blocks.count_broken(frames);
        tracking.hear(&blocks.channels, frames);
        left -= frames;
        let progress = FileProgress {
            done: 0,
            total: spec.frames,
        };
        if observer(progress) == Control::Stop {
            return Err(FileDenoiseError::Stopped);
        }
    }
    // It is heard from the start again.
    Ok(tracking.without_hum(hum))
}

/// What is known of the noise of a signal: spectra, one for all channels or one a channel.
#[derive(Clone, Debug)]
pub enum SignalNoise {
    /// Nothing: it is tracked.
    Adaptive,
    /// Its spectra, whose level is followed.
    Followed(Vec<NoiseSpectrum>),
    /// Its spectra, which are taken as they are.
    Fixed(Vec<NoiseSpectrum>),
}

/// Denoises a mono signal as [`denoise_file`] does a file: aligned and of the same length.
///
/// # Errors
/// [`WaveformError::Rate`] if a waveform model has another sample rate.
pub fn denoise_signal(
    method: &Method,
    rate_hz: u32,
    samples: &[f32],
    noise: SignalNoise,
) -> Result<Vec<f32>, WaveformError> {
    let mut channels = denoise_channels(method, rate_hz, &[samples], noise)?;
    Ok(channels.pop().unwrap_or_default())
}

/// The same for signals of several channels, all of one length.
///
/// # Errors
/// [`WaveformError::Rate`] if a waveform model has another sample rate.
pub fn denoise_channels(
    method: &Method,
    rate_hz: u32,
    channels: &[&[f32]],
    noise: SignalNoise,
) -> Result<Vec<Vec<f32>>, WaveformError> {
    let length = channels.iter().map(|c| c.len()).min().unwrap_or(0);
    let heard = ((HUM_SECONDS * f64::from(rate_hz)) as usize).min(length);
    let beginning: Vec<&[f32]> = channels.iter().map(|c| &c[..heard]).collect();
    let known = match &noise {
        SignalNoise::Adaptive => &[],
        SignalNoise::Followed(spectra) | SignalNoise::Fixed(spectra) => spectra.as_slice(),
    };
    let hum = method.hum_of(rate_hz, &beginning, known);
    let (spectra, mut tracking) = match noise {
        SignalNoise::Adaptive => {
            let tracking = Tracking::of_signal(rate_hz, channels, method.lowest_hz(), &hum);
            (tracking.estimates(), Some(tracking))
        }
        SignalNoise::Followed(spectra) => {
            let tracking = Tracking::following(rate_hz, &beginning, &spectra);
            (tracking.estimates(), Some(tracking))
        }
        SignalNoise::Fixed(spectra) => (spectra, None),
    };
    let mut denoiser = method.stream(rate_hz, channels.len(), true, &spectra)?;
    denoiser.start_with_hum(&hum);
    let latency = denoiser.latency_samples();
    let mut signals: Vec<Vec<f32>> = channels.iter().map(|c| c[..length].to_vec()).collect();
    for signal in &mut signals {
        signal.resize(length + latency, 0.0);
    }
    let mut start = 0;
    while start < length + latency {
        let wanted = tracking.as_ref().map_or(BLOCK_FRAMES, Tracking::wanted);
        let n = wanted.min(length + latency - start);
        let mut block: Vec<&mut [f32]> = signals
            .iter_mut()
            .map(|signal| &mut signal[start..start + n])
            .collect();
        denoiser.process(&mut block);
        // The silence after the end is not part of the recording.
        if let Some(tracking) = &mut tracking
            && start + n <= length
            && tracking.push(channels, start, n)
        {
            denoiser.set_noise(&tracking.estimates());
        }
        start += n;
    }
    for signal in &mut signals {
        signal.drain(..latency);
    }
    Ok(signals)
}

/// One block of samples, interleaved as in files and apart as in streams.
struct Blocks {
    interleaved: Vec<f32>,
    channels: Vec<Vec<f32>>,
    /// What trackers hear: the input, kept while `channels` is overwritten with the output.
    heard: Vec<Vec<f32>>,
    at_end: bool,
}

impl Blocks {
    fn new(channels: usize) -> Self {
        Self {
            interleaved: vec![0.0; BLOCK_FRAMES * channels],
            channels: vec![vec![0.0; BLOCK_FRAMES]; channels],
            heard: vec![vec![0.0; BLOCK_FRAMES]; channels],
            at_end: false,
        }
    }

    /// The next frames, 0 at the end of the file.
    fn read(&mut self, reader: &mut AudioReader) -> Result<usize, AudioFileError> {
        if self.at_end {
            return Ok(0);
        }
        let frames = reader.read_into(&mut self.interleaved)?;
        self.at_end = frames == 0;
        let count = self.channels.len();
        for (c, channel) in self.channels.iter_mut().enumerate() {
            let samples = self.interleaved.iter().skip(c).step_by(count);
            for (place, sample) in channel.iter_mut().zip(samples).take(frames) {
                *place = *sample;
            }
        }
        Ok(frames)
    }

    /// Puts silence in place of broken samples; returns how many there were.
    fn count_broken(&mut self, frames: usize) -> u64 {
        let mut count = 0;
        for sample in self
            .channels
            .iter_mut()
            .flat_map(|c| c.iter_mut().take(frames))
        {
            if !sample.is_finite() || sample.abs() > BROKEN_ABOVE {
                *sample = 0.0;
                count += 1;
            }
        }
        count
    }

    /// Sum of the squares of the samples.
    fn energy(&self, frames: usize) -> f64 {
        let samples = self.channels.iter().flat_map(|c| c.iter().take(frames));
        samples.map(|x| f64::from(*x).powi(2)).sum()
    }

    fn silence(&mut self) -> usize {
        for channel in &mut self.channels {
            channel.fill(0.0);
        }
        BLOCK_FRAMES
    }

    fn denoise(
        &mut self,
        denoiser: &mut MethodStream,
        tracking: Option<&mut Tracking>,
        frames: usize,
    ) {
        let Some(tracking) = tracking else {
            process(denoiser, &mut self.channels, 0, frames);
            return;
        };
        for (heard, channel) in self.heard.iter_mut().zip(&self.channels) {
            heard.copy_from_slice(channel);
        }
        let mut start = 0;
        while start < frames {
            let n = tracking.wanted().min(frames - start);
            process(denoiser, &mut self.channels, start, n);
            // The silence after the end is not part of the recording.
            if !self.at_end && tracking.push(&self.heard, start, n) {
                denoiser.set_noise(&tracking.estimates());
            }
            start += n;
        }
    }

    fn interleaved(&mut self, from: usize, to: usize) -> &[f32] {
        let count = self.channels.len();
        for (c, channel) in self.channels.iter().enumerate() {
            let places = self.interleaved.iter_mut().skip(c).step_by(count);
            for (place, sample) in places.zip(channel.get(from..to).unwrap_or_default()) {
                *place = *sample;
            }
        }
        self.interleaved
            .get(..(to - from) * count)
            .unwrap_or_default()
    }
}

fn process(denoiser: &mut MethodStream, channels: &mut [Vec<f32>], start: usize, n: usize) {
    let mut block: Vec<&mut [f32]> = channels
        .iter_mut()
        .map(|c| c.get_mut(start..start + n).unwrap_or_default())
        .collect();
    denoiser.process(&mut block);
}

/// A stretch of a file, per channel.
fn read_stretch(path: &Path, start: f64, end: f64) -> Result<Vec<Vec<f32>>, FileDenoiseError> {
    if end - start < LEAST_NOISE_SECONDS {
        return Err(FileDenoiseError::NoiseTooShort((end - start).max(0.0)));
    }
    let rate_hz = AudioReader::open(path)?.spec().rate_hz;
    let at = |seconds: f64| (seconds * f64::from(rate_hz)).round() as u64;
    let (last, to) = (at(end), at(end.min(start + MOST_NOISE_SECONDS)));
    let (stretch, heard) = read_between(path, at(start), to, last)?;
    if heard >= last {
        return Ok(stretch);
    }
    Err(FileDenoiseError::NoiseOutside {
        path: path.to_path_buf(),
        start,
        end,
        seconds: heard as f64 / f64::from(rate_hz),
    })
}

/// The frames `from..to` of a file, per channel, and how many frames were read; reads on until `last` or the end.
fn read_between(
    path: &Path,
    from: u64,
    to: u64,
    last: u64,
) -> Result<(Vec<Vec<f32>>, u64), FileDenoiseError> {
    let mut reader = AudioReader::open(path)?;
    let channels = reader.spec().channels;
    let mut stretch = vec![Vec::new(); channels];
    let mut blocks = Blocks::new(channels);
    let mut position = 0u64;
    while position < last {
        let frames = blocks.read(&mut reader)?;
        if frames == 0 {
            break;
        }
        blocks.count_broken(frames);
        let place = |frame: u64| {
            usize::try_from(frame.saturating_sub(position)).map_or(frames, |f| f.min(frames))
        };
        let (a, b) = (place(from), place(to));
        for (out, channel) in stretch.iter_mut().zip(&blocks.channels) {
            out.extend_from_slice(channel.get(a..b).unwrap_or_default());
        }
        position += frames as u64;
    }
    Ok((stretch, position))
}

/// One spectrum a channel; a channel that is silent there (an unused input) has no noise.
fn learn(
    path: &Path,
    rate_hz: u32,
    channels: &[Vec<f32>],
) -> Result<Vec<NoiseSpectrum>, FileDenoiseError> {
    let learned: Vec<Option<NoiseSpectrum>> = channels
        .iter()
        .map(|c| NoiseSpectrum::learn(rate_hz, &[c]))
        .collect();
    if learned.iter().all(Option::is_none) {
        return Err(FileDenoiseError::NoiseSilent(path.to_path_buf()));
    }
    Ok(learned
        .into_iter()
        .map(|s| s.unwrap_or_else(|| NoiseSpectrum::white(rate_hz, 0.0)))
        .collect())
}

fn learn_from_recording(
    path: &Path,
    spec: AudioSpec,
    clip: &AudioClip,
) -> Result<Vec<NoiseSpectrum>, FileDenoiseError> {
    let seconds = clip.frames() as f64 / f64::from(clip.rate_hz);
    if seconds < LEAST_NOISE_SECONDS {
        return Err(FileDenoiseError::NoiseTooShort(seconds));
    }
    let most = (MOST_NOISE_SECONDS * f64::from(clip.rate_hz)) as usize;
    let mut channels = Vec::new();
    for channel in &clip.channels {
        let finite: Vec<f32> = channel
            .iter()
            .take(most)
            .map(|x| {
                if x.is_finite() && x.abs() <= BROKEN_ABOVE {
                    *x
                } else {
                    0.0
                }
            })
            .collect();
        channels.push(resample(&finite, clip.rate_hz, spec.rate_hz)?);
    }
    if channels.len() == spec.channels {
        return learn(path, spec.rate_hz, &channels);
    }
    let slices: Vec<&[f32]> = channels.iter().map(Vec::as_slice).collect();
    NoiseSpectrum::learn(spec.rate_hz, &slices)
        .map(|s| vec![s])
        .ok_or_else(|| FileDenoiseError::NoiseSilent(path.to_path_buf()))
}
