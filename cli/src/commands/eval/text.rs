//! The results of an evaluation as tables for the terminal.

use drfm_engine::eval::harm::{
    CLEAN_SNR_DB, HARMLESS_ABOVE_DB, Harm, LEFT_ALONE_DB, SOFT_DB, WRONG_COSTS_DB,
};
use drfm_engine::eval::stereo::StereoCell;
use drfm_engine::eval::{EvalOptions, Evaluation, Measures};

use crate::report::{self, Table};

/// A measure: its name, a short one, and how to take it.
pub struct Column {
    /// With its unit.
    pub title: &'static str,
    /// For tables of several measures.
    pub short: &'static str,
    /// The value, if there is one.
    pub take: fn(&Measures) -> Option<f64>,
}

/// All measures.
pub const MEASURES: [Column; 7] = [
    Column {
        title: "SNR in dB",
        short: "SNR",
        take: |m| Some(m.snr_db),
    },
    Column {
        title: "SI-SDR in dB",
        short: "SI-SDR",
        take: |m| Some(m.si_sdr_db),
    },
    Column {
        title: "Segmental SNR in dB",
        short: "segmental",
        take: |m| Some(m.segmental_snr_db),
    },
    Column {
        title: "Log-spectral distance in dB (small is good)",
        short: "LSD",
        take: |m| Some(m.log_spectral_distance_db),
    },
    Column {
        title: "Musical noise, log kurtosis ratio where only noise was (small is good, 0: none)",
        short: "musical",
        take: |m| m.left.map(|l| l.log_kurtosis_ratio),
    },
    Column {
        title: "Noise left where only noise was, in dB against the noise",
        short: "left",
        take: |m| m.left.map(|l| l.noise_left_db),
    },
    Column {
        title: "Loudest thousandth of what is left there, in dB against the noise",
        short: "islands",
        take: |m| m.left.map(|l| l.islands_db),
    },
];

/// A number with two decimals, or a dash.
pub fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{v:.2}"))
}

/// The names of the noises in the order of the cells.
pub fn noises(result: &Evaluation) -> Vec<&str> {
    let mut noises: Vec<&str> = Vec::new();
    for cell in &result.cells {
        if !noises.contains(&cell.noise.as_str()) {
            noises.push(&cell.noise);
        }
    }
    noises
}

/// The mean of each method over all cells.
pub fn overall(result: &Evaluation) -> Vec<Measures> {
    let cells = &result.cells;
    (0..result.methods.len())
        .map(|m| Measures::mean(cells.iter().filter_map(|c| c.means.get(m))))
        .collect()
}

/// What methods were told of the noise.
pub const fn told(knows_noise: bool) -> &'static str {
    if knows_noise {
        "know a separate recording of the noise"
    } else {
        "have to find the noise themselves"
    }
}

/// What was done to the mixtures.
pub const fn cut(gaps: bool) -> &'static str {
    if gaps { ", with gaps of a second" } else { "" }
}

/// The tables of `drfm eval`.
pub fn evaluation(result: &Evaluation, options: &EvalOptions, files: usize) -> String {
    let mut text = format!(
        "{files} clean files, {} of sound{}; methods {}\n",
        report::duration(result.seconds_of_sound),
        cut(options.gaps),
        told(options.knows_noise)
    );
    for column in MEASURES {
        for noise in noises(result) {
            let cells: Vec<_> = result.cells.iter().filter(|c| c.noise == *noise).collect();
            let heading = cells.iter().map(|c| format!("{} {}", c.group, c.level_db));
            let mut table = Table::new(std::iter::once("method".to_owned()).chain(heading));
            for (m, method) in result.methods.iter().enumerate() {
                let values = cells
                    .iter()
                    .map(|c| number(c.means.get(m).and_then(column.take)));
                table.row(std::iter::once(method.name.clone()).chain(values));
            }
            text.push_str(&format!("\n{}, noise: {noise}\n{table}", column.title));
        }
    }
    text.push_str(&format!("\nHow far ahead\n{}", margins(result)));
    text.push_str(&format!(
        "\nMean of all cells, and seconds of work per second of sound\n{}",
        summary(result)
    ));
    text
}

