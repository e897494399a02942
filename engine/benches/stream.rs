//! Speed of the streaming denoiser: real-time factor, and how even the work is.
//!
//! One thread, stereo, 48 kHz, on the guitar recording of `tests/fixtures` with white noise 10 dB below it: noise known, tracked,
//! and known with hum of 50 Hz above it. `cargo bench -p drfm-engine`.

use std::path::Path;
use std::time::Instant;

use drfm_engine::audio::denoiser::{NoiseSource, StreamDenoiser};
use drfm_engine::audio::embedded;
use drfm_engine::audio::model::{DenoiserModel, Mode};
use drfm_engine::audio::noise::NoiseSpectrum;
use drfm_engine::audio::reader::read_all;
use drfm_engine::rng::StableRng;

const RATE_HZ: u32 = 48_000;
const SECONDS: usize = 20;
/// The operating system interrupts now and then: of each block the fastest of so many runs counts, and the slowest block in a
/// hundred for the slowest.
const RUNS: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/guitar.flac");
    let music = read_all(&path, 1 << 24)?.mono();
    let power = music.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / music.len() as f64;
    let sigma = (power / 10.0).sqrt();
    let mut rng = StableRng::new(1, 0);
    let input: Vec<Vec<f32>> = (0..2)
        .map(|_| {
            (0..SECONDS * RATE_HZ as usize)
                .map(|i| music[i % music.len()] + (sigma * rng.normal()) as f32)
                .collect()
        })
        .collect();
    let hum: Vec<f32> = (0..SECONDS * RATE_HZ as usize)
        .map(|i| {
            let turn = std::f64::consts::TAU * 50.02 * i as f64 / f64::from(RATE_HZ);
            let line =
                |h: i32| (f64::from(h) * turn + f64::from(h * h)).sin() / f64::from(h).sqrt();
            (0.3 * sigma * (1..80).map(line).sum::<f64>()) as f32
        })
        .collect();
    let with_hum = input
        .iter()
        .map(|x| x.iter().zip(&hum).map(|(x, h)| x + h).collect())
        .collect();
    let known = NoiseSource::Known(vec![NoiseSpectrum::white(RATE_HZ, (sigma * sigma) as f32)]);
    let bytes = embedded::bytes("guitar").ok_or("no guitar model is embedded")?;
    let model = DenoiserModel::from_bytes(bytes)?;
    println!("one thread, stereo, 48 kHz, {SECONDS} s of noisy guitar, model guitar");
    println!("noise    mode      block  latency ms  real-time factor  slowest / average block");
    for (name, noise, input) in [
        ("known", &known, &input),
        ("tracked", &NoiseSource::Adaptive, &input),
        ("hum", &known, &with_hum),
    ] {
        for mode in Mode::ALL {
            for block in [64, 512] {
                let mut stream = StreamDenoiser::new(model.chain(mode)?, RATE_HZ, 2, noise.clone());
                let (total, slow) = run(&mut stream, input, block);
                println!(
                    "{name:8} {:9} {block:5}  {:10.1}  {:16.3}  {:8.2}",
                    mode.name(),
                    stream.latency_samples() as f64 * 1000.0 / f64::from(RATE_HZ),
                    total / SECONDS as f64,
                    slow / total,
                );
            }
        }
    }
    Ok(())
}

/// Seconds that everything took, and that it would have taken had every block been as slow as the slowest.
fn run(stream: &mut StreamDenoiser, input: &[Vec<f32>], block: usize) -> (f64, f64) {
    let mut times = vec![f64::MAX; input[0].len().div_ceil(block)];
    for _ in 0..RUNS {
        stream.reset();
        let mut sound = input.to_vec();
        let (left, right) = sound.split_at_mut(1);
        let blocks = left[0].chunks_mut(block).zip(right[0].chunks_mut(block));
        for ((l, r), time) in blocks.zip(&mut times) {
            let start = Instant::now();
            stream.process(&mut [l, r]);
            *time = time.min(start.elapsed().as_secs_f64());
        }
    }
    let total: f64 = times.iter().sum();
    times.sort_by(f64::total_cmp);
    (total, times[times.len() * 99 / 100] * times.len() as f64)
}
