//! Figures 2 to 5: images.

use drfm_engine::diffusion::{Schedule, StartVariance};
use drfm_engine::image::ImageSet;
use drfm_engine::model::ModelKind;
use drfm_engine::paper::images::{self, Method};
use drfm_engine::rng::StableRng;
use serde_json::json;

use super::lab::{Lab, name_of};
use crate::failure::Failure;
use crate::picture::{panel, save};
use crate::report::Table;

/// Figure 2: dresses from noise.
pub fn two(lab: &mut Lab<'_>) -> Result<(), Failure> {
    compare(lab, "figure2", true)
}

/// Figure 3: dresses denoised.
pub fn three(lab: &mut Lab<'_>) -> Result<(), Failure> {
    compare(lab, "figure3", false)
}

fn compare(lab: &mut Lab<'_>, name: &str, generated: bool) -> Result<(), Failure> {
    let seed = lab.arguments.seed;
    let (_, held_out) = lab.class("dress")?;
    let first = if generated {
        noise(&held_out, seed)?
    } else {
        images::corrupted(&held_out, seed).clipped()
    };
    let title = if generated {
        "GAUSSIAN NOISE"
    } else {
        "CORRUPTED"
    };
    let mut parts = vec![(title.to_owned(), first)];
    let mut rows = Rows::default();
    for (kind, method) in lab.methods() {
        let shown = lab.shown("dress", images::TIMESTEPS, kind, method, seed)?;
        let images = if generated {
            &shown.0.generated
        } else {
            &shown.0.denoised
        };
        parts.push((name_of(kind, method), images.clone()));
        rows.add(&name_of(kind, method), images::TIMESTEPS, &shown.0, shown.1);
    }
    let parts: Vec<(&str, &ImageSet)> = parts.iter().map(|(t, s)| (t.as_str(), s)).collect();
    save(&panel::sheets(&parts, 2), &lab.path(&format!("{name}.png")))?;
    rows.tell(lab, name, "dress")
}

/// Figure 4: K = 1000.
pub fn four(lab: &mut Lab<'_>) -> Result<(), Failure> {
    let seed = lab.arguments.seed;
    let mut rows = Rows::default();
    let mut parts = Vec::new();
    for timesteps in [images::MANY_TIMESTEPS, images::TIMESTEPS] {
        let shown = lab.shown(
            "dress",
            timesteps,
            ModelKind::Drfm,
            Method::ClosedForm,
            seed,
        )?;
        rows.add("DRFM, closed form", timesteps, &shown.0, shown.1);
        parts.push((
            format!("GENERATED K {timesteps}"),
            shown.0.generated.clone(),
        ));
        parts.push((format!("DENOISED K {timesteps}"), shown.0.denoised.clone()));
    }
    let parts: Vec<(&str, &ImageSet)> = parts.iter().map(|(t, s)| (t.as_str(), s)).collect();
    save(&panel::sheets(&parts, 2), &lab.path("figure4.png"))?;
    rows.tell(lab, "figure4", "dress")
}

/// Figure 5: shoes.
pub fn five(lab: &mut Lab<'_>) -> Result<(), Failure> {
    let seed = lab.arguments.seed;
    let (_, held_out) = lab.class("shoes")?;
    let mut rows = Rows::default();
    let shown = lab.shown(
        "shoes",
        images::TIMESTEPS,
        ModelKind::Drfm,
        Method::ClosedForm,
        seed,
    )?;
    rows.add("DRFM, closed form", images::TIMESTEPS, &shown.0, shown.1);
    let parts = [
        ("GAUSSIAN NOISE", &noise(&held_out, seed)?),
        ("GENERATED", &shown.0.generated),
        ("CORRUPTED", &images::corrupted(&held_out, seed).clipped()),
        ("DENOISED", &shown.0.denoised),
    ];
    save(&panel::sheets(&parts, 2), &lab.path("figure5.png"))?;
    rows.tell(lab, "figure5", "shoes: sandal, sneaker and ankle boot")
}

/// What generation starts from, as grey values.
fn noise(like: &ImageSet, seed: u64) -> Result<ImageSet, Failure> {
    let schedule = Schedule::linear_beta(images::TIMESTEPS, 1e-4, 0.02).map_err(Failure::of)?;
    let deviation = match StartVariance::AsScheduled {
        StartVariance::Unit => 1.0,
        StartVariance::AsScheduled => (1.0 - schedule.alpha_bar(images::TIMESTEPS)).sqrt(),
    };
    let mut rng = StableRng::new(seed, 0);
    let pixels = (0..images::SHOWN * like.dim())
        .map(|_| (0.5 + 0.25 * deviation * rng.normal()) as f32)
        .collect();
    Ok(ImageSet::from_pixels(like.width(), like.height(), pixels).clipped())
}

/// The table under a figure.
#[derive(Default)]
struct Rows {
    table: Option<Table>,
    values: Vec<serde_json::Value>,
    below: String,
}

impl Rows {
    fn add(&mut self, name: &str, timesteps: usize, shown: &images::Shown, seconds: f64) {
        let table = self.table.get_or_insert_with(|| {
            Table::new([
                "model",
                "K",
                "trained numbers",
                "training loss",
                "PSNR dB",
                "SSIM",
                "Frechet",
                "nearest",
                "seconds",
            ])
        });
        let e = &shown.evaluation;
        let g = e.generation.as_ref();
        let number =
            |v: Option<f64>, digits: usize| v.map_or("-".to_owned(), |v| format!("{v:.digits$}"));
        table.row([
            name.to_owned(),
            timesteps.to_string(),
            shown.parameters.to_string(),
            format!("{:.4}", shown.loss),
            format!("{:.2}", e.psnr_db),
            format!("{:.3}", e.ssim),
            number(g.and_then(|g| g.frechet), 1),
            number(g.and_then(|g| g.nearest).map(|n| n.mean_distance), 3),
            format!("{seconds:.0}"),
        ]);
        let of_images = g.and_then(|g| g.nearest_of_images).map(|n| n.mean_distance);
        self.below = format!(
            "denoising, {} held-out images: noisy {:.2} dB (SSIM {:.3}), Gaussian filter {} dB, PCA-Wiener filter {} dB\nof {} samples: Frechet distance in pixels ({} for training images), mean distance to the nearest training image ({} for held-out images)\n",
            e.images,
            e.psnr_noisy_db,
            e.ssim_noisy,
            number(e.psnr_gaussian_db, 2),
            number(e.psnr_pca_wiener_db, 2),
            images::SAMPLES,
            number(g.and_then(|g| g.frechet_training), 1),
            number(of_images, 3),
        );
        self.values.push(json!({
            "model": name,
            "timesteps": timesteps,
            "trainable_parameters": shown.parameters,
            "training_loss": shown.loss,
            "seconds": seconds,
            "evaluation": e,
        }));
    }

    fn tell(self, lab: &Lab<'_>, name: &str, class: &str) -> Result<(), Failure> {
        let head = format!(
            "{name}: {class}, {} images, {} features, seed {}\n",
            images::TRAIN,
            lab.arguments.features,
            lab.arguments.seed
        );
        let table = self.table.map_or(String::new(), |t| t.to_string());
        let text = format!("{head}{table}{}", self.below);
        lab.tell(name, &text, &json!(self.values))
    }
}
