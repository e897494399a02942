//! `drfm paper table`: DRFM, NN and RF by both trainers, mean and spread over seeds.

use drfm_engine::model::ModelKind;
use drfm_engine::paper::images::{self, Method};
use serde_json::json;

use super::lab::{Lab, name_of};
use crate::failure::Failure;
use crate::report::Table;

const ROWS: [(ModelKind, Method); 7] = [
    (ModelKind::Drfm, Method::ClosedForm),
    (ModelKind::Rf, Method::ClosedForm),
    (ModelKind::Drfm, Method::Tiles),
    (ModelKind::Rf, Method::Tiles),
    (ModelKind::Drfm, Method::Adam),
    (ModelKind::Rf, Method::Adam),
    (ModelKind::Nn, Method::Adam),
];

/// Prints the table.
pub fn run(lab: &mut Lab<'_>, class: &str, seeds: u64) -> Result<(), Failure> {
    let mut table = Table::new([
        "model",
        "training loss",
        "PSNR dB",
        "SSIM",
        "Frechet",
        "nearest",
        "seconds",
    ]);
    let mut values = Vec::new();
    let (mut below, mut with_copies) = (String::new(), None);
    for (kind, method) in ROWS {
        let mut columns: [Vec<f64>; 6] = Default::default();
        for seed in lab.arguments.seed..lab.arguments.seed + seeds {
            let shown = lab.shown(class, images::TIMESTEPS, kind, method, seed)?;
            let e = &shown.0.evaluation;
            let g = e.generation.as_ref();
            let numbers = [
                Some(shown.0.loss),
                Some(e.psnr_db),
                Some(e.ssim),
                g.and_then(|g| g.frechet),
                g.and_then(|g| g.nearest).map(|n| n.mean_distance),
                Some(shown.1),
            ];
            for (column, number) in columns.iter_mut().zip(numbers) {
                column.extend(number);
            }
            with_copies = e.psnr_pca_wiener_copies_db.or(with_copies);
            below = format!(
                "noisy {:.2} dB, Gaussian filter {:.2} dB, PCA-Wiener filter {:.2} dB, with copies {:.2} dB (last seed, {} held-out images)\n",
                e.psnr_noisy_db,
                e.psnr_gaussian_db.unwrap_or_default(),
                e.psnr_pca_wiener_db.unwrap_or_default(),
                with_copies.unwrap_or_default(),
                e.images
            );
            values.push(json!({
                "model": name_of(kind, method), "seed": seed, "training_loss": shown.0.loss,
                "seconds": shown.1, "evaluation": e,
            }));
        }
        let digits = [4, 2, 3, 1, 3, 0];
        let cells = columns
            .iter()
            .zip(digits)
            .map(|(c, d)| mean_and_spread(c, d));
        table.row(std::iter::once(name_of(kind, method)).chain(cells));
    }
    let name = format!("table-{class}");
    let text = format!(
        "{name}: {} images, {} features, K = {}, {} rows, {} epochs of Adam, {seeds} seeds: mean (standard deviation)\n{table}{below}",
        images::TRAIN,
        lab.arguments.features,
        images::TIMESTEPS,
        lab.arguments.rows,
        lab.epochs(),
    );
    lab.tell(&name, &text, &json!(values))
}

fn mean_and_spread(values: &[f64], digits: usize) -> String {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let spread = (square / (n - 1.0).max(1.0)).sqrt();
    format!("{mean:.digits$} ({spread:.digits$})")
}

#[cfg(test)]
mod tests {
    #[test]
    fn spread_is_that_of_a_sample() {
        assert_eq!(super::mean_and_spread(&[1.0, 3.0], 2), "2.00 (1.41)");
        assert_eq!(super::mean_and_spread(&[5.0], 1), "5.0 (0.0)");
    }
}
