//! Factors that were found band by band, applied bin by bin.

/// Goes up through the bins of a spectrum, between the centres of bands.
pub(super) struct BetweenBands<'a> {
    /// First bin of each band, and one past the last.
    edges: &'a [usize],
    band: usize,
}

impl<'a> BetweenBands<'a> {
    /// At the lowest band of one or more.
    pub const fn new(edges: &'a [usize]) -> Self {
        Self { edges, band: 0 }
    }

    fn centre(&self, band: usize) -> f32 {
        0.5 * (self.edges[band] + self.edges[band + 1]) as f32
    }

    /// The factor at a bin, which must not be below the last one that was asked for: in a straight line from the centre of a band
    /// to that of the next, one factor a band.
    pub fn at(&mut self, bin: usize, factors: &[f32]) -> f32 {
        let last = self.edges.len() - 2;
        let x = bin as f32;
        while self.band < last && x > self.centre(self.band + 1) {
            self.band += 1;
        }
        let (b, next) = (self.band, (self.band + 1).min(last));
        let (low, high) = (factors[b], factors[next]);
        if high == low {
            return low;
        }
        let t = (x - self.centre(b)) / (self.centre(next) - self.centre(b));
        low + t.clamp(0.0, 1.0) * (high - low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_lead_from_centre_to_centre_and_no_further() {
        let edges = [10, 20, 40, 80];
        let factors = [1.0, 3.0, 3.0];
        let mut between = BetweenBands::new(&edges);
        // Centres are 15, 30 and 60.
        for (bin, expected) in [(0, 1.0), (15, 1.0), (20, 5.0 / 3.0), (30, 3.0), (45, 3.0)] {
            assert!((between.at(bin, &factors) - expected).abs() < 1e-6, "{bin}");
        }
        assert_eq!(between.at(79, &[1.0, 2.0, 5.0]), 5.0);
        assert_eq!(BetweenBands::new(&edges[..2]).at(100, &[7.0]), 7.0);
    }
}
