//! Features that see a part of the image only, and speak about the middle of it.
//!
//! The image is cut into square tiles. A run of neighbouring features belongs to each tile: their weights are zero outside
//! the tile and a margin around it, and in closed form their coefficients are zero outside the tile. That stays Eq. 20, with zeros
//! in W and theta2: a prior that far pixels tell little about each other, which few training images cannot teach.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// How an image is cut into tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patches {
    /// Pixels in a row of the image.
    pub width: usize,
    /// Rows of the image.
    pub height: usize,
    /// Side of a tile in pixels, at least 1; tiles at the right and lower edge may be smaller.
    pub tile: usize,
    /// Pixels around a tile that its features see too.
    pub margin: usize,
}

impl Patches {
    /// Number of tiles.
    #[must_use]
    pub fn count(&self) -> usize {
        let tile = self.tile.max(1);
        self.width.div_ceil(tile) * self.height.div_ceil(tile)
    }

    /// Pixels of tile number `at`, from the left to the right and down, in ascending order.
    #[must_use]
    pub fn outputs(&self, at: usize) -> Vec<usize> {
        self.square(at, 0)
    }

    /// Pixels that the features of tile number `at` see.
    #[must_use]
    pub fn inputs(&self, at: usize) -> Vec<usize> {
        self.square(at, self.margin)
    }

    /// The most pixels that features see.
    #[must_use]
    pub fn most_inputs(&self) -> usize {
        let side = self.tile.saturating_add(self.margin.saturating_mul(2));
        side.min(self.width) * side.min(self.height)
    }

    /// Which of `n` features belong to tile number `at`.
    #[must_use]
    pub fn features(&self, at: usize, n: usize) -> Range<usize> {
        let count = self.count().max(1);
        at * n / count..(at + 1) * n / count
    }

    fn square(&self, at: usize, margin: usize) -> Vec<usize> {
        let tile = self.tile.max(1);
        let across = self.width.div_ceil(tile).max(1);
        let run = |tile_at: usize, end: usize| {
            let first = tile_at * tile;
            first.saturating_sub(margin)..first.saturating_add(tile.saturating_add(margin)).min(end)
        };
        run(at / across, self.height)
            .flat_map(|y| run(at % across, self.width).map(move |x| y * self.width + x))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_pixel_and_feature_once() {
        let p = Patches {
            width: 7,
            height: 5,
            tile: 3,
            margin: 1,
        };
        assert_eq!(p.count(), 6);
        let mut seen: Vec<usize> = (0..6).flat_map(|t| p.outputs(t)).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..35).collect::<Vec<_>>());
        assert_eq!(p.outputs(5), [27, 34]);
        assert_eq!(p.inputs(5), [19, 20, 26, 27, 33, 34]);
        assert_eq!(p.most_inputs(), 25);
        let runs: Vec<usize> = (0..6).flat_map(|t| p.features(t, 20)).collect();
        assert_eq!(runs, (0..20).collect::<Vec<_>>());
    }
}
