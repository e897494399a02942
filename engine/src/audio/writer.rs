//! Writing WAV files: all or nothing.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use hound::{WavSpec, WavWriter};
use tempfile::NamedTempFile;

use super::file_error::AudioFileError;
use super::reader::{MAX_CHANNELS, RATES_HZ};

/// Bytes of samples allowed: 4 GiB less room for the header.
const MAX_DATA_BYTES: u64 = u32::MAX as u64 - 4096;

/// How to store samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WavFormat {
    /// 8-bit whole numbers.
    Int8,
    /// 16-bit whole numbers.
    Int16,
    /// 24-bit whole numbers.
    Int24,
    /// 32-bit floating point.
    Float32,
}

impl WavFormat {
    fn bits(self) -> u16 {
        match self {
            Self::Int8 => 8,
            Self::Int16 => 16,
            Self::Int24 => 24,
            Self::Float32 => 32,
        }
    }
}

/// A WAV file being written.
///
/// Samples go to a hidden file beside the target; [`AudioWriter::finish`] moves it into place in one step. Dropped
/// without `finish`, it disappears and the target stays as it was.
pub struct AudioWriter {
    target: PathBuf,
    part: NamedTempFile,
    wav: WavWriter<BufWriter<File>>,
    format: WavFormat,
    channels: usize,
    data_bytes: u64,
    clipped: u64,
}

impl AudioWriter {
    /// Starts a file of `channels` (1 to 64) at `rate_hz` (1000 to 768000) for `target`.
    ///
    /// # Errors
    /// A sentence for a missing folder, a folder as target, no permission, a full disk, a bad rate or channel count.
    pub fn create(
        target: impl AsRef<Path>,
        rate_hz: u32,
        channels: usize,
        format: WavFormat,
    ) -> Result<Self, AudioFileError> {
        let target = target.as_ref().to_path_buf();
        if !RATES_HZ.contains(&rate_hz) {
            return Err(AudioFileError::Rate {
                path: target,
                rate_hz,
            });
        }
        let channel_count = u16::try_from(channels)
            .ok()
            .filter(|_| (1..=MAX_CHANNELS).contains(&channels));
        let Some(channel_count) = channel_count else {
            return Err(AudioFileError::Channels {
                path: target,
                channels,
            });
        };
        if target.is_dir() {
            return Err(AudioFileError::IsFolder(target));
        }
        let folder = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        if !folder.is_dir() {
            return Err(AudioFileError::FolderMissing(folder));
        }
        let part = create_part(&folder).map_err(|e| AudioFileError::writing(&target, e))?;
        let file = part
            .as_file()
            .try_clone()
            .map_err(|e| AudioFileError::writing(&target, e))?;
        let spec = WavSpec {
            channels: channel_count,
            sample_rate: rate_hz,
            bits_per_sample: format.bits(),
            sample_format: match format {
                WavFormat::Float32 => hound::SampleFormat::Float,
                WavFormat::Int8 | WavFormat::Int16 | WavFormat::Int24 => hound::SampleFormat::Int,
            },
        };
        let wav = WavWriter::new(BufWriter::new(file), spec)
            .map_err(|e| AudioFileError::writing(&target, into_io(e)))?;
        Ok(Self {
            target,
            part,
            wav,
            format,
            channels,
            data_bytes: 0,
            clipped: 0,
        })
    }

