//! Recordings and noise stretches that are not as they should be: the result is finite, as long as the input, and does no
//! harm, or a sentence says what is wrong.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{drfm_in, music, works, write_wav};
use drfm_engine::rng::StableRng;

const RATE: u32 = 48_000;

fn noise(n: usize, gain: f64, seed: u64) -> Vec<f32> {
    let mut rng = StableRng::new(seed, 7);
    (0..n).map(|_| (gain * rng.normal()) as f32).collect()
}

fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn power(x: impl Iterator<Item = f32>) -> f64 {
    x.map(|v| f64::from(v).powi(2)).sum()
}

/// Writes `samples`, denoises them, reads the result.
fn denoised(folder: &Path, channels: u16, samples: &[f32], options: &str) -> Vec<f32> {
    write_wav(&folder.join("in.wav"), RATE, channels, 0, samples);
    works(
        folder,
        &format!("denoise in.wav -o out.wav --model guitar --mode live {options}"),
    );
    let wav = hound::WavReader::open(folder.join("out.wav")).unwrap();
    assert_eq!(wav.spec().channels, channels);
    let out: Vec<f32> = wav.into_samples::<f32>().map(|s| s.unwrap()).collect();
    assert_eq!(out.len(), samples.len());
    assert!(out.iter().all(|x| x.is_finite()));
    out
}

/// SNR of `x` against `clean` in dB.
fn snr(clean: &[f32], x: &[f32]) -> f64 {
    let error = clean.iter().zip(x).map(|(c, x)| c - x);
    10.0 * (power(clean.iter().copied()) / power(error)).log10()
}

#[test]
fn stretches_with_music_clipping_or_of_another_rate() {
    let folder = tempfile::tempdir().unwrap();
    let clean = music(RATE, 3.0, 1);
    let noisy = sum(&clean, &noise(clean.len(), 0.02, 1));
    let before = snr(&clean, &noisy);
    // Learned from the music itself: worse than from noise, but not silence.
    let out = denoised(folder.path(), 1, &noisy, "--noise-from 0:2");
    assert!(snr(&clean, &out) > 0.0, "{before} {}", snr(&clean, &out));
    assert!(power(out.iter().copied()) > 0.1 * power(clean.iter().copied()));
    // A chord that rings through the stretch is more than what is left out by itself: that is said.
    let warned = |file: &str, from: &str| {
        let line =
            format!("denoise {file} -o out.wav --model guitar --mode live --noise-from {from}");
        let out = drfm_in(folder.path(), &line);
        assert!(out.status.success(), "{out:?}");
        String::from_utf8_lossy(&out.stderr).contains("where nobody plays")
    };
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    for (name, expected) in [("guitar.flac", true), ("noisy_guitar.flac", false)] {
        std::fs::copy(fixtures.join(name), folder.path().join(name)).unwrap();
        let from = if expected { "0.5:1.5" } else { "0:1" };
        assert_eq!(warned(name, from), expected, "{name}");
    }
    // Recordings of the noise: clipped, at another rate with more channels, and barely longer than allowed.
    let clipped: Vec<f32> = noise(48_000, 0.03, 2)
        .iter()
        .map(|x| x.clamp(-0.03, 0.03))
        .collect();
    write_wav(&folder.path().join("clipped.wav"), RATE, 1, 16, &clipped);
    // Half the bandwidth at the same density.
    let other = noise(2 * 22_050, 0.02, 3);
    write_wav(&folder.path().join("other.wav"), 22_050, 2, 16, &other);
    write_wav(
        &folder.path().join("short.wav"),
        RATE,
        1,
        16,
        &noise(1000, 0.02, 4),
    );
    for file in ["clipped", "other", "short"] {
        let out = denoised(
            folder.path(),
            1,
            &noisy,
            &format!("--noise-file {file}.wav"),
        );
        let after = snr(&clean, &out);
        assert!(after > before - 0.5, "{file}: {before} {after}");
    }
}

#[test]
fn more_noise_than_music_noise_alone_and_silence() {
    let folder = tempfile::tempdir().unwrap();
    let clean = music(RATE, 3.0, 1);
    let known = noise(48_000, 0.3, 5);
    write_wav(&folder.path().join("known.wav"), RATE, 1, 0, &known);
    let loud = sum(&clean, &noise(clean.len(), 0.3, 6));
    for options in ["", "--noise-file known.wav"] {
        let out = denoised(folder.path(), 1, &loud, options);
        assert!(snr(&clean, &out) > snr(&clean, &loud) + 3.0, "{options}");
        let alone = noise(3 * 48_000, 0.3, 8);
        let out = denoised(folder.path(), 1, &alone, options);
        let left = 10.0 * (power(out.into_iter()) / power(alone.into_iter())).log10();
        assert!(left < -10.0, "{options}: {left}");
        let out = denoised(folder.path(), 1, &[0.0; 48_000], options);
        assert!(out.iter().all(|x| *x == 0.0), "{options}");
    }
}

#[test]
fn offsets_and_noise_in_one_channel() {
    let folder = tempfile::tempdir().unwrap();
    let clean = music(RATE, 3.0, 1);
    let noisy = sum(&clean, &noise(clean.len(), 0.02, 1));
    let offset: Vec<f32> = noisy.iter().map(|x| x + 0.2).collect();
    let before = snr(&clean, &noisy);
    let out = denoised(folder.path(), 1, &offset, "");
    // Whether the offset stays or goes, the music is better than it was.
    let mean = out.iter().sum::<f32>() / out.len() as f32;
    let level: Vec<f32> = out.iter().map(|x| x - mean).collect();
    assert!(
        snr(&clean, &level) > before,
        "{before} {}",
        snr(&clean, &level)
    );
    let both: Vec<f32> = clean
        .iter()
        .zip(&noisy)
        .flat_map(|(c, y)| [*c, *y])
        .collect();
    let out = denoised(folder.path(), 2, &both, "");
    let channel = |c: usize| -> Vec<f32> { out.iter().skip(c).step_by(2).copied().collect() };
    assert!(
        snr(&clean, &channel(0)) > before,
        "{}",
        snr(&clean, &channel(0))
    );
    assert!(
        snr(&clean, &channel(1)) > before,
        "{}",
        snr(&clean, &channel(1))
    );
}
