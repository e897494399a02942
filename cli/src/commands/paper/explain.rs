//! `drfm paper explain`: what makes the model interpretable.

use drfm_engine::diffusion::Schedule;
use drfm_engine::image::ImageSet;
use drfm_engine::image::model::ImageModel;
use drfm_engine::model::Drfm;
use drfm_engine::model::ModelKind;
use drfm_engine::model::gates::{features_by_use, power_per_output};
use drfm_engine::paper::bound::{Point, compare};
use drfm_engine::paper::images::{self, Method, Sizes};
use image::RgbImage;
use serde_json::json;

use super::lab::Lab;
use crate::failure::Failure;
use crate::picture::panel::{Plot, plots, sheets};
use crate::picture::{colour, put, save};
use crate::report::Table;

/// Numbers of features that the bound is measured at.
const SIZES: [usize; 7] = [250, 500, 1000, 2000, 4000, 8000, 16_000];
/// Rows of the closed form there: their ridge is chosen for each size.
const ROWS: usize = 4000;
/// Features whose gates are drawn as lines, and that are shown as patterns.
const SHOWN: usize = 15;
/// Features in the picture of all gates.
const COLUMNS: usize = 900;

/// Draws gates, patterns and the bound.
pub fn run(lab: &mut Lab<'_>, class: &str) -> Result<(), Failure> {
    let (train, held_out) = lab.class(class)?;
    let seed = lab.arguments.seed;
    let features = lab.arguments.features as usize;
    let sizes = Sizes {
        rows: ROWS.min(lab.arguments.rows as usize),
        ..lab.sizes(images::TIMESTEPS, seed)
    };
    let training = images::training(ModelKind::Drfm, Method::ClosedForm, &sizes)?;
    let trained = lab.train(&format!("{class}, DRFM, closed form"), &training, &train)?;
    let (model, used) = (&trained.model, features_by_use(trained.model.drfm()));
    save(&gates(model.drfm(), &used), &lab.path("gates.png"))?;
    save(
        &gate_curves(model, &training.schedule, &used),
        &lab.path("gate-curves.png"),
    )?;
    save(&patterns(model, &used), &lab.path("patterns.png"))?;
    let points = compare(
        &training,
        &SIZES,
        &train,
        &held_out.part(0..50),
        &mut |_| crate::interrupt::control(),
    )?;
    save(&bound_picture(&points), &lab.path("bound.png"))?;
    let mut table = Table::new([
        "features",
        "measured",
        "bound",
        "training loss",
        "held-out loss",
    ]);
    for p in &points {
        table.row([
            p.features.to_string(),
            format!("{:.3}", p.measured),
            format!("{:.1}", p.bound),
            format!("{:.4}", p.loss),
            format!("{:.4}", p.held_out_loss),
        ]);
    }
    let text = format!(
        "explain: {class}, {features} features, K = {}, seed {seed}\ngates.png: cos(theta1[k]) over k, most used feature first; gate-curves.png: those of {SHOWN} features; patterns.png: what they look for and what they predict\nbound.png: Eq. 25 and 30 against the distance to the widest model\n{table}",
        images::TIMESTEPS
    );
    lab.tell("explain", &text, &json!(points))
}

/// A row per timestep, a column per feature, most used first: bright is open, black is closed.
fn gates(model: &Drfm, used: &[usize]) -> RgbImage {
    let (rows, height) = (model.timesteps() as u32, 4);
    let columns = used.len().min(COLUMNS);
    let mut picture = RgbImage::new(columns as u32, rows * height);
    for k in 0..rows {
        for (x, n) in (0u32..).zip(&used[..columns]) {
            let gate = model.theta1()[[k as usize, *n]].cos().abs();
            for dy in 0..height {
                put(&mut picture, x, k * height + dy, colour(gate));
            }
        }
    }
    picture
}

fn gate_curves(model: &ImageModel, schedule: &Schedule, used: &[usize]) -> RgbImage {
    let theta1 = model.drfm().theta1();
    let parts: Vec<Plot<'_>> = used
        .iter()
        .take(SHOWN)
        .map(|n| Plot {
            title: format!("FEATURE {n}"),
            lines: vec![(
                "",
                (0..theta1.nrows())
                    .map(|k| (schedule.snr_db(k + 1), f64::from(theta1[[k, *n]].cos())))
                    .collect(),
            )],
        })
        .collect();
    plots(&parts, 150, 80, 5)
}

/// Columns of W, which features look for, beside rows of theta2, what they say the noise looks like.
fn patterns(model: &ImageModel, used: &[usize]) -> RgbImage {
    let (w, h) = (model.recipe().width, model.recipe().height);
    let (mut look_for, mut predict) = (ImageSet::new(w, h), ImageSet::new(w, h));
    for n in used.iter().take(SHOWN) {
        let column = model.drfm().features().weights().column(*n).to_vec();
        look_for.push(&centred(&column));
        predict.push(&centred(&model.drfm().theta2().row(*n).to_vec()));
    }
    let spectrum = ImageSet::from_pixels(w, h, centred(&power_per_output(model.drfm())));
    sheets(
        &[
            ("LOOKED FOR - W", &look_for),
            ("PREDICTED - THETA2", &predict),
            ("MEAN POWER OF THETA2", &spectrum),
        ],
        3,
    )
}

/// Around the middle of 0 to 1.
fn centred(values: &[f32]) -> Vec<f32> {
    let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
    let largest = values.iter().fold(1e-12f32, |l, v| l.max((v - mean).abs()));
    values
        .iter()
        .map(|v| 0.5 + 0.5 * (v - mean) / largest)
        .collect()
}

fn bound_picture(points: &[Point]) -> RgbImage {
    let line = |of: &dyn Fn(&Point) -> f64| -> Vec<(f64, f64)> {
        points
            .iter()
            .map(|p| ((p.features as f64).log10(), of(p)))
            .collect()
    };
    let logarithm = |v: f64| if v > 0.0 { v.log10() } else { f64::NAN };
    let errors = Plot {
        title: "LOG10 ERROR OVER LOG10 N".to_owned(),
        lines: vec![
            ("BOUND", line(&|p| logarithm(p.bound))),
            ("MEASURED", line(&|p| logarithm(p.measured))),
        ],
    };
    let losses = Plot {
        title: "LOSS OVER LOG10 N".to_owned(),
        lines: vec![
            ("TRAINING IMAGES", line(&|p| p.loss)),
            ("HELD OUT", line(&|p| p.held_out_loss)),
        ],
    };
    plots(&[errors, losses], 420, 260, 2)
}
