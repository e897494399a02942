//! `drfm image`, `drfm paper`, and `drfm merge` of image statistics, on tiny idx files; the full data if it is there.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use common::{fails, model, works};
use drfm_engine::model::file::{Domain, ModelFile};
use drfm_engine::rng::StableRng;
use image::{GrayImage, Luma, Rgb, RgbImage};

const SMALL: &str = "--features 1500 --timesteps 100 --rows 1600";

/// Images of 10 x 10 pixels, of label 3 (a bar from above) and 7 (a bar from the left) in turn.
fn write_idx(folder: &Path, half: &str, count: usize, seed: u64) {
    let mut rng = StableRng::new(seed, 0);
    let mut images = vec![0, 0, 8, 3];
    let mut labels = vec![0, 0, 8, 1];
    for n in [count, 10, 10] {
        images.extend((n as u32).to_be_bytes());
    }
    labels.extend((count as u32).to_be_bytes());
    for i in 0..count {
        let end = 3 + rng.below(6);
        let shade = 120 + rng.below(120);
        for p in 0..100 {
            let along = if i % 2 == 0 { p / 10 } else { p % 10 };
            images.push(if along < end { shade as u8 } else { 10 });
        }
        labels.push(if i % 2 == 0 { 3 } else { 7 });
    }
    fs::write(folder.join(format!("{half}-images-idx3-ubyte")), images).unwrap();
    fs::write(folder.join(format!("{half}-labels-idx1-ubyte")), labels).unwrap();
}

/// A folder with `train-...` (200 images), `t10k-...` (60) and the model `m.drfm`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_idx(folder.path(), "train", 200, 1);
    write_idx(folder.path(), "t10k", 60, 2);
    folder
}

