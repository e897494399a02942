//! `drfm eval --report DIR`: a web page to look at and listen to, that needs nothing but its folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use drfm_engine::audio::spectrogram::Spectrogram;
use drfm_engine::audio::writer::{AudioWriter, WavFormat};
use drfm_engine::eval::{
    CleanClip, EvalOptions, Evaluation, Heard, Listener, Measures, MethodKind, MixtureName,
    NoiseKind,
};
use image::RgbImage;
use tempfile::TempDir;

use crate::failure::Failure;
use crate::picture;

mod curves;
mod html;

/// Longest excerpt that is shown and heard, in seconds.
pub const EXCERPT_SECONDS: f64 = 6.0;
/// Input SNR of the excerpts: the level nearest to this, in dB.
const HEARD_AT_DB: f64 = 10.0;
/// Size of a spectrogram in pixels.
const COLUMNS: usize = 520;
const ROWS: usize = 200;
/// Frequencies shown, in Hz.
pub const RANGE_HZ: (f64, f64) = (40.0, 20_000.0);
/// Levels shown, in dB below the loudest of the clean recording.
pub const RANGE_DB: f32 = 90.0;

/// A page being made: in a hidden folder beside its place until it is whole.
pub struct Page {
    target: PathBuf,
    folder: TempDir,
}

/// One signal of an excerpt.
pub struct Sound {
    /// Number of the method among all, or `None` for the clean recording.
    pub method: Option<usize>,
    /// File names in the folder, without ending.
    pub file: String,
    /// Its measures on this mixture.
    pub measures: Option<Measures>,
}

/// A mixture that is shown and heard.
pub struct Excerpt {
    /// Instrument or folder.
    pub group: String,
    /// Noise.
    pub noise: String,
    /// Input SNR in dB.
    pub level_db: f64,
    /// Length in seconds.
    pub seconds: f64,
    /// Clean, noisy, and what methods made of it.
    pub sounds: Vec<Sound>,
}

impl Page {
    /// Checks that the page can be written, before any work is done.
    ///
    /// # Errors
    /// A file or a folder with something in it at its place, a missing folder above it, or no right to write there.
    pub fn begin(target: &Path) -> Result<Self, Failure> {
        let shown = target.display();
        if target.is_dir() {
            let empty = fs::read_dir(target).is_ok_and(|mut d| d.next().is_none());
            if !empty {
                return Err(Failure::Failed(format!(
                    "{shown} has something in it: give a new folder for the report, or delete it first"
                )));
            }
        } else if fs::symlink_metadata(target).is_ok() {
            return Err(Failure::Failed(format!(
                "{shown} is a file: give a new folder for the report"
            )));
        }
        let above = match target.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        if !above.is_dir() {
            return Err(Failure::Failed(format!(
                "there is no folder {}: create it first",
                above.display()
            )));
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".drfm-report-");
        #[cfg(unix)]
        {
            // As any other new folder; the system takes off the umask.
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(fs::Permissions::from_mode(0o777));
        }
        let folder = builder
            .tempdir_in(above)
            .map_err(|e| Failure::Failed(format!("cannot write the report {shown}: {e}")))?;
        Ok(Self {
            target: target.to_path_buf(),
            folder,
        })
    }

    /// Writes the page and moves the folder into place.
    ///
    /// # Errors
    /// When the disk does not allow it; nothing is left behind then.
    pub fn finish(
        self,
        result: &Evaluation,
        excerpts: &[Excerpt],
        options: &EvalOptions,
        files: usize,
    ) -> Result<(), Failure> {
        let failed = |e: std::io::Error| {
            Failure::Failed(format!(
                "writing the report {} failed: {e}",
                self.target.display()
            ))
        };
        let page = html::page(result, excerpts, options, files);
        fs::write(self.folder.path().join("index.html"), page).map_err(failed)?;
        if self.target.is_dir() {
            fs::remove_dir(&self.target).map_err(failed)?;
        }
        fs::rename(self.folder.path(), &self.target).map_err(failed)?;
        // It is in its place: there is nothing left to delete.
        let _ = self.folder.keep();
        Ok(())
    }
}

/// Keeps one excerpt of each instrument and noise, as files in the page's folder.
pub struct Keeper<'a> {
    folder: &'a Path,
    /// The first clip of each group.
    clips: Vec<usize>,
    noises: Vec<String>,
    level_db: f64,
    kept: Mutex<Vec<(usize, usize, Excerpt)>>,
}

impl<'a> Keeper<'a> {
    /// For these recordings, noises and levels.
    pub fn new(
        page: &'a Page,
        clean: &[CleanClip],
        noises: &[NoiseKind],
        options: &EvalOptions,
    ) -> Self {
        let first = |i: &usize| {
            let group = |i: usize| clean.get(i).map(|c| c.group.as_str());
            !(0..*i).any(|before| group(before) == group(*i))
        };
        let distance = |level: &f64| (level - HEARD_AT_DB).abs();
        let levels = options.levels_db.iter().copied();
        Self {
            folder: page.folder.path(),
            clips: (0..clean.len()).filter(first).collect(),
            noises: noises.iter().map(|n| n.name.clone()).collect(),
            level_db: levels
                .min_by(|a, b| distance(a).total_cmp(&distance(b)))
                .unwrap_or(HEARD_AT_DB),
            kept: Mutex::new(Vec::new()),
        }
    }

