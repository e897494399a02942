//! `drfm paper best`: the best image denoiser that 100 training images and this family of models allow.

use drfm_engine::image::ImageSet;
use drfm_engine::image::augment::Augmentation;
use drfm_engine::image::baselines::{PcaWiener, best_gaussian_width, gaussian_filter};
use drfm_engine::image::model::{noise_deviation, with_noise};
use drfm_engine::image::training::{ImageTrainer, ImageTraining};
use drfm_engine::metrics::image::{mean_psnr_db, mean_ssim};
use drfm_engine::model::ModelKind;
use drfm_engine::paper::images::{self, COPIES, NOISE_SHARE, TILE_SCALE, TILES};
use serde_json::{Value, json};

use super::lab::Lab;
use crate::failure::Failure;
use crate::picture::{panel, save};
use crate::report::Table;

/// Features of a model that sees whole images, with the noise integrated.
const WHOLE_FEATURES: usize = 8000;
/// One image set to measure on: clean, noisy, name.
struct Judge {
    clean: ImageSet,
    noisy: ImageSet,
}

impl Judge {
    fn new(clean: ImageSet, seed: u64) -> Self {
        let noisy = with_noise(&clean, NOISE_SHARE, seed);
        Self { clean, noisy }
    }

    fn psnr(&self, denoised: &ImageSet) -> f64 {
        mean_psnr_db(&self.clean, &denoised.clipped())
    }
}

/// Trains one model after another and prints how each denoises.
pub fn run(lab: &mut Lab<'_>, class: &str) -> Result<(), Failure> {
    let seed = lab.arguments.seed;
    let (train, test) = lab.class(class)?;
    let chosen_on = Judge::new(lab.chosen_on(class)?, seed);
    let test = Judge::new(test, seed);
    let mut table = Table::new([
        "",
        "features",
        "PSNR, chosen on",
        "PSNR, held out",
        "SSIM",
        "seconds",
    ]);
    let mut values: Vec<Value> = Vec::new();
    let mut add = |name: &str, features: Option<usize>, images: [&ImageSet; 2], seconds: f64| {
        let [first, second] = images;
        let numbers = (chosen_on.psnr(first), test.psnr(second));
        let ssim = mean_ssim(&test.clean, &second.clipped());
        table.row([
            name.to_owned(),
            features.map_or("-".to_owned(), |n| n.to_string()),
            format!("{:.2}", numbers.0),
            format!("{:.2}", numbers.1),
            format!("{ssim:.3}"),
            format!("{seconds:.0}"),
        ]);
        values.push(json!({
            "model": name, "features": features, "psnr_chosen_on_db": numbers.0,
            "psnr_db": numbers.1, "ssim": ssim, "seconds": seconds,
        }));
    };
    add("noisy", None, [&chosen_on.noisy, &test.noisy], 0.0);
    let deviation = noise_deviation(NOISE_SHARE);
    let width = best_gaussian_width(&train, NOISE_SHARE);
    let of = |f: &dyn Fn(&ImageSet) -> ImageSet| [f(&chosen_on.noisy), f(&test.noisy)];
    let [a, b] = of(&|noisy| gaussian_filter(noisy, width));
    add("Gaussian filter", None, [&a, &b], 0.0);
    let mut shown = Vec::new();
    for (name, copies) in [
        ("PCA-Wiener filter", Augmentation::default()),
        ("PCA-Wiener filter, copies", COPIES),
    ] {
        let filter = PcaWiener::fitted(&train, &copies, NOISE_SHARE);
        let [a, b] = of(&|noisy| filter.denoise(noisy, deviation));
        add(name, None, [&a, &b], 0.0);
        shown.push((name, b.clipped()));
    }
    for (name, training) in ladder(lab)? {
        let trained = lab.train(&format!("{class}, {name}"), &training, &train)?;
        let denoise = |noisy: &ImageSet| {
            use drfm_engine::diffusion::Sampler;
            trained.model.denoise(noisy, deviation, Sampler::Mean, seed)
        };
        let (a, b) = (denoise(&chosen_on.noisy)?, denoise(&test.noisy)?);
        add(name, Some(training.features), [&a, &b], trained.seconds);
        shown.push((name, b));
    }
    let name = format!("best-{class}");
    let fifteen = |set: &ImageSet| set.part(0..images::SHOWN);
    let (clean, noisy) = (fifteen(&test.clean), fifteen(&test.noisy.clipped()));
    let shown: Vec<(&str, ImageSet)> = shown.iter().map(|(n, s)| (*n, fifteen(s))).collect();
    let mut parts = vec![("CLEAN", &clean), ("NOISY", &noisy)];
    parts.extend(shown.iter().map(|(n, s)| (*n, s)));
    save(&panel::sheets(&parts, 3), &lab.path(&format!("{name}.png")))?;
    let text = format!(
        "{name}: {} images, K = {}, seed {seed}; chosen on {} images of the training half that were not trained on, held out: {} of the test half\n{table}",
        images::TRAIN,
        images::TIMESTEPS,
        chosen_on.clean.len(),
        test.clean.len(),
    );
    lab.tell(&name, &text, &json!(values))
}

/// What is tried, each step with what the last one had.
fn ladder(lab: &Lab<'_>) -> Result<Vec<(&'static str, ImageTraining)>, Failure> {
    let sizes = lab.sizes(images::TIMESTEPS, lab.arguments.seed);
    let paper = |features| ImageTraining::paper(features, images::TIMESTEPS);
    let mut first = paper(sizes.features)?;
    first.seed = sizes.seed;
    first.trainer = ImageTrainer::ClosedForm { rows: sizes.rows };
    let mut whole = ImageTraining {
        features: WHOLE_FEATURES.min(sizes.features),
        trainer: ImageTrainer::Exact { pairs: sizes.rows },
        ..first.clone()
    };
    let integrated = whole.clone();
    whole.augmentation = COPIES;
    let tiles = ImageTraining {
        features: sizes.features,
        tiles: Some(TILES),
        scale: TILE_SCALE,
        ..integrated.clone()
    };
    let copies = ImageTraining {
        augmentation: COPIES,
        ..tiles.clone()
    };
    let rf = ImageTraining {
        kind: ModelKind::Rf,
        ..copies.clone()
    };
    Ok(vec![
        ("DRFM as in the paper", first),
        ("DRFM, noise integrated", integrated),
        ("DRFM, integrated, copies", whole),
        ("DRFM, integrated, tiles", tiles),
        ("DRFM, tiles, copies", copies),
        ("RF, tiles, copies", rf),
    ])
}
