//! What a block costs in the CLAP host of the tests: `cargo bench -p drfm-plugin --bench cost`.

#![allow(clippy::unwrap_used)]

#[path = "../tests/host/mod.rs"]
mod host;

use host::{Host, MODES, noisy_chords};

fn main() {
    println!("| mode | block | mean | 99 % | 99.9 % | slowest | mean of the block's duration |");
    println!("|---|---|---|---|---|---|---|");
    for (i, mode) in MODES.iter().enumerate() {
        let mut host = Host::new(48_000.0, 2);
        host.set(&[("Mode", i as f64), ("Model", 0.0)]);
        for block in [64usize, 512] {
            let mut times = host.time_blocks(&mut noisy_chords(48_000.0, 2, 20.0), block);
            times.drain(..times.len() / 10);
            times.sort_by(f64::total_cmp);
            let mean = times.iter().sum::<f64>() / times.len() as f64;
            let at = |share: f64| times[(times.len() as f64 * share) as usize];
            let lasts = block as f64 / 48_000.0;
            println!(
                "| {mode} | {block} | {:.1} us | {:.1} us | {:.1} us | {:.1} us | {:.1} % |",
                1e6 * mean,
                1e6 * at(0.99),
                1e6 * at(0.999),
                1e6 * times[times.len() - 1],
                100.0 * mean / lasts
            );
        }
    }
}
