//! `drfm inspect`: what a model is, how it was trained, what each timestep gates.

use std::path::{Path, PathBuf};

use drfm_engine::audio::denoiser::{NoiseSource, StreamDenoiser};
use drfm_engine::audio::model::DenoiserModel;
use drfm_engine::audio::trainer::TRAINING_RATE_HZ;
use drfm_engine::model::file::{Domain, ModelFile};
use drfm_engine::model::gates::gate_summaries;
use drfm_engine::model::trainable_parameters;
use image::RgbImage;
use serde_json::{Value, json};

use super::training::steps_table;
use crate::failure::Failure;
use crate::report::Table;
use crate::{models, picture, report};

/// Shows what a model is, how it was trained, and what each timestep does with its features.
///
/// A model is a set of random sine features. For each timestep, that is for each level of noise, gates say how much of
/// each feature is let through. The tables show how many gates are open (more than 0.75), closed (less than 0.25) and
/// turned over (negative), and how much they are like those of the timestep before.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  drfm inspect guitar
  drfm inspect mine.drfm --picture gates.png")]
pub struct Arguments {
    /// guitar, flute, general, or the path of a model file.
    model: String,
    /// Draw the gates: a row per timestep, a column per feature; bright is open.
    #[arg(long, value_name = "OUT.png")]
    picture: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Inspects.
///
/// # Errors
/// When the model cannot be read or the picture cannot be written.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(path) = &arguments.picture {
        picture::check_target(path)?;
    }
    let file = models::load_file(&arguments.model)?;
    let denoiser = match file.domain {
        Domain::Spectral => Some(DenoiserModel::from_file(file.clone()).map_err(Failure::of)?),
        _ => None,
    };
    if arguments.json {
        report::print_json(&as_json(&arguments.model, &file, denoiser.as_ref()))?;
    } else {
        report::print(&as_text(&arguments.model, &file, denoiser.as_ref()))?;
    }
    match &arguments.picture {
        Some(path) => draw(&file, path),
        None => Ok(()),
    }
}

/// Name and latency in ms of each mode, and the names of its steps.
fn modes(denoiser: Option<&DenoiserModel>) -> Vec<(&'static str, f64, Vec<String>)> {
    let Some(denoiser) = denoiser else {
        return Vec::new();
    };
    let name_of = |step: &std::sync::Arc<_>| {
        let found = denoiser
            .steps()
            .iter()
            .find(|(_, s)| std::sync::Arc::ptr_eq(s, step));
        found.map(|(name, _)| name.clone()).unwrap_or_default()
    };
    denoiser
        .modes()
        .filter_map(|mode| {
            let chain = denoiser.chain(mode).ok()?;
            let stream = StreamDenoiser::new(chain, TRAINING_RATE_HZ, 1, NoiseSource::Adaptive);
            let ms = 1000.0 * stream.latency_samples() as f64 / f64::from(stream.rate_hz());
            let steps = [
                Some(&chain.first),
                chain.long.as_ref(),
                chain.refine.as_ref(),
            ];
            Some((
                mode.name(),
                ms,
                steps.into_iter().flatten().map(name_of).collect(),
            ))
        })
        .collect()
}

/// Where the range of the instrument begins, in Hz; 0 for any instrument.
fn lowest_hz(denoiser: &DenoiserModel) -> f32 {
    let steps = denoiser.steps().values();
    steps.map(|s| s.config.lowest_hz).fold(0.0, f32::max)
}

fn level_of(denoiser: Option<&DenoiserModel>, part: &str, timestep: usize) -> Option<f64> {
    let step = denoiser?.steps().get(part)?;
    Some(step.config.schedule.snr_db(timestep))
}

fn as_json(name: &str, file: &ModelFile, denoiser: Option<&DenoiserModel>) -> Value {
    let parts: serde_json::Map<String, Value> = file
        .parts
        .iter()
        .map(|(name, part)| {
            let m = &part.model;
            let gates: Vec<Value> = gate_summaries(m)
                .iter()
                .map(|g| json!({"snr_db": level_of(denoiser, name, g.timestep), "gates": g}))
                .collect();
            let about = json!({
                "inputs": m.d_in(),
                "outputs": m.d_out(),
                "features": m.n_features(),
                "timesteps": m.timesteps(),
                "trainable_parameters":
                    trainable_parameters(file.kind, m.d_in(), m.d_out(), m.timesteps(), m.n_features()),
                "per_timestep": gates,
            });
            (name.clone(), about)
        })
        .collect();
    let modes: Vec<Value> = modes(denoiser)
        .into_iter()
        .map(|(mode, ms, steps)| json!({"mode": mode, "latency_ms": ms, "steps": steps}))
        .collect();
    json!({
        "model": name,
        "domain": file.domain,
        "kind": file.kind,
        "modes": modes,
        "lowest_hz": denoiser.map(lowest_hz),
        "parts": parts,
        "training": file.training,
    })
}

