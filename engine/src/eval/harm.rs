//! Do no harm: clean input stays clean, the wrong model costs little, soft noise is never made worse.

use serde::Serialize;

use super::{
    CleanClip, EvalError, EvalOptions, Evaluation, Field, NoiseKind, NoiseSound, Surroundings,
    evaluate, groups,
};

/// A recording without added noise must come out with this SNR against itself, in dB.
pub const CLEAN_SNR_DB: f64 = 35.0;
/// The wrong instrument's model may cost this much against the right one's, in dB.
pub const WRONG_COSTS_DB: f64 = 1.5;
/// Above this input SNR, in dB, no model may be worse than doing nothing.
pub const HARMLESS_ABOVE_DB: f64 = 10.0;
/// Input SNRs of soft noise in dB, which must be improved or left alone ...
pub const SOFT_DB: [f64; 2] = [30.0, 40.0];
/// ... to within this much, in dB.
pub const LEFT_ALONE_DB: f64 = 0.1;

/// A model in a mode on recordings to which nothing was added, finding the noise itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CleanInput {
    /// The model and mode.
    pub method: String,
    /// Instrument or folder.
    pub group: String,
    /// Mean SNR of the output against the input over the files, in dB.
    pub mean_snr_db: f64,
    /// Least of all files, in dB.
    pub worst_snr_db: f64,
}

/// A model in a mode on a cell of noisy mixtures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NoisyInput {
    /// The model and mode.
    pub method: String,
    /// Instrument or folder.
    pub group: String,
    /// Noise.
    pub noise: String,
    /// Input SNR in dB.
    pub level_db: f64,
    /// Mean improvement over the input in dB of SNR.
    pub gain_db: f64,
    /// Least improvement of a file.
    pub worst_gain_db: f64,
    /// How much better the first model in the same mode (meant to be the right one) is, in dB;
    /// none for the first itself.
    pub cost_db: Option<f64>,
}

/// All results.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Harm {
    /// Without added noise.
    pub clean: Vec<CleanInput>,
    /// With it.
    pub noisy: Vec<NoisyInput>,
}

/// Runs the contenders of `field` on clean input (blind) and at all levels of `options` and [`SOFT_DB`]. Contenders
/// after the first of a mode are compared with the first.
///
/// # Errors
/// See [`EvalError`].
pub fn measure(
    clean: &[CleanClip],
    noises: &[NoiseKind],
    field: &Field,
    options: &EvalOptions,
    surroundings: &Surroundings<'_>,
) -> Result<Harm, EvalError> {
    // Every file a group of its own, so that the worst file is seen.
    let files: Vec<CleanClip> = clean
        .iter()
        .enumerate()
        .map(|(i, clip)| CleanClip {
            group: format!("{i:06}"),
            ..clip.clone()
        })
        .collect();
    let groups = groups(clean);
    let of_file = |name: &str| {
        let number = name.parse::<usize>().ok();
        number.and_then(|i| clean.get(i)).map(|c| c.group.as_str())
    };
    let nothing = [NoiseKind {
        name: "nothing".to_owned(),
        sound: NoiseSound::White,
    }];
    let blind = EvalOptions {
        levels_db: vec![f64::INFINITY],
        knows_noise: false,
        classical: false,
        ..options.clone()
    };
    let result = evaluate(&files, &nothing, field, &blind, surroundings)?;
    let mut harm = Harm {
        clean: Vec::new(),
        noisy: Vec::new(),
    };
    let first = result.methods.len() - field.contenders.len();
    for group in &groups {
        for (m, contender) in field.contenders.iter().enumerate() {
            let snrs = values(&result, |c| of_file(&c.group) == Some(*group), first + m);
            harm.clean.push(CleanInput {
                method: contender.name.clone(),
                group: (*group).to_owned(),
                mean_snr_db: mean(&snrs),
                worst_snr_db: least(&snrs),
            });
        }
    }
    let mut levels_db = options.levels_db.clone();
    levels_db.extend(SOFT_DB.iter().filter(|l| !options.levels_db.contains(l)));
    let with_noise = EvalOptions {
        levels_db: levels_db.clone(),
        classical: false,
        ..options.clone()
    };
    let result = evaluate(&files, noises, field, &with_noise, surroundings)?;
    for group in &groups {
        for noise in noises {
            for level in &levels_db {
                let cell = |c: &super::Cell| {
                    of_file(&c.group) == Some(*group)
                        && c.noise == noise.name
                        && c.level_db == *level
                };
                let inputs = values(&result, cell, 0);
                for (m, contender) in field.contenders.iter().enumerate() {
                    let outputs = values(&result, cell, first + m);
                    let right = field
                        .contenders
                        .iter()
                        .position(|c| c.mode == contender.mode)
                        .filter(|right| *right != m)
                        .map(|right| mean(&values(&result, cell, first + right)));
                    let gains: Vec<f64> = outputs.iter().zip(&inputs).map(|(o, i)| o - i).collect();
                    harm.noisy.push(NoisyInput {
                        method: contender.name.clone(),
                        group: (*group).to_owned(),
                        noise: noise.name.clone(),
                        level_db: *level,
                        gain_db: mean(&gains),
                        worst_gain_db: least(&gains),
                        cost_db: right.map(|right| right - mean(&outputs)),
                    });
                }
            }
        }
    }
    Ok(harm)
}

/// The SNRs of a method in some cells.
fn values(result: &Evaluation, of: impl Fn(&super::Cell) -> bool, method: usize) -> Vec<f64> {
    let cells = result.cells.iter().filter(|c| of(c));
    cells
        .filter_map(|c| c.means.get(method))
        .map(|m| m.snr_db)
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}
