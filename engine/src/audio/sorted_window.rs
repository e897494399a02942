//! Quantiles over a window that slides along a spectrum.

/// Places are a multiple of this many, so that they fit any vector.
const LANES: usize = 8;
/// What stands in places that are not used: above all values.
const NOTHING: i32 = i32::MAX;

/// The values of neighbouring bins in order of size, as whole numbers that have the order of [`f32::total_cmp`].
pub struct SortedWindow {
    half_width: usize,
    sorted: Vec<i32>,
    count: usize,
}

/// The whole number in whose place a value is sorted, and the other way round.
fn key(bits: i32) -> i32 {
    bits ^ (((bits >> 31) as u32) >> 1) as i32
}

impl SortedWindow {
    /// A window of `half_width` bins to either side. Allocates everything it will ever need.
    #[must_use]
    pub fn new(half_width: usize) -> Self {
        Self {
            half_width,
            sorted: vec![NOTHING; (2 * half_width + 2).next_multiple_of(LANES)],
            count: 0,
        }
    }

    /// Stands on bin 0. Never allocates.
    pub fn start(&mut self, values: &[f32]) {
        self.sorted.fill(NOTHING);
        self.count = (self.half_width + 1).min(values.len());
        let keys = &mut self.sorted[..self.count];
        for (k, v) in keys.iter_mut().zip(values) {
            *k = key(v.to_bits() as i32);
        }
        keys.sort_unstable();
    }

    /// Moves on to bin `f` from the one before. Never allocates.
    pub fn move_to(&mut self, f: usize, values: &[f32]) {
        let key_at = |at: usize| values.get(at).map(|v| key(v.to_bits() as i32));
        let comes = key_at(f + self.half_width);
        let goes = f
            .checked_sub(self.half_width + 1)
            .and_then(&key_at)
            .map(|old| self.place(old));
        match (comes, goes) {
            (Some(new), Some(from)) => {
                // Only what lies between the two moves.
                let to = self.place(new);
                if to > from {
                    self.sorted.copy_within(from + 1..to, from);
                    self.sorted[to - 1] = new;
                } else {
                    self.sorted.copy_within(to..from, to + 1);
                    self.sorted[to] = new;
                }
            }
            (Some(new), None) => {
                let to = self.place(new);
                self.sorted.copy_within(to..self.count, to + 1);
                self.sorted[to] = new;
                self.count += 1;
            }
            (None, Some(from)) => {
                self.sorted.copy_within(from + 1..self.count, from);
                self.count -= 1;
                self.sorted[self.count] = NOTHING;
            }
            (None, None) => {}
        }
    }

    /// How many lie below. Looking at all of them is faster than halving, and the compiler does it side by side.
    fn place(&self, key: i32) -> usize {
        let mut below = [0; LANES];
        for eight in self.sorted.chunks_exact(LANES) {
            for (below, k) in below.iter_mut().zip(eight) {
                *below += i32::from(*k < key);
            }
        }
        below.iter().sum::<i32>() as usize
    }

    /// The value below which the share `q` of the window lies.
    #[must_use]
    pub fn quantile(&self, q: f32) -> f32 {
        let rank = (self.count.saturating_sub(1) as f32 * q) as usize;
        if rank >= self.count {
            return 0.0;
        }
        self.sorted
            .get(rank)
            .map_or(0.0, |k| f32::from_bits(key(*k) as u32))
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
        let values: Vec<f32> = (0..60).map(|_| rng.below(8) as f32 - 3.0).collect();
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
                let sorted = window.sorted.iter().take(window.count);
                let sorted: Vec<f32> = sorted.map(|k| f32::from_bits(key(*k) as u32)).collect();
                assert_eq!(sorted, slow);
                assert_eq!(window.quantile(0.3), slow[(slow.len() - 1) * 3 / 10]);
            }
        }
    }
}
