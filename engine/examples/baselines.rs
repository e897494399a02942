//! Prints what the classical baselines reach on the developers' recordings: mean output SNR in dB.
//!
//! `cargo run -p drfm-engine --example baselines -- /path/to/data [noise.flac]`
//!
//! The first 5 s of every file of `guitar/test` and `flute/test` get white noise of exactly known level (seed 1), or
//! with a noise file its stretch 3..8 s, its spectrum measured on 0.2..2.2 s, at 0, 10 and 20 dB input SNR.

use std::error::Error;
use std::path::{Path, PathBuf};

use drfm_engine::audio::find::find_audio_files;
use drfm_engine::audio::reader::read_all;
use drfm_engine::classic::{
    Baseline, DEFAULT_SMOOTH_BINS, NoisePsd, REFERENCE_RATE_HZ, noise_psd_of, standard_set,
};
use drfm_engine::metrics::audio::snr_db;
use drfm_engine::rng::StableRng;

const INSTRUMENTS: [&str; 2] = ["guitar", "flute"];
const LEVELS_DB: [f64; 3] = [0.0, 10.0, 20.0];
const MAX_SAMPLES: u64 = 1 << 28;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let data = arguments
        .next()
        .ok_or("name the folder with guitar/test and flute/test")?;
    let noise = arguments.next().map(|path| load(&path)).transpose()?;
    let baselines = standard_set(REFERENCE_RATE_HZ);
    let mut means = vec![Vec::new(); baselines.len()];
    for instrument in INSTRUMENTS {
        let files = find_audio_files(&[data.join(instrument).join("test")], false)?;
        for level_db in LEVELS_DB {
            let mut sums = vec![0.0; baselines.len()];
            for (number, file) in files.iter().enumerate() {
                let mut clean = load(file)?;
                clean.truncate(5 * REFERENCE_RATE_HZ as usize);
                let (noisy, gain) = mix(&clean, noise.as_deref(), level_db, number as u64);
                for (sum, baseline) in sums.iter_mut().zip(&baselines) {
                    let psd = psd_for(baseline, noise.as_deref(), gain)?;
                    let out = baseline.denoise_with_psd(&noisy, &psd, Some(&clean))?;
                    *sum += snr_db(&clean, &out);
                }
            }
            for (row, sum) in means.iter_mut().zip(sums) {
                row.push(sum / files.len() as f64);
            }
        }
    }
    println!("| baseline | g0 | g10 | g20 | f0 | f10 | f20 | mean |");
    println!("|---|---|---|---|---|---|---|---|");
    for (baseline, row) in baselines.iter().zip(&means) {
        let cells: Vec<String> = row.iter().map(|v| format!("{v:.2}")).collect();
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        println!(
            "| {} | {} | {mean:.2} |",
            baseline.name(),
            cells.join(" | ")
        );
    }
    Ok(())
}

fn load(path: &Path) -> Result<Vec<f32>, Box<dyn Error>> {
    let clip = read_all(path, MAX_SAMPLES)?;
    if clip.rate_hz != REFERENCE_RATE_HZ {
        return Err(format!("{} is not at 48 kHz", path.display()).into());
    }
    Ok(clip.mono())
}

fn rms(x: &[f32]) -> f64 {
    (x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / x.len().max(1) as f64).sqrt()
}

/// The stretch of a recorded noise between two times in seconds.
fn stretch(noise: &[f32], from: f64, to: f64) -> &[f32] {
    let at = |seconds: f64| ((seconds * f64::from(REFERENCE_RATE_HZ)) as usize).min(noise.len());
    &noise[at(from)..at(to)]
}

/// The noisy signal, and the gain the noise got (the standard deviation for white noise).
fn mix(clean: &[f32], noise: Option<&[f32]>, level_db: f64, stream: u64) -> (Vec<f32>, f32) {
    let wanted = rms(clean) * 10f64.powf(-level_db / 20.0);
    let added: Vec<f32> = match noise {
        Some(noise) => {
            let stretch = stretch(noise, 3.0, 8.0);
            stretch[..clean.len().min(stretch.len())].to_vec()
        }
        None => {
            let mut rng = StableRng::new(1, stream);
            (0..clean.len()).map(|_| rng.normal() as f32).collect()
        }
    };
    let gain = match noise {
        Some(_) => wanted / rms(&added),
        None => wanted,
    } as f32;
    let noisy = clean.iter().zip(added).map(|(c, n)| c + gain * n).collect();
    (noisy, gain)
}

fn psd_for(
    baseline: &Baseline,
    noise: Option<&[f32]>,
    gain: f32,
) -> Result<NoisePsd, Box<dyn Error>> {
    let (window, hop) = baseline.window_and_hop();
    let Some(noise) = noise else {
        return Ok(NoisePsd::white(window, gain * gain));
    };
    let mut psd = noise_psd_of(stretch(noise, 0.2, 2.2), window, hop, DEFAULT_SMOOTH_BINS)?;
    for power in &mut psd.power {
        *power *= gain * gain;
    }
    Ok(psd)
}
