//! `drfm paper scale`: time and memory of training against features, pixels, timesteps and images.
//!
//! Memory is what a process took at most, so each measurement is a process of its own: `drfm image train --json`.

use std::path::Path;
use std::process::Command;

use drfm_engine::image::source::Query;
use serde_json::{Value, json};

use super::lab::Lab;
use crate::failure::Failure;
use crate::report::{self, Table};

/// Sides of images, in pixels, that are measured beside the 28 of the data.
const SIDES: [usize; 2] = [14, 56];
/// Images in the files of other sizes.
const RESIZED: usize = 100;

/// Trains one model after another, each in its own process, and prints what it took.
pub fn run(lab: &mut Lab<'_>) -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(Failure::of)?;
    let (n, rows) = (lab.arguments.features, lab.arguments.rows);
    let data = lab.fashion("train").display().to_string();
    let rows = rows.to_string();
    let mut jobs: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |name: String, n: u32, data: &str, more: &[&str]| {
        let features = n.to_string();
        let options = [data, "--features", &features]
            .into_iter()
            .chain(more.iter().copied());
        jobs.push((name, options.map(str::to_owned).collect()));
    };
    let dresses = ["--class", "dress", "--rows", &rows];
    for part in [16, 4, 1] {
        let n = (n / part).max(1);
        add(format!("N {n}"), n, &data, &dresses);
    }
    let few = (n / 4).max(1);
    for k in ["10", "1000"] {
        let more = [&dresses[..], &["--timesteps", k]].concat();
        add(format!("N {few}, K {k}"), few, &data, &more);
    }
    for side in SIDES {
        let path = folder.path().join(format!("{side}-idx3"));
        write_resized(lab, &path, side)?;
        let name = format!("N {few}, d {}", side * side);
        add(name, few, &path.display().to_string(), &["--rows", &rows]);
    }
    for count in ["10", "1000"] {
        let more = [&dresses[..], &["--count", count]].concat();
        add(format!("N {few}, {count} images"), few, &data, &more);
    }
    let tiles = [
        &dresses[..],
        &["--trainer", "exact", "--tile", "4", "--margin", "4"],
    ]
    .concat();
    add(format!("tiles, N {n}"), n, &data, &tiles);
    let (few, sums) = (
        few.min(512),
        folder.path().join("stats").display().to_string(),
    );
    for count in ["600", "6000", "60000"] {
        let more = [
            "--timesteps",
            "20",
            "--draws",
            "20",
            "--count",
            count,
            "--stats-out",
            &sums,
        ];
        add(
            format!("sums, N {few}, K 20, {count} images"),
            few,
            &data,
            &more,
        );
    }
    let mut table = Table::new(["what", "wall s", "processor s", "MB"]);
    let mut values = Vec::new();
    for (name, options) in jobs {
        eprintln!("training {name}");
        let found = measured(&options, folder.path())?;
        let number = |key: &str| found.get(key).and_then(Value::as_f64);
        let text =
            |v: Option<f64>, digits: usize| v.map_or("-".to_owned(), |v| format!("{v:.digits$}"));
        table.row([
            name.clone(),
            text(number("wall_seconds"), 1),
            text(number("cpu_seconds"), 1),
            text(number("peak_memory_bytes").map(|b| b / 1e6), 0),
        ]);
        values.push(json!({"what": name, "options": options, "found": found}));
    }
    let text = format!(
        "scale: K = 100, d = 784, 100 images, {rows} rows where nothing else is said; sums: images read once from disk\n{table}"
    );
    lab.tell("scale", &text, &json!(values))
}

/// The JSON of one `drfm image train`.
fn measured(options: &[String], folder: &Path) -> Result<Value, Failure> {
    crate::interrupt::check()?;
    let drfm = std::env::current_exe().map_err(Failure::of)?;
    let mut command = Command::new(drfm);
    command.args(["image", "train", "--json"]).args(options);
    if !options.iter().any(|o| o == "--stats-out") {
        command.arg("-o").arg(folder.join("model.drfm"));
    }
    let out = command.output().map_err(Failure::of)?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr).trim().to_owned();
        return Err(Failure::Failed(format!(
            "drfm image train {}: {said}",
            options.join(" ")
        )));
    }
    serde_json::from_slice(&out.stdout).map_err(Failure::of)
}

/// The first dresses with `side` x `side` pixels, as an idx file.
fn write_resized(lab: &Lab<'_>, path: &Path, side: usize) -> Result<(), Failure> {
    let query = Query {
        paths: vec![lab.fashion("train")],
        class: Some("dress".parse()?),
        ..Query::default()
    };
    let images = query.read(Some(RESIZED))?;
    let (w, h) = (images.width(), images.height());
    let mut bytes = vec![0, 0, 8, 3];
    for size in [images.len(), side, side] {
        bytes.extend((size as u32).to_be_bytes());
    }
    for image in images.images() {
        for at in 0..side * side {
            let (x, y) = (at % side * w / side, at / side * h / side);
            let pixel = image.get(y * w + x).copied().unwrap_or_default();
            bytes.push((pixel * 255.0).round() as u8);
        }
    }
    report::write_file(path, &bytes)
}