    /// The excerpts in the order of recordings and noises.
    pub fn into_kept(self) -> Vec<Excerpt> {
        let mut kept = self
            .kept
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        kept.sort_by_key(|(clip, noise, _)| (*clip, *noise));
        kept.into_iter().map(|(_, _, excerpt)| excerpt).collect()
    }

    fn place(&self, mixture: &MixtureName<'_>) -> Option<(usize, usize)> {
        let clip = self.clips.iter().position(|c| *c == mixture.clip)?;
        let noise = self.noises.iter().position(|n| n == mixture.noise)?;
        (mixture.level_db == self.level_db).then_some((clip, noise))
    }
}

impl Listener for Keeper<'_> {
    fn wants(&self, mixture: &MixtureName<'_>) -> bool {
        self.place(mixture).is_some()
    }

    fn hear(&self, mixture: &MixtureName<'_>, heard: &Heard<'_>) -> Result<(), String> {
        let Some((clip, noise)) = self.place(mixture) else {
            return Ok(());
        };
        let length = (EXCERPT_SECONDS * f64::from(heard.rate_hz)) as usize;
        let length = length.min(heard.clean.len());
        let cut = |x: &'_ [f32]| x.get(..length).unwrap_or(x).to_vec();
        let mut signals = vec![(None, None, cut(heard.clean))];
        for (m, (measures, estimate)) in heard.estimates.iter().enumerate() {
            if shown(heard, m) {
                signals.push((Some(m), Some(*measures), cut(estimate)));
            }
        }
        // One gain for all, so that they can be compared and none clips.
        let peak = signals
            .iter()
            .flat_map(|(_, _, x)| x)
            .fold(0.0f32, |p, x| p.max(x.abs()));
        let gain = if peak > 0.99 { 0.99 / peak } else { 1.0 };
        let mut top = None;
        let mut sounds = Vec::new();
        for (number, (method, measures, mut signal)) in signals.into_iter().enumerate() {
            for x in &mut signal {
                *x *= gain;
            }
            let file = format!("{}-{}-{number}", clip + 1, noise + 1);
            let at = |ending: &str| self.folder.join(format!("{file}.{ending}"));
            let mut wav = AudioWriter::create(at("wav"), heard.rate_hz, 1, WavFormat::Int16)
                .map_err(|e| e.to_string())?;
            wav.write(&signal).map_err(|e| e.to_string())?;
            wav.finish().map_err(|e| e.to_string())?;
            let levels = spectrogram(heard.rate_hz, &signal);
            let top = *top.get_or_insert(levels.iter().copied().fold(f32::MIN, f32::max));
            picture::save(&draw(&levels, top), &at("png")).map_err(|e| e.to_string())?;
            sounds.push(Sound {
                method,
                file,
                measures,
            });
        }
        let excerpt = Excerpt {
            group: mixture.group.to_owned(),
            noise: mixture.noise.to_owned(),
            level_db: mixture.level_db,
            seconds: length as f64 / f64::from(heard.rate_hz),
            sounds,
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push((clip, noise, excerpt));
        Ok(())
    }
}

/// The input, the classical denoiser with the best SNR on this mixture, peers and models; not the oracle.
fn shown(heard: &Heard<'_>, method: usize) -> bool {
    let classical = |m: &usize| {
        let kind = heard.kinds.get(*m);
        matches!(
            kind,
            Some(MethodKind::Classical | MethodKind::ClassicalLive)
        )
    };
    if !classical(&method) {
        return heard.kinds.get(method) != Some(&MethodKind::Oracle);
    }
    let snr = |m: &usize| heard.estimates.get(*m).map_or(f64::MIN, |e| e.0.snr_db);
    let all = (0..heard.estimates.len()).filter(classical);
    all.max_by(|a, b| snr(a).total_cmp(&snr(b))) == Some(method)
}

fn spectrogram(rate_hz: u32, signal: &[f32]) -> Vec<f32> {
    let total = signal.len() as u64;
    let mut spectrogram = Spectrogram::new(rate_hz, total, COLUMNS, ROWS, RANGE_HZ.0, RANGE_HZ.1);
    spectrogram.push(signal);
    spectrogram.finish()
}

fn draw(levels: &[f32], top: f32) -> RgbImage {
    let mut image = RgbImage::new(COLUMNS as u32, ROWS as u32);
    for (x, column) in (0u32..).zip(levels.chunks_exact(ROWS)) {
        for (up, level) in (0u32..).zip(column) {
            let share = 1.0 + (level - top) / RANGE_DB;
            picture::put(&mut image, x, ROWS as u32 - 1 - up, picture::colour(share));
        }
    }
    image
}
