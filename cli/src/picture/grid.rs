//! Sheets of small grey images, as in the paper's figures.

use drfm_engine::image::ImageSet;
use image::{Rgb, RgbImage};

use super::put;

/// Images in a row, as in the paper.
pub const COLUMNS: usize = 5;
/// Pixels of the sheet for a pixel of an image, at least; small images are magnified to about a hundred.
const SIDE: usize = 84;
/// Gap between images.
const GAP: u32 = 4;
const PAPER: Rgb<u8> = Rgb([40, 40, 48]);

/// How many times an image is magnified.
fn zoom(set: &ImageSet) -> u32 {
    (SIDE / set.width().max(set.height()).max(1)).clamp(1, 16) as u32
}

/// Width and height of a sheet in pixels.
#[must_use]
pub fn size(set: &ImageSet, columns: usize, count: usize) -> (u32, u32) {
    let columns = columns.min(count).max(1);
    let rows = count.div_ceil(columns);
    let cell = |side: usize| side as u32 * zoom(set) + GAP;
    (
        columns as u32 * cell(set.width()) + GAP,
        rows as u32 * cell(set.height()) + GAP,
    )
}

/// All images, `columns` in a row.
#[must_use]
pub fn sheet(set: &ImageSet, columns: usize) -> RgbImage {
    let (width, height) = size(set, columns, set.len());
    let mut picture = RgbImage::from_pixel(width, height, PAPER);
    draw(&mut picture, 0, 0, set, columns);
    picture
}

/// Rows of noisy images, each over a row of the denoised ones.
#[must_use]
pub fn pairs(noisy: &ImageSet, clean: &ImageSet, columns: usize) -> RgbImage {
    let mut both = ImageSet::new(noisy.width(), noisy.height());
    for first in (0..noisy.len()).step_by(columns.max(1)) {
        for set in [noisy, clean] {
            for i in first..first + columns {
                let blank = vec![0.0; set.dim()];
                let image = set.image(i);
                both.push(if image.is_empty() { &blank } else { image });
            }
        }
    }
    sheet(&both, columns)
}

/// Draws all images with the upper left corner at (x, y).
pub fn draw(picture: &mut RgbImage, x: u32, y: u32, set: &ImageSet, columns: usize) {
    let zoom = zoom(set);
    let columns = columns.min(set.len()).max(1);
    let (w, h) = (set.width() as u32, set.height() as u32);
    for (i, image) in set.images().enumerate() {
        let left = x + GAP + (i % columns) as u32 * (w * zoom + GAP);
        let top = y + GAP + (i / columns) as u32 * (h * zoom + GAP);
        for (at, p) in (0u32..).zip(image) {
            let grey = (p.clamp(0.0, 1.0) * 255.0).round() as u8;
            for dy in 0..zoom {
                for dx in 0..zoom {
                    let (px, py) = (left + at % w * zoom + dx, top + at / w * zoom + dy);
                    put(picture, px, py, Rgb([grey; 3]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_hold_all_images() {
        let set = ImageSet::from_pixels(2, 1, vec![0.0, 1.0, 1.0, 0.0, 0.5, 0.5]);
        let picture = sheet(&set, 2);
        assert_eq!(picture.dimensions(), (4 + 2 * (32 + 4), 4 + 2 * (16 + 4)));
        assert_eq!(picture.get_pixel(4, 4), &Rgb([0; 3]));
        assert_eq!(picture.get_pixel(4 + 31, 4), &Rgb([255; 3]));
        assert_eq!(picture.get_pixel(4, 4 + 20), &Rgb([128; 3]));
        assert_eq!(pairs(&set, &set, 2).height(), 4 + 4 * 20);
    }
}
