//! How far models are ahead of others, cell by cell.

use serde::Serialize;

use super::{Cell, Contender, Measures, Method, MethodKind};
use crate::audio::model::Mode;

/// What two methods are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Measured {
    /// Signal-to-noise ratio.
    #[serde(rename = "SNR")]
    Snr,
    /// Scale-invariant signal-to-distortion ratio.
    #[serde(rename = "SI-SDR")]
    SiSdr,
    /// Log-spectral distance.
    #[serde(rename = "LSD")]
    LogSpectralDistance,
}

impl Measured {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snr => "SNR",
            Self::SiSdr => "SI-SDR",
            Self::LogSpectralDistance => "LSD",
        }
    }

    /// The measure in dB, so that more is better.
    fn good_db(self, m: &Measures) -> f64 {
        match self {
            Self::Snr => m.snr_db,
            Self::SiSdr => m.si_sdr_db,
            Self::LogSpectralDistance => -m.log_spectral_distance_db,
        }
    }
}

/// How far a model is ahead, in dB.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Margin {
    /// The model.
    pub method: String,
    /// What it is compared with.
    pub over: String,
    /// What they are compared by; a smaller log-spectral distance counts as ahead.
    pub by: Measured,
    /// Mean over the cells.
    pub mean_db: f64,
    /// Least of all cells.
    pub worst_db: f64,
    /// The cell of the least.
    pub worst_cell: String,
    /// Cells in which it is behind ...
    pub cells_behind: usize,
    /// ... of so many.
    pub cells: usize,
}

/// Each contender against the best classical denoiser of each cell, and against every peer.
pub(super) fn margins(methods: &[Method], cells: &[Cell], contenders: &[Contender]) -> Vec<Margin> {
    use Measured::{LogSpectralDistance, SiSdr, Snr};
    let has = |kind: MethodKind| methods.iter().any(|m| m.kind == kind);
    let mut all = Vec::new();
    for contender in contenders {
        let is = |kinds: &'static [MethodKind]| move |m: &Method| kinds.contains(&m.kind);
        let mut push = |over: &str, by, of: &dyn Fn(&Method) -> bool| {
            all.extend(margin(methods, cells, &contender.name, (over, of), by));
        };
        if has(MethodKind::Classical) {
            let classical = is(&[MethodKind::Classical, MethodKind::ClassicalLive]);
            push("best classical", Snr, &classical);
            push("best classical", LogSpectralDistance, &classical);
            if matches!(contender.mode, Mode::Live | Mode::Instant) {
                push("DD-Wiener 512/128", Snr, &is(&[MethodKind::ClassicalLive]));
            }
        }
        for peer in methods.iter().filter(|m| m.kind == MethodKind::Peer) {
            push(&peer.name, SiSdr, &|m| m.name == peer.name);
            push(&peer.name, LogSpectralDistance, &|m| m.name == peer.name);
        }
        if has(MethodKind::Peer) {
            push("best peer", SiSdr, &is(&[MethodKind::Peer]));
            push("best peer", LogSpectralDistance, &is(&[MethodKind::Peer]));
        }
    }
    all
}

fn margin(
    methods: &[Method],
    cells: &[Cell],
    name: &str,
    (over, others): (&str, &dyn Fn(&Method) -> bool),
    by: Measured,
) -> Option<Margin> {
    let of_cell = |cell: &Cell| {
        let pairs = || methods.iter().zip(&cell.means);
        let ours = by.good_db(pairs().find(|(m, _)| m.name == name)?.1);
        let best = pairs()
            .filter(|(m, _)| others(m))
            .map(|(_, s)| by.good_db(s))
            .max_by(f64::total_cmp)?;
        let name = format!("{} {} {} dB", cell.group, cell.noise, cell.level_db);
        Some((ours - best, name))
    };
    let margins: Vec<(f64, String)> = cells.iter().filter_map(of_cell).collect();
    let cells = margins.len();
    let mean_db = margins.iter().map(|(m, _)| m).sum::<f64>() / cells.max(1) as f64;
    let cells_behind = margins.iter().filter(|(m, _)| *m < 0.0).count();
    let (worst_db, worst_cell) = margins.into_iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Margin {
        method: name.to_owned(),
        over: over.to_owned(),
        by,
        mean_db,
        worst_db,
        worst_cell,
        cells_behind,
        cells,
    })
}
