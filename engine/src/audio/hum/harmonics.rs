//! Which lines are harmonics of one fundamental, and which fundamental fits them best.

use super::lines::MOST;

/// Of the harmonics up to one that is there at least one in so many is there too: else it is by chance that a line is where it is.
const SPARSE: f64 = 4.0;

/// A fundamental that is refined with every harmonic of it.
pub(super) struct Harmonics {
    /// The fundamental that fits best so far, in Hz.
    pub(super) hz: f64,
    tolerance_hz: f64,
    sum: f64,
    weights: f64,
    count: f64,
}

impl Harmonics {
    /// Of about `hz`; a line may be as far from a harmonic as `tolerance_hz`.
    pub(super) const fn of(hz: f64, tolerance_hz: f64) -> Self {
        Self {
            hz,
            tolerance_hz,
            sum: 0.0,
            weights: 0.0,
            count: 0.0,
        }
    }

    /// Of what has a harmonic of this order at `hz`. The higher the harmonic, the better it says where the fundamental is.
    pub(super) fn with(hz: f64, order: f64, tolerance_hz: f64) -> Self {
        Self {
            sum: order * hz,
            weights: order * order,
            ..Self::of(hz / order, tolerance_hz)
        }
    }

    /// The order of a line if it is a harmonic (1 for the fundamental); lines are to be given in rising order.
    pub(super) fn take(&mut self, line_hz: f64) -> Option<usize> {
        let order = (line_hz / self.hz).round();
        if order < 1.0 || order > (SPARSE * (self.count + 1.0)).min(MOST as f64) {
            return None;
        }
        if (line_hz - order * self.hz).abs() > self.tolerance_hz {
            return None;
        }
        self.count += 1.0;
        self.sum += order * line_hz;
        self.weights += order * order;
        self.hz = self.sum / self.weights;
        Some(order as usize)
    }
}
