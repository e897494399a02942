//! The streaming rules, tested on a model with random weights.

use std::sync::Arc;

use super::denoiser::NoiseSource;
use super::noise::NoiseSpectrum;
use super::waveform::tests::file;
use super::waveform::{WaveformError, WaveformModel};
use super::waveform_kernel::WaveformKernel;
use super::waveform_stream::WaveformStream;
use crate::rng::StableRng;

fn stream(theta2: f32, variance: Option<f32>) -> WaveformStream {
    let kernel = WaveformKernel::new(&WaveformModel::from_file(file(theta2)).unwrap());
    let noise = variance.map_or(NoiseSource::Adaptive, |v| {
        NoiseSource::Known(vec![NoiseSpectrum::white(48_000, v)])
    });
    WaveformStream::new(Arc::new(kernel), 48_000, 2, noise).unwrap()
}

fn music(seed: u64, length: usize) -> Vec<f32> {
    let mut rng = StableRng::new(seed, 0);
    (0..length)
        .map(|i| 0.2 * (i as f32 * 0.03).sin() + 0.02 * rng.normal() as f32)
        .collect()
}

fn run(
    stream: &mut WaveformStream,
    input: &[Vec<f32>],
    mut block: impl FnMut() -> usize,
) -> Vec<Vec<f32>> {
    let mut out = input.to_vec();
    let mut start = 0;
    while start < out[0].len() {
        let end = (start + block()).min(out[0].len());
        let mut slices: Vec<&mut [f32]> = out.iter_mut().map(|c| &mut c[start..end]).collect();
        stream.process(&mut slices);
        start = end;
    }
    out
}

#[test]
fn any_block_length_gives_the_same_bits() {
    let input = [music(1, 30_000), music(2, 30_000)];
    for variance in [Some(4e-4), None] {
        let mut s = stream(1.0, variance);
        s.set_amount_db(20.0);
        s.settle();
        let whole = run(&mut s, &input, || usize::MAX / 2);
        for length in [1, 7, 16, 64, 441] {
            s.reset();
            assert_eq!(run(&mut s, &input, || length), whole, "{length}");
        }
        s.reset();
        let mut rng = StableRng::new(9, 0);
        assert_eq!(run(&mut s, &input, || rng.below(300)), whole);
    }
}

#[test]
fn latency_is_that_of_an_impulse() {
    // Without noise the estimate is the input; with amount 0 the output is.
    for (variance, amount) in [(0.0, 100.0), (1e-3, 0.0)] {
        let mut s = stream(1.0, Some(variance));
        s.set_amount_db(amount);
        s.settle();
        let mut input = vec![vec![0.0; 400]; 2];
        input[0][101] = 0.5;
        input[1][37] = -0.25;
        let out = run(&mut s, &input, || 50);
        let latency = s.latency_samples();
        assert_eq!(latency, 32);
        for (x, y) in input.iter().zip(&out) {
            for (i, y) in y.iter().enumerate() {
                let want = if i < latency { 0.0 } else { x[i - latency] };
                assert!((y - want).abs() < 1e-6, "{i} {y}");
            }
        }
    }
}

#[test]
fn broken_samples_are_survived() {
    let good = [music(1, 8_000), music(2, 8_000)];
    let mut bad = good.clone();
    for (i, v) in [f32::NAN, f32::INFINITY, -1e30, 1e-42]
        .into_iter()
        .enumerate()
    {
        bad[0][2_000 + i] = v;
    }
    for variance in [Some(4e-4), None] {
        let mut s = stream(1.0, variance);
        let want = run(&mut s, &good, || 64);
        s.reset();
        let got = run(&mut s, &bad, || 64);
        assert!(got.iter().flatten().all(|x| x.is_finite()));
        assert_eq!(got[1], want[1]);
        for (a, b) in got[0].iter().zip(&want[0]).skip(2_000 + 64 + 32 + 64) {
            assert!((a - b).abs() < 1e-6);
        }
    }
}

#[test]
fn noise_becomes_less_and_music_stays() {
    let mut rng = StableRng::new(5, 0);
    let clean: Vec<f32> = (0..20_000).map(|i| 0.2 * (i as f32 * 0.03).sin()).collect();
    let noisy: Vec<f32> = clean
        .iter()
        .map(|x| x + 0.05 * rng.normal() as f32)
        .collect();
    // The linear part alone: what it expects is a slowly falling spectrum.
    let mut s = stream(0.0, Some(0.0025));
    let out = run(&mut s, &[noisy.clone(), noisy.clone()], || 480);
    let error = |y: &[f32]| -> f32 { y.iter().zip(&clean).map(|(y, x)| (y - x).powi(2)).sum() };
    assert!(error(&out[0][32..]) < 0.4 * error(&noisy[..noisy.len() - 32]));
    assert_eq!(out[0], out[1]);
}

#[test]
fn other_rates_are_refused() {
    let kernel = Arc::new(WaveformKernel::new(
        &WaveformModel::from_file(file(1.0)).unwrap(),
    ));
    let refused = WaveformStream::new(kernel, 44_100, 1, NoiseSource::Adaptive);
    assert!(matches!(
        refused,
        Err(WaveformError::Rate {
            model: 48_000,
            sound: 44_100
        })
    ));
}
