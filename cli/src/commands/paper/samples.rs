//! `drfm paper samples`: how good samples are, by model, number of timesteps and number of features, and whether they
//! are copies of training images.

use drfm_engine::model::ModelKind;
use drfm_engine::paper::images::{self, MANY_TIMESTEPS, Method, SAMPLES, Sizes, TIMESTEPS};
use serde_json::json;

use super::lab::{Lab, name_of};
use crate::failure::Failure;
use crate::picture::{panel, save};
use crate::report::Table;

/// Parts of the number of features, ascending; all of them last.
const PARTS: [usize; 4] = [64, 16, 4, 1];

/// Trains, generates and prints.
pub fn run(lab: &mut Lab<'_>, class: &str) -> Result<(), Failure> {
    let seed = lab.arguments.seed;
    let (train, held_out) = lab.class(class)?;
    let mut jobs = Vec::new();
    let all = lab.arguments.features as usize;
    for timesteps in [TIMESTEPS, MANY_TIMESTEPS] {
        for (kind, method) in lab.methods() {
            jobs.push((kind, method, timesteps, all));
        }
    }
    for part in PARTS.into_iter().filter(|part| *part > 1 && all / part > 0) {
        let job = (
            ModelKind::Drfm,
            Method::ClosedForm,
            MANY_TIMESTEPS,
            all / part,
        );
        jobs.push(job);
    }
    let mut table = Table::new([
        "model",
        "features",
        "K",
        "training loss",
        "PSNR dB",
        "Frechet",
        "nearest",
        "least",
        "seconds",
    ]);
    let (mut values, mut shown, mut below) = (Vec::new(), Vec::new(), String::new());
    for (kind, method, timesteps, features) in jobs {
        let sizes = Sizes {
            features,
            ..lab.sizes(timesteps, seed)
        };
        let training = images::training(kind, method, &sizes)?;
        let title = name_of(kind, method);
        let name = format!("{class}, K {timesteps}, N {features}, {title}");
        let trained = lab.train(&name, &training, &train)?;
        let found = images::show(&trained.model, &train, &held_out, super::lab::JUDGED, seed)?;
        let Some(judged) = found.evaluation.generation else {
            continue;
        };
        let nearest = judged.nearest;
        let number =
            |v: Option<f64>, digits: usize| v.map_or("-".to_owned(), |v| format!("{v:.digits$}"));
        table.row([
            title.clone(),
            features.to_string(),
            timesteps.to_string(),
            format!("{:.4}", found.loss),
            format!("{:.2}", found.evaluation.psnr_db),
            number(judged.frechet, 1),
            number(nearest.map(|n| n.mean_distance), 3),
            number(nearest.map(|n| n.least_distance), 3),
            format!("{:.0}", trained.seconds),
        ]);
        below = format!(
            "of {SAMPLES} samples; training images: Frechet {}, nearest other training image {}; held-out images: nearest training image {} (least {})\n",
            number(judged.frechet_training, 1),
            number(judged.nearest_in_training.map(|n| n.mean_distance), 3),
            number(judged.nearest_of_images.map(|n| n.mean_distance), 3),
            number(judged.nearest_of_images.map(|n| n.least_distance), 3),
        );
        values.push(json!({
            "model": title, "features": features, "timesteps": timesteps,
            "training_loss": found.loss, "psnr_db": found.evaluation.psnr_db, "generation": judged,
            "seconds": trained.seconds,
        }));
        let label = format!("{title} K {timesteps} N {features}");
        shown.push((label, found.generated));
    }
    let name = format!("samples-{class}");
    let parts: Vec<_> = shown.iter().map(|(t, s)| (t.as_str(), s)).collect();
    save(&panel::sheets(&parts, 3), &lab.path(&format!("{name}.png")))?;
    let text = format!(
        "{name}: {} images, {} rows, {} epochs of Adam, seed {seed}\n{table}{below}",
        images::TRAIN,
        lab.arguments.rows,
        lab.epochs(),
    );
    lab.tell(&name, &text, &json!(values))
}