    /// Appends whole frames of interleaved samples, full scale -1 to 1.
    ///
    /// Whole-number formats round to the nearest step and limit at full scale. NaN becomes 0 in every format, and
    /// an infinite sample full scale; both count as clipped.
    ///
    /// # Errors
    /// [`AudioFileError::PartialFrame`], [`AudioFileError::TooBigForWav`] (before anything of the block is written),
    /// or a failing disk.
    pub fn write(&mut self, interleaved: &[f32]) -> Result<(), AudioFileError> {
        if !interleaved.len().is_multiple_of(self.channels) {
            return Err(AudioFileError::PartialFrame {
                samples: interleaved.len(),
                channels: self.channels,
            });
        }
        let bytes = interleaved.len() as u64 * u64::from(self.format.bits() / 8);
        if self.data_bytes.saturating_add(bytes) > MAX_DATA_BYTES {
            return Err(AudioFileError::TooBigForWav(self.target.clone()));
        }
        self.data_bytes += bytes;
        for sample in interleaved {
            let written = match self.format {
                WavFormat::Float32 => {
                    let sample = self.finite(*sample);
                    self.wav.write_sample(sample)
                }
                WavFormat::Int8 => {
                    let step = self.quantised(*sample, 128.0);
                    self.wav.write_sample(step)
                }
                WavFormat::Int16 => {
                    let step = self.quantised(*sample, 32_768.0);
                    self.wav.write_sample(step)
                }
                WavFormat::Int24 => {
                    let step = self.quantised(*sample, 8_388_608.0);
                    self.wav.write_sample(step)
                }
            };
            written.map_err(|e| AudioFileError::writing(&self.target, into_io(e)))?;
        }
        Ok(())
    }

    /// Samples so far that did not fit: beyond full scale in a whole-number format, or not finite.
    #[must_use]
    pub fn clipped(&self) -> u64 {
        self.clipped
    }

    /// Completes the file, makes sure it is on the disk and puts it in place of the target; returns
    /// [`AudioWriter::clipped`]. The permissions are those of the file it replaces, else the usual ones.
    ///
    /// # Errors
    /// A failing disk or folder; the target is then as it was.
    pub fn finish(self) -> Result<u64, AudioFileError> {
        let Self {
            target,
            part,
            wav,
            clipped,
            ..
        } = self;
        let on_io = |e| AudioFileError::writing(&target, e);
        wav.finalize().map_err(|e| on_io(into_io(e)))?;
        if let Ok(existing) = fs::metadata(&target) {
            part.as_file()
                .set_permissions(existing.permissions())
                .map_err(on_io)?;
        }
        part.as_file().sync_all().map_err(on_io)?;
        part.persist(&target).map_err(|e| on_io(e.error))?;
        Ok(clipped)
    }

    fn finite(&mut self, sample: f32) -> f32 {
        if sample.is_finite() {
            return sample;
        }
        self.clipped += 1;
        if sample.is_nan() {
            0.0
        } else {
            sample.clamp(-1.0, 1.0)
        }
    }

    fn quantised(&mut self, sample: f32, full_scale: f32) -> i32 {
        // In f64: a 24-bit step just below full scale plus rounding does not fit f32.
        let step = (f64::from(self.finite(sample)) * f64::from(full_scale)).round();
        let limited = step.clamp(-f64::from(full_scale), f64::from(full_scale) - 1.0);
        if limited != step {
            self.clipped += 1;
        }
        limited as i32
    }
}

/// A hidden file in `folder` with the permissions a new file of the user would get.
fn create_part(folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".drfm-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The system takes the user's umask off these.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

fn into_io(e: hound::Error) -> std::io::Error {
    match e {
        hound::Error::IoError(e) => e,
        other => std::io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_wav_is_told_before_it_is_crossed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.wav");
        let mut writer = AudioWriter::create(&target, 48_000, 1, WavFormat::Int16).unwrap();
        writer.data_bytes = MAX_DATA_BYTES - 3;
        assert!(writer.write(&[0.0]).is_ok());
        assert!(matches!(
            writer.write(&[0.0]),
            Err(AudioFileError::TooBigForWav(_))
        ));
    }

    #[test]
    fn a_full_disk_gets_its_own_sentence() {
        let full = AudioFileError::writing(
            Path::new("a.wav"),
            into_io(hound::Error::IoError(
                std::io::ErrorKind::StorageFull.into(),
            )),
        );
        assert!(full.to_string().contains("disk is full"), "{full}");
    }
}
