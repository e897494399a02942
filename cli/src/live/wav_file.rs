//! A WAV file that is whole on the disk at any time: its header tells of nothing that is not there.
//!
//! Samples are collected and written in one go together with the header. When the disk refuses, the file is cut back to
//! where header and samples were last in agreement.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hound::{SampleFormat, WavSpec, WavWriter};

/// What a file on a disk can do, so that a test can stand in for a full disk.
pub trait Disk: Write + Seek + Send {
    /// Cuts the file off.
    ///
    /// # Errors
    /// Those of the disk.
    fn cut(&mut self, bytes: u64) -> io::Result<()>;
    /// Makes sure that it is on the disk.
    ///
    /// # Errors
    /// Those of the disk.
    fn sync(&mut self) -> io::Result<()>;
}

impl Disk for File {
    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The disk as hound sees it: from the first error on nothing reaches it any more, not even when hound is dropped.
struct Guarded {
    disk: Box<dyn Disk>,
    dead: Arc<AtomicBool>,
}

impl Guarded {
    fn check(&self) -> io::Result<()> {
        if self.dead.load(Ordering::Relaxed) {
            return Err(io::Error::other("the recording has ended"));
        }
        Ok(())
    }

    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.dead.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Write for Guarded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        let written = self.disk.write(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.check()?;
        let flushed = self.disk.flush();
        self.note(flushed)
    }
}

impl Seek for Guarded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.check()?;
        let at = self.disk.seek(to);
        self.note(at)
    }
}

/// Bytes of samples that a WAV file can hold, less some room for the header.
pub const MOST_BYTES: u64 = u32::MAX as u64 - 4096;

/// See the module. 32-bit floating point samples.
pub struct WavFile {
    path: PathBuf,
    wav: Option<WavWriter<io::BufWriter<Guarded>>>,
    dead: Arc<AtomicBool>,
    /// A second handle, to cut the file back.
    rescue: Box<dyn Disk>,
    samples: u64,
    /// Length of the file when it was last in agreement with its header.
    agreed_bytes: u64,
}

impl WavFile {
    /// Begins a new file; an existing one is not touched.
    ///
    /// # Errors
    /// A sentence for a missing folder, an existing file, no permission, a full disk.
    pub fn create(path: &Path, rate_hz: u32, channels: usize) -> Result<Self, String> {
        let told = |e: io::Error| why(path, &e);
        if path.is_dir() {
            return Err(format!(
                "cannot record into {}: it is a folder; give the name of a WAV file in it",
                path.display()
            ));
        }
        if let Some(folder) = path.parent()
            && !folder.as_os_str().is_empty()
            && !folder.is_dir()
        {
            return Err(format!(
                "cannot record into {}: there is no folder {}; create it first",
                path.display(),
                folder.display()
            ));
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(told)?;
        let rescue = file.try_clone().map_err(told)?;
        Self::on(path, Box::new(file), Box::new(rescue), rate_hz, channels)
    }

    /// As [`Self::create`] on any disk; `rescue` is the same file.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn on(
        path: &Path,
        disk: Box<dyn Disk>,
        rescue: Box<dyn Disk>,
        rate_hz: u32,
        channels: usize,
    ) -> Result<Self, String> {
        let spec = WavSpec {
            channels: u16::try_from(channels).unwrap_or(1),
            sample_rate: rate_hz,
            bits_per_sample: 32,
            sample_format: SampleFormat::Float,
        };
        let dead = Arc::new(AtomicBool::new(false));
        let guarded = Guarded {
            disk,
            dead: Arc::clone(&dead),
        };
        let wav = WavWriter::new(io::BufWriter::with_capacity(1 << 16, guarded), spec)
            .map_err(|e| why(path, &into_io(e)))?;
        let mut new = Self {
            path: path.to_owned(),
            wav: Some(wav),
            dead,
            rescue,
            samples: 0,
            agreed_bytes: 0,
        };
        new.refresh()?;
        Ok(new)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether so many more samples fit into a WAV file.
    #[must_use]
    pub const fn has_room(&self, samples: usize) -> bool {
        (self.samples + samples as u64) * 4 <= MOST_BYTES
    }

    /// Samples so far.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// Appends samples; broken ones become silence.
    ///
    /// # Errors
    /// A sentence; the file then ends at the last [`Self::refresh`].
    pub fn write(&mut self, samples: &[f32]) -> Result<(), String> {
        let Some(wav) = &mut self.wav else {
            return Ok(());
        };
        for x in samples {
            let x = if x.is_finite() { *x } else { 0.0 };
            if let Err(e) = wav.write_sample(x) {
                return Err(self.give_up(into_io(e)));
            }
        }
        self.samples += samples.len() as u64;
        Ok(())
    }

    /// Brings samples and header to the disk.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn refresh(&mut self) -> Result<(), String> {
        let Some(wav) = &mut self.wav else {
            return Ok(());
        };
        if let Err(e) = wav.flush() {
            return Err(self.give_up(into_io(e)));
        }
        self.agreed_bytes = self
            .rescue
            .seek(SeekFrom::End(0))
            .map_err(|e| why(&self.path, &e))?;
        Ok(())
    }