fn margins(result: &Evaluation) -> Table {
    let mut table = Table::new([
        "model",
        "ahead of",
        "by",
        "mean",
        "worst",
        "cells behind",
        "worst cell",
    ]);
    for m in &result.margins {
        table.row([
            m.method.clone(),
            m.over.clone(),
            m.by.name().to_owned(),
            format!("{:+.2} dB", m.mean_db),
            format!("{:+.2} dB", m.worst_db),
            format!("{} of {}", m.cells_behind, m.cells),
            m.worst_cell.clone(),
        ]);
    }
    table
}

fn summary(result: &Evaluation) -> Table {
    let heading = MEASURES.iter().map(|c| c.short);
    let mut table = Table::new(
        std::iter::once("method")
            .chain(heading)
            .chain(["real-time factor"]),
    );
    for (method, means) in result.methods.iter().zip(overall(result)) {
        let values = MEASURES.iter().map(|c| number((c.take)(&means)));
        table.row(
            std::iter::once(method.name.clone())
                .chain(values)
                .chain([format!("{:.4}", method.real_time_factor)]),
        );
    }
    table
}

/// The tables of `drfm eval --harm`.
pub fn harm(harm: &Harm, knows_noise: bool) -> String {
    let verdict = |ok: bool| if ok { "reached" } else { "MISSED" };
    let mut table = Table::new(["model", "recordings", "mean", "worst file", ""]);
    for c in &harm.clean {
        table.row([
            c.method.clone(),
            c.group.clone(),
            format!("{:.1} dB", c.mean_snr_db),
            format!("{:.1} dB", c.worst_snr_db),
            verdict(c.mean_snr_db >= CLEAN_SNR_DB).to_owned(),
        ]);
    }
    let mut text = format!(
        "SNR of the output against the input when nothing was added and nobody tells what the noise is (at least {CLEAN_SNR_DB} dB)\n{table}"
    );
    let mut table = Table::new([
        "model",
        "recordings",
        "noise",
        "in",
        "gain",
        "worst file",
        "cost of the model",
        "",
    ]);
    for n in &harm.noisy {
        let soft = n.level_db >= SOFT_DB[0];
        let harmless = if soft {
            n.gain_db >= -LEFT_ALONE_DB
        } else {
            n.level_db <= HARMLESS_ABOVE_DB || n.gain_db >= 0.0
        };
        let cheap = n.cost_db.is_none_or(|c| c <= WRONG_COSTS_DB);
        table.row([
            n.method.clone(),
            n.group.clone(),
            n.noise.clone(),
            format!("{} dB", n.level_db),
            format!("{:+.2} dB", n.gain_db),
            format!("{:+.2} dB", n.worst_gain_db),
            n.cost_db
                .map_or_else(String::new, |c| format!("{c:+.2} dB")),
            verdict(harmless && cheap).to_owned(),
        ]);
    }
    text.push_str(&format!(
        "\nSNR gained over the noisy input; methods {}. The first model is meant to be the right one: others may cost\n\
         {WRONG_COSTS_DB} dB. No loss above {HARMLESS_ABOVE_DB} dB, from {} dB on none beyond {LEFT_ALONE_DB} dB\n{table}",
        told(knows_noise),
        SOFT_DB[0]
    ));
    text
}

/// Both channels as a pair, and each by itself.
pub fn stereo(cells: &[StereoCell], models: &[&str], knows_noise: bool) -> String {
    let mut head = vec![
        "recordings".to_owned(),
        "noise".to_owned(),
        "in".to_owned(),
        "scene".to_owned(),
        "noisy".to_owned(),
        "best classical".to_owned(),
    ];
    for model in models {
        head.push(format!("{model}, apart"));
        head.push("as a pair".to_owned());
    }
    let mut table = Table::new(head);
    for cell in cells {
        let mut row = vec![
            cell.group.clone(),
            cell.noise.clone(),
            format!("{} dB", cell.level_db),
            cell.scene.description().to_owned(),
            format!("{:.2}", cell.noisy_db),
            cell.classical_db
                .map_or_else(String::new, |db| format!("{db:.2}")),
        ];
        for (apart, pair) in &cell.models_db {
            row.push(format!("{apart:.2}"));
            row.push(format!("{pair:.2}"));
        }
        table.row(row);
    }
    format!(
        "SNR of both channels together in dB, mean over the files; each channel has noise of its own; methods {}. The\n\
         classical denoisers treat each channel by itself\n{table}",
        told(knows_noise)
    )
}
