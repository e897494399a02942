//! Which files are read, and where each result goes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drfm_engine::audio::denoiser::Output;
use drfm_engine::audio::file_denoise::{FileJob, FileNoise, same_file};
use drfm_engine::audio::find::find_audio_files;
use drfm_engine::audio::reader::read_all;

use super::{Arguments, Bits, Stretch};
use crate::failure::Failure;
use crate::report;

/// Most samples of a noise recording: an hour of stereo at 48 kHz.
const MOST_NOISE_SAMPLES: u64 = 2 * 3600 * 48_000;
/// What the names of files end in that are written beside their input.
const BESIDE: &str = ".denoised.wav";

/// One file to do.
pub struct Task {
    /// The job.
    pub job: FileJob,
    /// The output was there already and is to be kept.
    pub skip: bool,
}

/// The files to do.
///
/// # Errors
/// When inputs are missing, outputs collide with inputs or each other, or the noise recording is of no use.
pub fn plan(arguments: &Arguments) -> Result<Vec<Task>, Failure> {
    let mut pairs: Vec<(PathBuf, PathBuf)> = Vec::new();
    if let Some(output) = &arguments.output
        && !output
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("wav") || e.eq_ignore_ascii_case("wave"))
        && !output.is_dir()
    {
        return Err(Failure::Usage(format!(
            "the output {} must end in .wav, the format that is written",
            output.display()
        )));
    }
    if let Some(folder) = &arguments.out_dir {
        make_folder(folder)?;
    }
    for given in &arguments.inputs {
        let is_folder = given.is_dir();
        if is_folder && arguments.output.is_some() {
            return Err(Failure::Usage(format!(
                "{} is a folder, and -o names one file: use --out-dir",
                given.display()
            )));
        }
        for input in find_audio_files(std::slice::from_ref(given), arguments.recursive)
            .map_err(Failure::of)?
        {
            // Results of an earlier run on the same folder are no recordings.
            if is_folder && arguments.out_dir.is_none() && input.to_string_lossy().ends_with(BESIDE)
            {
                continue;
            }
            let output = match (&arguments.output, &arguments.out_dir) {
                (Some(output), _) => output.clone(),
                (None, Some(folder)) => {
                    let inside = if is_folder {
                        input.strip_prefix(given).ok()
                    } else {
                        None
                    };
                    let name = inside
                        .or_else(|| input.file_name().map(Path::new))
                        .unwrap_or(&input);
                    folder.join(name).with_extension("wav")
                }
                (None, None) => beside(&input),
            };
            if !pairs.iter().any(|(i, _)| *i == input) {
                pairs.push((input, output));
            }
        }
    }
    if arguments.output.is_some() && pairs.len() != 1 {
        return Err(Failure::Usage(format!(
            "-o names one file, but {} recordings were given: use --out-dir",
            pairs.len()
        )));
    }
    let mut taken: BTreeMap<&Path, &Path> = BTreeMap::new();
    for (input, output) in &pairs {
        if let Some(other) = taken.insert(output, input) {
            return Err(Failure::Usage(format!(
                "{} and {} would both be written to {}: denoise them apart",
                other.display(),
                input.display(),
                output.display()
            )));
        }
        if let Some((source, _)) = pairs.iter().find(|(source, _)| same_file(source, output)) {
            return Err(Failure::Failed(format!(
                "{} would be written over {}, which is one of the inputs: choose another output",
                output.display(),
                source.display()
            )));
        }
    }
    let noise = choose_noise(arguments)?;
    let mut tasks = Vec::new();
    for (input, output) in pairs {
        if let (Some(folder), Some(parent)) = (&arguments.out_dir, output.parent())
            && parent != folder
        {
            std::fs::create_dir_all(parent).map_err(|e| {
                Failure::Failed(format!(
                    "cannot create the folder {}: {e}",
                    parent.display()
                ))
            })?;
        }
        tasks.push(Task {
            skip: arguments.skip_existing && output.exists(),
            job: FileJob {
                input,
                output,
                format: arguments.bits.map(Bits::format),
                noise: noise.clone(),
                follow_level: !arguments.noise_fixed,
                linked: !arguments.unlinked,
                amount_db: arguments.amount_db,
                heard: if arguments.residual {
                    Output::Removed
                } else {
                    Output::Denoised
                },
            },
        });
    }
    if tasks.is_empty() {
        return Err(Failure::Failed(
            "there is nothing to denoise: all files found are results already".to_owned(),
        ));
    }
    Ok(tasks)
}

fn make_folder(folder: &Path) -> Result<(), Failure> {
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::create_dir(folder).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Failure::Failed(format!(
            "there is no folder {}: create it first",
            folder.parent().unwrap_or(folder).display()
        )),
        std::io::ErrorKind::AlreadyExists => Failure::Failed(format!(
            "{} is a file: give a folder to write into",
            folder.display()
        )),
        _ => Failure::Failed(format!(
            "cannot create the folder {}: {e}",
            folder.display()
        )),
    })
}

fn beside(input: &Path) -> PathBuf {
    let mut name = input.file_stem().unwrap_or_default().to_os_string();
    name.push(BESIDE);
    input.with_file_name(name)
}

fn choose_noise(arguments: &Arguments) -> Result<FileNoise, Failure> {
    if let Some(Stretch { start, end }) = arguments.noise_from {
        return Ok(FileNoise::Stretch { start, end });
    }
    let Some(path) = &arguments.noise_file else {
        return Ok(FileNoise::Adaptive);
    };
    let clip = read_all(path, MOST_NOISE_SAMPLES).map_err(Failure::of)?;
    if clip
        .channels
        .iter()
        .flatten()
        .all(|x| *x == 0.0 || !x.is_finite())
    {
        return Err(Failure::Failed(format!(
            "{} is silent: give a recording of the noise alone",
            path.display()
        )));
    }
    if clip.truncated || clip.damaged {
        report::warn(&format!(
            "{} is cut short or damaged: using what can be read",
            path.display()
        ));
    }
    Ok(FileNoise::Recording(Arc::new(clip)))
}
