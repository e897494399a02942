//! Quantiles over a window that slides along a spectrum.

/// The values of neighbouring bins in order of size.
pub struct SortedWindow {
    half_width: usize,
    sorted: Vec<f32>,
}

impl SortedWindow {
    /// A window of `half_width` bins to either side. Allocates everything it will ever need.
    #[must_use]
    pub fn new(half_width: usize) -> Self {
        Self {
            half_width,
            sorted: Vec::with_capacity(2 * half_width + 2),
        }
    }

    /// Stands on bin 0. Never allocates.
    pub fn start(&mut self, values: &[f32]) {
        self.sorted.clear();
        let to = (self.half_width + 1).min(values.len());
        self.sorted.extend_from_slice(&values[..to]);
        self.sorted.sort_unstable_by(f32::total_cmp);
    }

    /// Moves on to bin `f` from the one before. Never allocates.
    pub fn move_to(&mut self, f: usize, values: &[f32]) {
        if let Some(new) = values.get(f + self.half_width) {
            let at = self.sorted.partition_point(|v| v.total_cmp(new).is_lt());
            self.sorted.insert(at, *new);
        }
        if f > self.half_width {
            let old = values[f - self.half_width - 1];
            let at = self.sorted.partition_point(|v| v.total_cmp(&old).is_lt());
            self.sorted.remove(at);
        }
    }

    /// The value below which the share `q` of the window lies.
    #[must_use]
    pub fn quantile(&self, q: f32) -> f32 {
        let rank = (self.sorted.len().saturating_sub(1) as f32 * q) as usize;
        self.sorted.get(rank).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    #[test]
    fn slides_as_if_sorted_anew() {
        let mut rng = StableRng::new(1, 0);
        // Few different values, so that equals come and go.
        let values: Vec<f32> = (0..60).map(|_| rng.below(8) as f32).collect();
        for half_width in [1, 4, 40, 80] {
            let mut window = SortedWindow::new(half_width);
            window.start(&values);
            for f in 0..values.len() {
                if f > 0 {
                    window.move_to(f, &values);
                }
                let to = (f + half_width + 1).min(values.len());
                let mut slow = values[f.saturating_sub(half_width)..to].to_vec();
                slow.sort_by(f32::total_cmp);
                assert_eq!(window.sorted, slow);
                assert_eq!(window.quantile(0.3), slow[(slow.len() - 1) * 3 / 10]);
            }
        }
    }
}