    /// Completes the file.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn finish(mut self) -> Result<(), String> {
        self.refresh()?;
        if let Some(wav) = self.wav.take()
            && let Err(e) = wav.finalize()
        {
            return Err(self.give_up(into_io(e)));
        }
        self.rescue.sync().map_err(|e| why(&self.path, &e))
    }

    fn give_up(&mut self, e: io::Error) -> String {
        self.dead.store(true, Ordering::Relaxed);
        self.wav = None;
        // If even that is refused, readers still stop where the header says.
        let _ = self.rescue.cut(self.agreed_bytes);
        why(&self.path, &e)
    }
}

fn into_io(e: hound::Error) -> io::Error {
    match e {
        hound::Error::IoError(e) => e,
        other => io::Error::other(other.to_string()),
    }
}

fn why(path: &Path, e: &io::Error) -> String {
    let path = path.display();
    match e.kind() {
        io::ErrorKind::AlreadyExists => format!(
            "{path} exists already and is not overwritten: give another name or move it away"
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("the disk is full: {path} ends here")
        }
        io::ErrorKind::PermissionDenied => {
            format!("no permission to write {path}: choose another folder")
        }
        _ => format!("writing {path} failed: {e}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(path: &Path) -> Vec<f32> {
        let mut wav = hound::WavReader::open(path).unwrap();
        wav.samples::<f32>().map(|x| x.unwrap()).collect()
    }

    #[test]
    fn a_killed_process_leaves_a_readable_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let mut file = WavFile::create(&path, 48_000, 2).unwrap();
        assert_eq!(read(&path), [0.0f32; 0], "readable from the start");
        let x: Vec<f32> = (0..100_000).map(|i| i as f32 * 1e-5).collect();
        file.write(&x).unwrap();
        file.refresh().unwrap();
        assert_eq!(read(&path), x);
        file.write(&[0.5; 50_000]).unwrap();
        // As if killed: nothing is completed.
        std::mem::forget(file);
        assert_eq!(&read(&path)[..100_000], x);
    }

    #[test]
    fn existing_files_and_missing_folders_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        std::fs::write(&path, "precious").unwrap();
        let told = |path: &Path| WavFile::create(path, 48_000, 1).err().unwrap();
        assert!(told(&path).contains("not overwritten"));
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        assert!(told(&folder.path().join("no/a.wav")).contains("create it first"));
        assert!(told(folder.path()).contains("folder"));
    }

    /// A disk that takes so many bytes and no more.
    struct Full {
        file: File,
        bytes: u64,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let at = self.file.stream_position()?;
            let room = self.bytes.saturating_sub(at).min(bytes.len() as u64) as usize;
            if room == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.file.write(&bytes[..room])
        }

        fn flush(&mut self) -> io::Result<()> {
            self.file.flush()
        }
    }

    impl Seek for Full {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.file.seek(to)
        }
    }

    impl Disk for Full {
        fn cut(&mut self, bytes: u64) -> io::Result<()> {
            self.file.set_len(bytes)
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let file = File::create(&path).unwrap();
        let rescue = Box::new(file.try_clone().unwrap());
        let disk = Box::new(Full {
            file,
            bytes: 300_001,
        });
        let mut file = WavFile::on(&path, disk, rescue, 48_000, 1).unwrap();
        let mut good = 0;
        let error = (0..100)
            .find_map(|i| {
                let piece = vec![i as f32; 4000];
                let done = file.write(&piece).and_then(|()| file.refresh());
                if done.is_ok() {
                    good += 4000;
                }
                done.err()
            })
            .unwrap();
        assert!(error.contains("disk is full"), "{error}");
        assert!(file.write(&[1.0]).is_ok(), "and then nothing more");
        drop(file);
        let x = read(&path);
        assert_eq!(x.len(), good);
        assert_eq!(x.last(), Some(&((good / 4000 - 1) as f32)));
        // Header and length agree.
        let bytes = std::fs::read(&path).unwrap();
        let riff = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
        assert_eq!(riff + 8, bytes.len());
    }
}
