//! What a block costs in the CLAP host of the tests: `cargo bench -p drfm-plugin --bench cost`.
//!
//! Each sound is played three times, and of each block the least counts: what a block computes is the same every time,
//! what other programs take from it is not. Wall time and the processor time of the thread are both printed, and the
//! slowest block of all as it came. `DRFM_WORST=20` lists the dearest blocks with the time at which they come.

#![allow(clippy::unwrap_used)]

#[path = "../tests/host/mod.rs"]
mod host;

use std::path::Path;

use drfm_engine::audio::reader::read_all;
use drfm_engine::rng::StableRng;
use host::{BlockTime, Host, MODES, noisy_chords};

const RATE_HZ: f64 = 48_000.0;
const SECONDS: f64 = 20.0;
const REPEATS: usize = 3;

/// The guitar of `tests/fixtures` again and again in white noise 10 dB below it.
fn noisy_guitar() -> Vec<Vec<f32>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/guitar.flac");
    let music = read_all(&path, 1 << 24).unwrap().mono();
    let power = music.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / music.len() as f64;
    let sigma = (power / 10.0).sqrt();
    let mut rng = StableRng::new(1, 0);
    (0..2)
        .map(|_| {
            (0..(SECONDS * RATE_HZ) as usize)
                .map(|i| music[i % music.len()] + (sigma * rng.normal()) as f32)
                .collect()
        })
        .collect()
}

/// The least of some runs for each block, and the slowest block of all on the wall.
fn measure(host: &mut Host, sound: &[Vec<f32>], block: usize) -> (Vec<BlockTime>, f64) {
    let mut best: Vec<BlockTime> = Vec::new();
    let mut slowest = 0.0f64;
    for _ in 0..REPEATS {
        host.reactivate();
        let times = host.time_blocks(&mut sound.to_vec(), block);
        slowest = times.iter().map(|t| t.wall).fold(slowest, f64::max);
        if best.is_empty() {
            best = times;
            continue;
        }
        for (b, t) in best.iter_mut().zip(times) {
            b.wall = b.wall.min(t.wall);
            b.cpu = b.cpu.min(t.cpu);
        }
    }
    (best, slowest)
}

fn mean(times: &[f64]) -> f64 {
    times.iter().sum::<f64>() / times.len() as f64
}

fn percentile(times: &[f64], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() as f64 * share) as usize]
}

fn main() {
    let worst: usize = std::env::var("DRFM_WORST").map_or(0, |n| n.parse().unwrap());
    println!(
        "| sound | mode | block | mean of the block's duration | mean us | 99 % / mean | 99.9 % / mean | the same in processor time | slowest us |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let sounds = [
        ("guitar", noisy_guitar()),
        ("clicking chords", noisy_chords(RATE_HZ, 2, SECONDS)),
    ];
    for (name, sound) in &sounds {
        for (i, mode) in MODES.iter().enumerate() {
            let mut host = Host::new(RATE_HZ, 2);
            host.set(&[("Mode", i as f64), ("Model", 0.0)]);
            for block in [64usize, 512] {
                let (times, slowest) = measure(&mut host, sound, block);
                let wall: Vec<f64> = times.iter().map(|t| t.wall).collect();
                let cpu: Vec<f64> = times.iter().map(|t| t.cpu).collect();
                println!(
                    "| {name} | {mode} | {block} | {:.1} % | {:.1} | {:.2} | {:.2} | {:.2} | {:.0} |",
                    100.0 * mean(&wall) * RATE_HZ / block as f64,
                    1e6 * mean(&wall),
                    percentile(&wall, 0.99) / mean(&wall),
                    percentile(&wall, 0.999) / mean(&wall),
                    percentile(&cpu, 0.999) / mean(&cpu),
                    1e6 * slowest,
                );
                let mut order: Vec<usize> = (0..cpu.len()).collect();
                order.sort_by(|a, b| cpu[*b].total_cmp(&cpu[*a]));
                for &b in order.iter().take(worst) {
                    let seconds = (b * block) as f64 / RATE_HZ;
                    println!(
                        "  {seconds:8.4} s, block {b}: {:.0} us processor, {:.0} us wall",
                        1e6 * cpu[b],
                        1e6 * wall[b]
                    );
                }
            }
        }
    }
}
