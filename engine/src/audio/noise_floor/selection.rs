//! Quantiles of what is around each of sixteen neighbouring bins at once.
//!
//! A sorted window that slides from bin to bin spends its time on finding places in it and making room. A network of exchanges needs
//! neither: each vector holds the same neighbour of sixteen bins, and what is exchanged is exchanged for all of them. Exchanges on
//! which no wanted rank depends are left out.

use crate::audio::kernel::BINS_PER_PASS;

/// Values of as many neighbouring bins as the kernel takes in a pass.
pub type Pass = [f32; BINS_PER_PASS];

/// More than the widest window, and a power of two: a place is brought into range by leaving out bits.
const WIDEST: usize = 32;

/// Picks values of given ranks out of the windows around neighbouring bins.
pub struct Selection {
    half_width: usize,
    /// Shares of the window that lie below what is picked.
    shares: Vec<f32>,
    /// Places whose values are put in order, one pair after the other.
    exchanges: Vec<[u8; 2]>,
}

/// The rank in a window of `count` values below which the share `share` of them lies.
fn rank(count: usize, share: f32) -> usize {
    ((count - 1) as f32 * share) as usize
}

impl Selection {
    /// For windows of `half_width` bins, at most 15, to either side, cut off at the ends of the spectrum; of each the values below which
    /// the shares `shares` of it lie, from 0 to 1.
    #[must_use]
    pub fn new(half_width: usize, shares: &[f32]) -> Self {
        let width = 2 * half_width + 1;
        assert!(width < WIDEST, "the window does not fit");
        let mut wanted = [false; WIDEST];
        for share in shares {
            wanted[rank(width, *share)] = true;
        }
        // From the last exchange back: one of which neither value is wanted is left out, any other wants both.
        let mut exchanges = Vec::new();
        for [i, j] in merge_sort(width).into_iter().rev() {
            if wanted[i] || wanted[j] {
                wanted[i] = true;
                wanted[j] = true;
                exchanges.push([i as u8, j as u8]);
            }
        }
        exchanges.reverse();
        Self {
            half_width,
            shares: shares.to_vec(),
            exchanges,
        }
    }

    /// The quantiles of `count` bins from `first` on, those of each share in the place of the share. `values` are those of `seen`
    /// bins and, behind them, as many as a pass has, which may be any. Never allocates.
    #[inline(always)]
    pub fn pick_into(
        &self,
        values: &[f32],
        seen: usize,
        (first, count): (usize, usize),
        quantiles: &mut [Pass],
    ) {
        if first < self.half_width || first + count + self.half_width > seen {
            return self.pick_at_ends(&values[..seen], (first, count), quantiles);
        }
        let width = 2 * self.half_width + 1;
        let mut places = [[0.0; BINS_PER_PASS]; WIDEST];
        let from = &values[first - self.half_width..][..width - 1 + BINS_PER_PASS];
        for (place, neighbours) in places.iter_mut().zip(from.windows(BINS_PER_PASS)) {
            place.copy_from_slice(neighbours);
        }
        for [i, j] in &self.exchanges {
            let (i, j) = (usize::from(*i) % WIDEST, usize::from(*j) % WIDEST);
            let (a, b) = (places[i], places[j]);
            for lane in 0..BINS_PER_PASS {
                // Not `min` and `max`, which would look for what is no number.
                let swap = b[lane] < a[lane];
                places[i][lane] = if swap { b[lane] } else { a[lane] };
                places[j][lane] = if swap { a[lane] } else { b[lane] };
            }
        }
        for (quantile, share) in quantiles.iter_mut().zip(&self.shares) {
            *quantile = places[rank(width, *share) % WIDEST];
        }
    }

    fn pick_at_ends(&self, values: &[f32], (first, count): (usize, usize), quantiles: &mut [Pass]) {
        for lane in 0..count {
            let f = first + lane;
            let to = (f + self.half_width + 1).min(values.len());
            let window = &values[f.saturating_sub(self.half_width)..to];
            let mut sorted = [0.0; WIDEST];
            let sorted = &mut sorted[..window.len()];
            sorted.copy_from_slice(window);
            sorted.sort_unstable_by(f32::total_cmp);
            for (quantile, share) in quantiles.iter_mut().zip(&self.shares) {
                quantile[lane] = sorted[rank(window.len(), *share)];
            }
        }
    }
}

/// The pairs of places that sort `width` values (Batcher's odd-even merge sort, in Knuth, "Sorting and Searching", 5.2.2 M).
fn merge_sort(width: usize) -> Vec<[usize; 2]> {
    let mut pairs = Vec::new();
    let mut sorted = 1;
    while sorted < width {
        let mut apart = sorted;
        while apart > 0 {
            for first in (apart % sorted..width - apart).step_by(2 * apart) {
                for i in first..(first + apart).min(width - apart) {
                    if i / (2 * sorted) == (i + apart) / (2 * sorted) {
                        pairs.push([i, i + apart]);
                    }
                }
            }
            apart /= 2;
        }
        sorted *= 2;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    #[test]
    fn as_if_each_window_were_sorted() {
        let mut rng = StableRng::new(1, 0);
        for (half_width, shares) in [
            (4, vec![0.2, 0.8]),
            (12, vec![0.3]),
            (15, vec![0.0, 0.5, 1.0]),
        ] {
            let selection = Selection::new(half_width, &shares);
            for seen in [1, 9, 24, 48, 61, 100] {
                // Few different values, so that equals come, too.
                let mut values: Vec<f32> = (0..seen).map(|_| rng.below(40) as f32 - 3.0).collect();
                values.extend([f32::MAX; BINS_PER_PASS]);
                let mut quantiles = vec![[0.0; BINS_PER_PASS]; shares.len()];
                for first in (0..seen).step_by(BINS_PER_PASS) {
                    let count = (seen - first).min(BINS_PER_PASS);
                    selection.pick_into(&values, seen, (first, count), &mut quantiles);
                    for lane in 0..count {
                        let f = first + lane;
                        let to = (f + half_width + 1).min(seen);
                        let mut slow = values[f.saturating_sub(half_width)..to].to_vec();
                        slow.sort_by(f32::total_cmp);
                        for (quantile, share) in quantiles.iter().zip(&shares) {
                            let rank = (slow.len() - 1) as f32 * share;
                            assert_eq!(quantile[lane], slow[rank as usize], "{seen} {f}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn only_what_is_wanted_is_sorted() {
        let all = Selection::new(12, &(0..25).map(|r| r as f32 / 24.0).collect::<Vec<_>>());
        let one = Selection::new(12, &[0.3]);
        println!("{} {}", all.exchanges.len(), one.exchanges.len());
        assert!(one.exchanges.len() < all.exchanges.len());
    }
}
