//! Speed of the streaming denoiser: real-time factor, and how even the work is.
//!
//! One thread, stereo, 48 kHz, on the guitar recording of `tests/fixtures` with white noise 10 dB below it:
//! `cargo bench -p drfm-engine`.

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
    let bytes = embedded::bytes("guitar").ok_or("no guitar model is embedded")?;
    let model = DenoiserModel::from_bytes(bytes)?;
    println!("one thread, stereo, 48 kHz, {SECONDS} s of noisy guitar, model guitar");
    println!("mode      block  latency ms  real-time factor  slowest / average block");
    for mode in Mode::ALL {
        for block in [64, 512] {
            let noise =
                NoiseSource::Known(vec![NoiseSpectrum::white(RATE_HZ, (sigma * sigma) as f32)]);
            let mut stream = StreamDenoiser::new(model.chain(mode)?, RATE_HZ, 2, noise);
            let mut sound = input.clone();
            let mut times = Vec::new();
            let (left, right) = sound.split_at_mut(1);
            for (l, r) in left[0].chunks_mut(block).zip(right[0].chunks_mut(block)) {
                let start = Instant::now();
                stream.process(&mut [l, r]);
                times.push(start.elapsed().as_secs_f64());
            }
            let total: f64 = times.iter().sum();
            // The operating system interrupts now and then: the slowest block in a hundred stands for the slowest.
            times.sort_by(f64::total_cmp);
            let slow = times[times.len() * 99 / 100];
            println!(
                "{:9} {block:5}  {:10.1}  {:16.3}  {:8.2}",
                mode.name(),
                stream.latency_samples() as f64 * 1000.0 / f64::from(RATE_HZ),
                total / SECONDS as f64,
                slow * times.len() as f64 / total,
            );
        }
    }
    Ok(())
}