fn train(folder: &Path, more: &str) -> String {
    works(
        folder,
        &format!("image train train-images-idx3-ubyte --class dress --count 60 {SMALL} {more}"),
    )
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_model_is_trained_generates_denoises_and_is_measured() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let text = train(folder.path(), "-o m.drfm");
    assert!(
        text.contains("60 images of 10 x 10") && text.contains("training loss"),
        "{text}"
    );
    let file = ModelFile::load(&at("m.drfm")).unwrap();
    assert_eq!(file.domain, Domain::Image);
    train(folder.path(), "-o again.drfm");
    assert_eq!(
        fs::read(at("m.drfm")).unwrap(),
        fs::read(at("again.drfm")).unwrap()
    );

    works(folder.path(), "image generate --model m.drfm -n 7 -o a.png");
    works(folder.path(), "image generate --model m.drfm -n 7 -o b.png");
    works(
        folder.path(),
        "image generate --model m.drfm -n 7 -o c.png --seed 2 --sampler ddim --steps 5",
    );
    assert_eq!(
        fs::read(at("a.png")).unwrap(),
        fs::read(at("b.png")).unwrap()
    );
    assert_ne!(
        fs::read(at("a.png")).unwrap(),
        fs::read(at("c.png")).unwrap()
    );
    assert!(image::open(at("a.png")).unwrap().width() > 300);

    let text = works(
        folder.path(),
        "image denoise t10k-images-idx3-ubyte --model m.drfm --add-noise --compare --count 10 -o d.png",
    );
    assert!(text.contains("PSNR") && at("d.png").exists(), "{text}");

    let found = json(&works(
        folder.path(),
        "image eval --model m.drfm t10k-images-idx3-ubyte --class dress --count 20 --samples 10 --json",
    ));
    let number = |key: &str| found[key].as_f64().unwrap();
    assert!(number("psnr_db") > number("psnr_noisy_db") + 4.0, "{found}");
    assert!(number("psnr_pca_wiener_db") > 15.0 && number("ssim") > number("ssim_noisy"));
    assert!(found["generation"]["frechet"].as_f64().unwrap() > 0.0);
    assert!(
        found["generation"]["nearest"]["least_distance"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    let text = works(
        folder.path(),
        "image eval --model m.drfm t10k-images-idx3-ubyte --class dress --count 5 --samples 0",
    );
    assert!(
        text.contains("PCA-Wiener filter") && !text.contains("Generation"),
        "{text}"
    );
}

#[test]
fn kinds_and_trainers() {
    let folder = folder();
    for options in [
        "--kind rf",
        "--kind nn --epochs 20",
        "--trainer adam --epochs 20",
        "--trainer exact",
        "--trainer exact --tile 4 --margin 2 --mirror --kind rf",
    ] {
        let found = json(&train(
            folder.path(),
            &format!("-o k.drfm --json {options}"),
        ));
        assert!(found["training_loss"].as_f64().unwrap() > 0.0, "{found}");
        works(folder.path(), "inspect k.drfm");
    }
    // A stopped run goes on: the same bytes as one that was not stopped.
    train(folder.path(), "-o whole.drfm --trainer adam --epochs 30");
    train(
        folder.path(),
        "-o half.drfm --trainer adam --epochs 10 --checkpoint run",
    );
    train(
        folder.path(),
        "-o joined.drfm --trainer adam --epochs 30 --checkpoint run",
    );
    let load = |name: &str| ModelFile::load(&folder.path().join(name)).unwrap();
    assert_eq!(load("whole.drfm").parts, load("joined.drfm").parts);
}

#[test]
fn parts_gathered_by_a_process_each_are_merged() {
    let folder = folder();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/paper/parts.sh");
    let out = std::process::Command::new("sh")
        .arg(script)
        .args([
            "train-images-idx3-ubyte",
            "4",
            "merged.drfm",
            "--class",
            "dress",
        ])
        .args(["--features", "300", "--timesteps", "8", "--draws", "40"])
        .args(["--beta-first", "0.01", "--beta-last", "0.2"])
        .env("DRFM", env!("CARGO_BIN_EXE_drfm"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let found = json(&works(
        folder.path(),
        "image eval --model merged.drfm t10k-images-idx3-ubyte --class dress --count 20 --samples 0 --json",
    ));
    let gain = found["psnr_db"].as_f64().unwrap() - found["psnr_noisy_db"].as_f64().unwrap();
    assert!(gain > 3.0, "{found}");
    // Parts of other options do not belong together.
    let gather = "image train train-images-idx3-ubyte --count all --timesteps 8 --features 80";
    works(folder.path(), &format!("{gather} --stats-out a.stats"));
    works(
        folder.path(),
        &format!("{gather} --seed 2 --stats-out b.stats"),
    );
    fails(
        folder.path(),
        "merge a.stats b.stats -o x.drfm",
        1,
        "with other options",
    );
    fails(
        folder.path(),
        "merge a.stats --base m.drfm -o x.drfm",
        2,
        "one stage only",
    );
    let bytes = fs::read(folder.path().join("a.stats")).unwrap();
    fs::write(folder.path().join("a.stats"), &bytes[..bytes.len() / 2]).unwrap();
    fails(folder.path(), "merge a.stats -o x.drfm", 1, "cut short");
    assert!(!folder.path().join("x.drfm").exists());
}

#[test]
fn folders_of_pictures_of_any_size_and_colour() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().join("p");
    fs::create_dir(&pictures).unwrap();
    for i in 0..12u8 {
        let path = pictures.join(format!("{i}.png"));
        if i % 2 == 0 {
            let side = 20 + u32::from(i);
            RgbImage::from_fn(side, 20, |x, _| Rgb([(x * 12) as u8, i * 20, 30]))
                .save(path)
                .unwrap();
        } else {
            GrayImage::from_fn(9, 33, |_, y| Luma([(y * 7) as u8]))
                .save(path)
                .unwrap();
        }
    }
    fs::write(pictures.join("notes.txt"), "left out").unwrap();
    works(
        folder.path(),
        &format!("image train p --size 8 --count 12 -o m.drfm {SMALL}"),
    );
    works(
        folder.path(),
        "image denoise p/0.png p/3.png --model m.drfm -o out.png",
    );
    fails(
        folder.path(),
        &format!("image train p --class dress -o x.drfm {SMALL}"),
        2,
        "pictures have no labels",
    );
    fs::write(pictures.join("12.jpg"), b"no picture").unwrap();
    fails(
        folder.path(),
        &format!("image train p --count 13 -o x.drfm {SMALL}"),
        1,
        "12.jpg: this picture cannot be read",
    );
    // A PNG that says it is enormous: refused by its header.
    let mut png = fs::read(pictures.join("0.png")).unwrap();
    png[16..24].copy_from_slice(&[0, 0, 0x7f, 0xff, 0, 0, 0x7f, 0xff]);
    fs::write(pictures.join("0.png"), png).unwrap();
    fails(
        folder.path(),
        "image denoise p/0.png --model m.drfm -o x.png",
        1,
        "cannot be read",
    );
}

#[test]
fn bad_data_ends_in_a_sentence() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let refused = |data: &str, code: i32, part: &str| {
        fails(
            folder.path(),
            &format!("image train {data} -o x.drfm {SMALL}"),
            code,
            part,
        );
        assert!(!at("x.drfm").exists());
    };
    let train = "train-images-idx3-ubyte";
    refused("missing", 1, "no such file");
    refused("train-labels-idx1-ubyte", 1, "these are labels");
    refused(&format!("{train} --class hat"), 2, "there is no class hat");
    refused(
        &format!("{train} --class trouser"),
        1,
        "only 0 images of class trouser",
    );
    refused(
        &format!("{train} --class dress --count 101"),
        1,
        "only 100 images",
    );
    refused(
        &format!("{train} --class dress --labels t10k-labels-idx1-ubyte"),
        1,
        "60 labels",
    );
    refused(&format!("{train} --labels missing"), 1, "no such file");
    let bytes = fs::read(at(train)).unwrap();
    fs::write(at("magic"), [&[1, 2, 3, 4], &bytes[4..]].concat()).unwrap();
    refused("magic", 1, "first four bytes");
    let zipped = |name: &str, bytes: &[u8]| {
        let mut z = flate2::write::GzEncoder::new(
            fs::File::create(at(name)).unwrap(),
            flate2::Compression::fast(),
        );
        z.write_all(bytes).unwrap();
        z.finish().unwrap();
    };
    zipped("whole.gz", &bytes);
    let whole = fs::read(at("whole.gz")).unwrap();
    fs::write(at("cut.gz"), &whole[..whole.len() / 2]).unwrap();
    refused("cut.gz --count 200", 1, "cut short");
    let mut bomb = bytes.clone();
    bomb[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    zipped("bomb.gz", &bomb);
    refused("bomb.gz --count all", 1, "declares more than it holds");
    bomb[8..16].copy_from_slice(&[0xff; 8]);
    zipped("huge.gz", &bomb);
    refused("huge.gz", 1, "it declares");
    fs::write(at("empty"), []).unwrap();
    refused("empty", 1, "empty");
    fs::create_dir(at("nothing")).unwrap();
    refused("nothing", 1, "no PNG or JPEG");
}

#[test]
fn bad_options_end_in_a_sentence() {
    let folder = folder();
    let refused = |options: &str, part: &str| {
        fails(
            folder.path(),
            &format!("image train train-images-idx3-ubyte {options}"),
            2,
            part,
        );
    };
    refused("-o x.drfm --features 0", "--features");
    refused("-o x.drfm --timesteps 0", "--timesteps");
    refused("-o x.drfm --count 0", "--count");
    refused(
        "-o x.drfm --beta-first 0.02 --beta-last 0.0001",
        "0 < first <= last < 1",
    );
    refused("-o x.drfm --beta-last 1.5", "0 < first <= last < 1");
    refused(
        "-o x.drfm --kind nn --trainer closed-form",
        "no closed form",
    );
    refused("-o x.drfm --epochs 5", "for --trainer adam");
    refused("-o x.drfm --tile 4", "for the exact trainer");
    refused(
        "-o x.drfm --tile 4 --trainer exact --features 2",
        "patches do not fit",
    );
    refused(
        "-o x.drfm --trainer exact --features 12000",
        "at most 10240",
    );
    refused("-o x.drfm --kind nn --trainer exact", "no closed form");
    refused("-o x.drfm --scale nan", "feature scale");
    refused("--stats-out s --kind nn", "only closed-form training");
    refused("--stats-out s --shard 5/4", "--shard");
    refused("-o x.drfm --shard 1/4", "--stats-out");
    refused("", "--output");
    fails(
        folder.path(),
        "image train train-images-idx3-ubyte -o no/x.drfm",
        1,
        "there is no folder no",
    );
    fails(
        folder.path(),
        "image generate --model m.drfm -n 0 -o x.png",
        2,
        "--count",
    );
    fails(
        folder.path(),
        "image generate --model m.drfm -o x.jpg",
        2,
        ".png",
    );
}

#[test]
fn models_of_another_domain_are_refused() {
    let folder = folder();
    train(folder.path(), "-o m.drfm");
    let audio = model().display().to_string();
    fails(
        folder.path(),
        &format!("image generate --model {audio} -o x.png"),
        1,
        "an image model is needed",
    );
    fails(
        folder.path(),
        &format!("image eval --model {audio} t10k-images-idx3-ubyte"),
        1,
        "an image model is needed",
    );
    common::write_wav(
        &folder.path().join("a.wav"),
        48_000,
        1,
        16,
        &common::music(48_000, 1.0, 1),
    );
    fails(
        folder.path(),
        "denoise a.wav --model m.drfm -o b.wav",
        1,
        "Image",
    );
    fails(
        folder.path(),
        "generate --model m.drfm -o b.wav",
        1,
        "Image",
    );
    assert!(!folder.path().join("b.wav").exists());
}

#[test]
fn figures_are_drawn_and_repeat_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let fashion = data.join("fashion-mnist");
    fs::create_dir_all(&fashion).unwrap();
    write_idx(&fashion, "train", 260, 1);
    write_idx(&fashion, "t10k", 420, 2);
    let sizes = "--features 60 --rows 200 --epochs 3";
    for (figure, out) in [("2", "a"), ("2", "b"), ("3", "a"), ("5", "a")] {
        let text = works(
            folder.path(),
            &format!("paper {figure} --data data -o {out} {sizes}"),
        );
        assert!(text.contains("PCA-Wiener filter"), "{text}");
    }
    let at = |name: &str| folder.path().join(name);
    assert_eq!(
        fs::read(at("a/figure2.png")).unwrap(),
        fs::read(at("b/figure2.png")).unwrap()
    );
    assert!(at("a/figure3.png").exists() && at("a/figure5.json").exists());
    let text = works(
        folder.path(),
        &format!("paper table --data data -o t --seeds 2 {sizes}"),
    );
    assert!(
        text.contains("NN, Adam") && text.contains("RF, closed form"),
        "{text}"
    );
    // Images to choose settings on have numbers from 3001 in their class.
    write_idx(&fashion, "train", 6400, 1);
    let sizes = "--features 90 --rows 200 --epochs 3 --data data -o e";
    let text = works(folder.path(), &format!("paper best {sizes}"));
    assert!(text.contains("RF, tiles, copies"), "{text}");
    let text = works(folder.path(), &format!("paper samples {sizes}"));
    assert!(text.contains("1000") && text.contains("least"), "{text}");
    assert!(at("e/best-dress.png").exists() && at("e/samples-dress.json").exists());
    fails(
        folder.path(),
        "paper 2 --data nowhere -o x",
        1,
        "no such file",
    );
    assert!(!folder.path().join("x").exists(), "no empty folder is left");
    fails(folder.path(), "paper 8", 2, "8");
}

#[test]
fn dresses_of_the_full_data_are_denoised() {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/fashion-mnist");
    if !data.exists() {
        println!("skipped: Fashion-MNIST is not there");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str| data.join(name).display().to_string();
    works(
        folder.path(),
        &format!(
            "image train {} --class dress --features 4000 --rows 4000 -o m.drfm",
            of("train-images-idx3-ubyte.gz")
        ),
    );
    let found = json(&works(
        folder.path(),
        &format!(
            "image eval --model m.drfm {} --class dress --samples 0 --json",
            of("t10k-images-idx3-ubyte.gz")
        ),
    ));
    let number = |key: &str| found[key].as_f64().unwrap();
    assert!(number("psnr_db") > number("psnr_noisy_db") + 4.0, "{found}");
    assert!(number("psnr_db") > number("psnr_gaussian_db"), "{found}");
}