fn as_text(name: &str, file: &ModelFile, denoiser: Option<&DenoiserModel>) -> String {
    let mut text = format!(
        "{name}: a {} model of kind {}\n",
        format!("{:?}", file.domain).to_lowercase(),
        format!("{:?}", file.kind).to_uppercase()
    );
    let mut table = Table::new(["mode", "latency", "steps"]);
    for (mode, ms, steps) in modes(denoiser) {
        table.row([mode.to_owned(), format!("{ms:.1} ms"), steps.join(" + ")]);
    }
    if let Some(denoiser) = denoiser {
        text.push_str(&format!("\nModes (latency at 48 kHz)\n{table}"));
        text.push_str(&match lowest_hz(denoiser) {
            0.0 => "\nRange: any instrument\n".to_owned(),
            hz => format!("\nRange: from {hz:.0} Hz on; what is below is taken for rumble\n"),
        });
    }
    let mut table = Table::new([
        "part",
        "inputs",
        "features",
        "timesteps",
        "outputs",
        "trained numbers",
    ]);
    for (name, part) in &file.parts {
        let m = &part.model;
        let numbers = trainable_parameters(
            file.kind,
            m.d_in(),
            m.d_out(),
            m.timesteps(),
            m.n_features(),
        );
        let sizes = [m.d_in(), m.n_features(), m.timesteps(), m.d_out(), numbers];
        table.row(std::iter::once(name.clone()).chain(sizes.map(|n| n.to_string())));
    }
    text.push_str(&format!("\nParts\n{table}"));
    for (stage, title) in [
        ("first_stage", "first stage"),
        ("second_stage", "second stage"),
    ] {
        if let Some(about) = file.training.get(stage) {
            let number = |key: &str| about.get(key).and_then(Value::as_f64).unwrap_or_default();
            text.push_str(&format!(
                "\nTraining, {title}: {} recordings, {} of sound",
                number("recordings"),
                report::duration(number("seconds"))
            ));
        }
    }
    text.push_str(&format!("\n{}", steps_table(&file.training)));
    for (name, part) in &file.parts {
        let mut table = Table::new([
            "timestep",
            "SNR",
            "mean gate",
            "open",
            "closed",
            "negative",
            "like previous",
        ]);
        for g in gate_summaries(&part.model) {
            table.row([
                g.timestep.to_string(),
                level_of(denoiser, name, g.timestep)
                    .map_or("".to_owned(), |db| format!("{db:.1} dB")),
                format!("{:.3}", g.mean),
                g.open.to_string(),
                g.closed.to_string(),
                g.negative.to_string(),
                format!("{:.3}", g.like_previous),
            ]);
        }
        text.push_str(&format!(
            "\nGates of {name}, {} features\n{table}",
            part.model.n_features()
        ));
    }
    text
}

/// Height of a timestep in the picture, and the gap between parts, in pixels.
const ROW: u32 = 8;
const GAP: u32 = 22;
/// Features beyond these do not fit into a picture.
const MOST_COLUMNS: usize = 8_192;
/// Timesteps beyond these do not fit.
const MOST_ROWS: usize = 1_000;

fn draw(file: &ModelFile, path: &Path) -> Result<(), Failure> {
    let shown = |n: usize, most: usize| u32::try_from(n.min(most)).unwrap_or(0);
    let width = file
        .parts
        .values()
        .map(|p| shown(p.model.n_features(), MOST_COLUMNS))
        .max()
        .unwrap_or(1);
    let height = file
        .parts
        .values()
        .map(|p| GAP + ROW * shown(p.model.timesteps(), MOST_ROWS))
        .sum::<u32>();
    let mut image = RgbImage::new(width.max(256), height.max(1));
    let mut y = 0;
    for (name, part) in &file.parts {
        picture::label(&mut image, 2, y + 6, name);
        y += GAP;
        for timestep in 1..=part.model.timesteps().min(MOST_ROWS) {
            for (x, gate) in (0u32..).zip(part.model.gates(timestep).iter().take(MOST_COLUMNS)) {
                for down in 0..ROW {
                    picture::put(&mut image, x, y + down, picture::colour(gate.abs()));
                }
            }
            y += ROW;
        }
    }
    picture::save(&image, path)
}
