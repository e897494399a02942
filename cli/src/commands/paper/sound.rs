//! Figures 6 and 7: a guitar and a flute.

use std::rc::Rc;

use drfm_engine::audio::find::find_audio_files;
use drfm_engine::audio::waveform_generate::join_windows;
use drfm_engine::audio::writer::{AudioWriter, WavFormat};
use drfm_engine::image::training::{ImageTrainer, ImageTraining};
use drfm_engine::model::ModelKind;
use drfm_engine::paper::audio::{self, Clips, Heard};
use drfm_engine::paper::images::{self, Method, Sizes};
use serde_json::json;

use super::lab::{Lab, name_of};
use crate::failure::Failure;
use crate::picture::panel::{Plot, plots};
use crate::picture::save;
use crate::report::Table;

/// Peak of the files that are written: -6 dB full scale.
const PEAK: f32 = 0.5;
/// Rows of a minibatch of Adam: there are only two clips, each is taken 16 times with its own noise.
const BATCH: usize = 32;

/// Figure 6: clips from noise.
pub fn six(lab: &mut Lab<'_>) -> Result<(), Failure> {
    figure(lab, "figure6", true)
}

/// Figure 7: guitar and flute together, denoised.
pub fn seven(lab: &mut Lab<'_>) -> Result<(), Failure> {
    figure(lab, "figure7", false)
}

fn clips(lab: &Lab<'_>) -> Result<(Clips, Vec<String>), Failure> {
    let mut found = Vec::new();
    let mut names = Vec::new();
    for instrument in ["guitar", "flute"] {
        let folder = lab.arguments.data.join(instrument).join("train");
        let mut points = None;
        for path in find_audio_files(std::slice::from_ref(&folder), false).map_err(Failure::of)? {
            points = audio::read_points(&path).map_err(Failure::of)?;
            if points.is_some() {
                names.push(
                    path.file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned(),
                );
                break;
            }
        }
        found.push(points.ok_or_else(|| {
            Failure::Failed(format!(
                "no recording in {} is at least {:.2} s long: give longer ones",
                folder.display(),
                audio::POINTS as f64 / f64::from(audio::RATE_HZ)
            ))
        })?);
    }
    let flute = found.pop().unwrap_or_default();
    let guitar = found.pop().unwrap_or_default();
    let clips = Clips::new(guitar, flute);
    let clips = if lab.arguments.both_polarities {
        clips.with_both_polarities()
    } else {
        clips
    };
    Ok((clips, names))
}

fn figure(lab: &mut Lab<'_>, name: &str, generated: bool) -> Result<(), Failure> {
    let (clips, names) = clips(lab)?;
    let seed = lab.arguments.seed;
    let mut table = Table::new([
        "model",
        "features",
        "SNR in dB",
        "SNR out dB",
        "likeness of samples",
        "seconds",
    ]);
    let mut values = Vec::new();
    let mut parts = if generated {
        vec![
            wave("GUITAR", clips.train.image(0)),
            wave("FLUTE", clips.train.image(1)),
        ]
    } else {
        vec![
            wave("GUITAR AND FLUTE", clips.mixture.pixels()),
            wave("NOISY", clips.noisy(seed).pixels()),
        ]
    };
    write_wav(lab, &format!("{name}-guitar"), clips.train.image(0))?;
    write_wav(lab, &format!("{name}-flute"), clips.train.image(1))?;
    write_wav(lab, &format!("{name}-mixture"), clips.mixture.pixels())?;
    write_wav(lab, &format!("{name}-noisy"), clips.noisy(seed).pixels())?;
    for (kind, method) in lab.methods() {
        let found = model(lab, &clips, kind, method)?;
        let (heard, features, seconds) = &*found;
        let title = name_of(kind, method);
        table.row([
            title.clone(),
            features.to_string(),
            format!("{:.2}", heard.snr_noisy_db),
            format!("{:.2}", heard.snr_db),
            heard
                .likeness
                .iter()
                .map(|l| format!("{l:.2}"))
                .collect::<Vec<_>>()
                .join(" "),
            format!("{seconds:.0}"),
        ]);
        values.push(json!({
            "model": title, "features": features, "snr_noisy_db": heard.snr_noisy_db,
            "snr_db": heard.snr_db, "likeness": heard.likeness, "seconds": seconds,
        }));
        let file = title.to_lowercase().replace(", ", "-").replace(' ', "-");
        let made = if generated {
            &heard.generated
        } else {
            &heard.denoised
        };
        for (i, clip) in made.images().enumerate() {
            let number = if generated {
                format!("-{}", i + 1)
            } else {
                String::new()
            };
            write_wav(lab, &format!("{name}-{file}{number}"), clip)?;
            parts.push(wave(&format!("{title}{}", number.replace('-', " ")), clip));
        }
    }
    let across = if generated { 2 } else { 1 };
    save(
        &plots(&parts, 560, 110, across),
        &lab.path(&format!("{name}.png")),
    )?;
    let text = format!(
        "{name}: {} points at {} Hz of {} and of {}{}, K = {}, seed {seed}\n{table}likeness: correlation of a sample with the clip it is most like; SNR of the middle between the clips: {:.2} dB\n",
        audio::POINTS,
        audio::RATE_HZ,
        names.first().map_or("", String::as_str),
        names.last().map_or("", String::as_str),
        if lab.arguments.both_polarities {
            ", in both polarities"
        } else {
            ""
        },
        images::TIMESTEPS,
        clips.snr_of_middle_db(),
    );
    lab.tell(name, &text, &json!(values))
}

fn model(
    lab: &mut Lab<'_>,
    clips: &Clips,
    kind: ModelKind,
    method: Method,
) -> Result<Rc<(Heard, usize, f64)>, Failure> {
    if let Some(found) = lab.heard.get(&(kind as u8, method)) {
        return Ok(Rc::clone(found));
    }
    let pairs = audio::PAIRS_OF_CLIP * clips.train.len();
    let sizes = Sizes {
        features: lab.arguments.audio_features as usize,
        timesteps: images::TIMESTEPS,
        rows: pairs,
        epochs: lab.epochs(),
        batch: BATCH,
        seed: lab.arguments.seed,
    };
    let mut training: ImageTraining = images::training(kind, method, &sizes)?;
    if method == Method::ClosedForm {
        training.trainer = ImageTrainer::Exact { pairs };
    }
    let title = format!("clips, {}", name_of(kind, method));
    let trained = lab.train(&title, &training, &clips.train)?;
    let heard = audio::hear(&trained.model, clips, lab.arguments.seed)?;
    let features = trained.model.drfm().n_features();
    let found = Rc::new((heard, features, trained.seconds));
    lab.heard.insert((kind as u8, method), Rc::clone(&found));
    Ok(found)
}

fn wave(title: &str, points: &[f32]) -> Plot<'static> {
    let line = points.iter().enumerate();
    let seconds = |i: usize| i as f64 / f64::from(audio::RATE_HZ);
    Plot {
        title: title.to_owned(),
        lines: vec![("", line.map(|(i, p)| (seconds(i), f64::from(*p))).collect())],
    }
}

fn write_wav(lab: &Lab<'_>, name: &str, points: &[f32]) -> Result<(), Failure> {
    let signal = join_windows(&[points.to_vec()], 0, PEAK);
    let path = lab.path(&format!("{name}.wav"));
    let mut writer =
        AudioWriter::create(&path, audio::RATE_HZ, 1, WavFormat::Int16).map_err(Failure::of)?;
    writer.write(&signal).map_err(Failure::of)?;
    writer.finish().map_err(Failure::of)?;
    Ok(())
}
