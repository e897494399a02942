//! `drfm paper adam-step`: what an epoch of Adam costs at the paper's size.

use std::time::Instant;

use drfm_engine::image::ImageSet;
use drfm_engine::image::rows::FreshRows;
use drfm_engine::model::{ModelKind, RandomFeatures};
use drfm_engine::paper::images::{self, Method};
use drfm_engine::rng::StableRng;
use drfm_engine::train::{AdamParams, AdamState, Control, TrainEvent};
use serde_json::json;

use super::lab::Lab;
use crate::commands::image::cpu_seconds;
use crate::commands::training::peak_memory_bytes;
use crate::failure::Failure;
use crate::interrupt;

/// Epochs that are measured, after one that is not.
const EPOCHS: u64 = 5;
/// Side of the images.
const SIDE: usize = 28;

/// Prints the cost.
pub fn run(lab: &Lab<'_>) -> Result<(), Failure> {
    let mut rng = StableRng::new(lab.arguments.seed, 0);
    let pixels = (0..images::TRAIN * SIDE * SIDE)
        .map(|_| rng.normal() as f32)
        .collect();
    let x0 = ImageSet::from_pixels(SIDE, SIDE, pixels);
    let sizes = lab.sizes(images::TIMESTEPS, lab.arguments.seed);
    let training = images::training(ModelKind::Drfm, Method::Adam, &sizes)?;
    let features = RandomFeatures::draw(&training.draw(SIDE, SIDE)).map_err(Failure::of)?;
    let params = AdamParams {
        kind: ModelKind::Drfm,
        steps: EPOCHS + 1,
        batch: images::TRAIN,
        report_every: 1,
        ..AdamParams::default()
    };
    let mut state =
        AdamState::new(features, images::TIMESTEPS, SIDE * SIDE, params).map_err(Failure::of)?;
    let rows = FreshRows::new(&x0, &training.schedule)?;
    let mut times = Vec::new();
    let mut last = (Instant::now(), cpu_seconds());
    let mut loss = 0.0;
    state
        .train(&rows, &mut |event| {
            if let TrainEvent::Step { loss: l, .. } = event {
                let now = (Instant::now(), cpu_seconds());
                let cpu = now.1.unwrap_or_default() - last.1.unwrap_or_default();
                times.push(((now.0 - last.0).as_secs_f64(), cpu));
                last = now;
                loss = *l;
            }
            match interrupt::control() {
                Control::Stop => Control::Stop,
                Control::Continue => Control::Continue,
            }
        })
        .map_err(Failure::of)?;
    interrupt::check()?;
    // The first epoch touches its memory for the first time.
    times.remove(0);
    let median = |of: &dyn Fn(&(f64, f64)) -> f64| {
        let mut all: Vec<f64> = times.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    let (wall, cpu) = (median(&|t| t.0), median(&|t| t.1));
    let least = times.iter().map(|t| t.0).fold(f64::INFINITY, f64::min);
    let memory = peak_memory_bytes().unwrap_or_default() / 1_000_000;
    let text = format!(
        "drfm, {} threads: {wall:.3} s an epoch (least {least:.3}), {cpu:.3} s of processor time, {memory} MB, loss {loss:.4}\n{} features, {} pixels, {} timesteps, {} images; the same in PyTorch: python3 tests/paper/adam_step.py\n",
        rayon::current_num_threads(),
        lab.arguments.features,
        SIDE * SIDE,
        images::TIMESTEPS,
        images::TRAIN,
    );
    let value =
        json!({"seconds": wall, "least_seconds": least, "cpu_seconds": cpu, "megabytes": memory});
    lab.tell("adam-step", &text, &value)
}
