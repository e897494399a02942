//! `drfm denoise`: what comes out.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{drfm_in, folder_with_take, music, read_wav, with_model, works, write_wav};

#[test]
fn length_rate_channels_and_bits_are_those_of_the_input() {
    let folder = tempfile::tempdir().unwrap();
    for rate in [8_000, 44_100, 192_000] {
        for channels in [1u16, 2, 8] {
            for bits in [8, 16, 24, 32, 0] {
                // One rate is enough for the less usual formats.
                if (bits == 8 || bits == 32 || channels == 8) && rate != 8_000 {
                    continue;
                }
                let name = format!("{rate}-{channels}-{bits}.wav");
                let samples = music(rate, 0.31 * f64::from(channels), 4);
                let whole = samples.len() / usize::from(channels) * usize::from(channels);
                write_wav(
                    &folder.path().join(&name),
                    rate,
                    channels,
                    bits,
                    &samples[..whole],
                );
                works(
                    folder.path(),
                    &format!("denoise {name} -o out.wav {}", with_model()),
                );
                let (a, x) = read_wav(&folder.path().join(&name));
                let (b, y) = read_wav(&folder.path().join("out.wav"));
                assert_eq!(x.len(), y.len(), "{name}");
                assert_eq!(
                    (a.sample_rate, a.channels, a.bits_per_sample),
                    (b.sample_rate, b.channels, b.bits_per_sample),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn bits_can_be_chosen_and_one_sample_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    write_wav(&folder.path().join("one.wav"), 48_000, 2, 16, &[0.5, -0.5]);
    for (option, bits) in [("16", 16), ("24", 24), ("32f", 32)] {
        works(
            folder.path(),
            &format!("denoise one.wav -o o.wav --bits {option} {}", with_model()),
        );
        let (spec, samples) = read_wav(&folder.path().join("o.wav"));
        assert_eq!((spec.bits_per_sample, samples.len()), (bits, 2));
    }
}

#[test]
fn amount_0_gives_the_input_back_and_residual_is_the_rest() {
    let folder = folder_with_take();
    let at = |name: &str| folder.path().join(name);
    works(
        folder.path(),
        &format!(
            "denoise take.wav -o same.wav --amount-db 0 {}",
            with_model()
        ),
    );
    assert_eq!(read_wav(&at("take.wav")).1, read_wav(&at("same.wav")).1);
    works(
        folder.path(),
        &format!("denoise take.wav -o a.wav --bits 32f {}", with_model()),
    );
    works(
        folder.path(),
        &format!(
            "denoise take.wav -o b.wav --bits 32f --residual {}",
            with_model()
        ),
    );
    let (x, a, b) = (
        read_wav(&at("take.wav")).1,
        read_wav(&at("a.wav")).1,
        read_wav(&at("b.wav")).1,
    );
    for ((x, a), b) in x.iter().zip(&a).zip(&b) {
        assert!((x / 32_768.0 - a - b).abs() < 1e-5);
    }
    assert_ne!(x.iter().map(|x| x / 32_768.0).collect::<Vec<_>>(), a);
}

#[test]
fn the_result_is_aligned_and_less_noisy() {
    let folder = tempfile::tempdir().unwrap();
    let clean: Vec<f32> = (0..96_000)
        .map(|i| {
            if i < 24_000 {
                0.0
            } else {
                0.3 * (i as f32 * 0.03).sin()
            }
        })
        .collect();
    let mut rng = drfm_engine::rng::StableRng::new(1, 1);
    let noisy: Vec<f32> = clean
        .iter()
        .map(|x| x + 0.05 * rng.normal() as f32)
        .collect();
    write_wav(&folder.path().join("n.wav"), 48_000, 1, 0, &noisy);
    for noise in ["--noise-from 0:0.5", ""] {
        works(
            folder.path(),
            &format!("denoise n.wav -o o.wav {noise} {}", with_model()),
        );
        let out: Vec<f32> = read_wav(&folder.path().join("o.wav"))
            .1
            .iter()
            .map(|x| *x as f32)
            .collect();
        let before = drfm_engine::metrics::audio::snr_db(&clean, &noisy);
        let after = drfm_engine::metrics::audio::snr_db(&clean, &out);
        assert!(after > before + 5.0, "{noise}: {before} {after}");
    }
}

#[test]
fn same_bytes_for_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    for i in 0..3 {
        write_wav(
            &folder.path().join(format!("in/{i}.wav")),
            44_100,
            2,
            16,
            &music(44_100, 2.0, i),
        );
    }
    for n in [1, 2] {
        works(
            folder.path(),
            &format!("denoise in --out-dir out{n} --threads {n} {}", with_model()),
        );
    }
    for i in 0..3 {
        let read = |n: i32| fs::read(folder.path().join(format!("out{n}/{i}.wav"))).unwrap();
        assert_eq!(read(1), read(2));
    }
}

#[test]
fn broken_samples_are_counted_and_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let mut samples = music(48_000, 1.0, 2);
    samples[1000] = f32::NAN;
    samples[2000] = f32::INFINITY;
    samples[3000] = f32::NEG_INFINITY;
    write_wav(&folder.path().join("x.wav"), 48_000, 1, 0, &samples);
    for options in ["--noise-from 0:0.5", "", "--amount-db 0"] {
        let out = drfm_in(
            folder.path(),
            &format!("denoise x.wav -o y.wav --json {options} {}", with_model()),
        );
        assert!(out.status.success());
        assert!(String::from_utf8_lossy(&out.stderr).contains("3 samples"));
        let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(json["broken_samples"], 3);
        assert!(
            read_wav(&folder.path().join("y.wav"))
                .1
                .iter()
                .all(|x| x.is_finite())
        );
    }
}

#[test]
fn results_go_beside_the_input_and_are_not_denoised_again() {
    let folder = folder_with_take();
    works(folder.path(), &format!("denoise . {}", with_model()));
    let first = fs::read(folder.path().join("take.denoised.wav")).unwrap();
    let text = works(
        folder.path(),
        &format!("denoise . --json --skip-existing {}", with_model()),
    );
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["skipped"], true);
    assert_eq!(
        fs::read(folder.path().join("take.denoised.wav")).unwrap(),
        first
    );
    assert!(!folder.path().join("take.denoised.denoised.wav").exists());
}

#[test]
fn subfolders_keep_their_places() {
    let folder = folder_with_take();
    fs::create_dir_all(folder.path().join("in/deep")).unwrap();
    for name in ["in/a.wav", "in/deep/a.wav"] {
        fs::copy(folder.path().join("take.wav"), folder.path().join(name)).unwrap();
    }
    works(
        folder.path(),
        &format!("denoise in --recursive --out-dir out {}", with_model()),
    );
    assert!(folder.path().join("out/a.wav").exists());
    assert!(folder.path().join("out/deep/a.wav").exists());
}

#[test]
fn noise_files_of_another_rate_work_and_pictures_are_drawn() {
    let folder = folder_with_take();
    write_wav(
        &folder.path().join("room.wav"),
        44_100,
        2,
        16,
        &music(44_100, 1.0, 3),
    );
    works(
        folder.path(),
        &format!(
            "denoise take.wav -o o.wav --noise-file room.wav --steps 1 --picture p.png {}",
            with_model()
        ),
    );
    let picture = image::open(folder.path().join("p.png")).unwrap();
    assert!(picture.width() > 500 && picture.height() > 500);
}

#[test]
fn two_instruments_left_and_right_can_be_cleaned_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (left, right) = (music(48_000, 2.0, 4), music(48_000, 2.0, 5));
    let both: Vec<f32> = left
        .iter()
        .zip(&right)
        .flat_map(|(l, r)| [*l, *r])
        .collect();
    for (name, channels, samples) in [("l", 1, &left), ("r", 1, &right), ("both", 2, &both)] {
        write_wav(
            &folder.path().join(format!("{name}.wav")),
            48_000,
            channels,
            0,
            samples,
        );
    }
    let run = |input: &str, output: &str, more: &str| {
        let command = format!("denoise {input}.wav -o {output}.wav --mode live {more}");
        works(folder.path(), &format!("{command} {}", with_model()));
        read_wav(&folder.path().join(format!("{output}.wav"))).1
    };
    let (l, r) = (run("l", "lo", ""), run("r", "ro", ""));
    let apart: Vec<f64> = l.iter().zip(&r).flat_map(|(l, r)| [*l, *r]).collect();
    assert!(run("both", "apart", "--unlinked") == apart);
    assert!(run("both", "together", "") != apart);
}
