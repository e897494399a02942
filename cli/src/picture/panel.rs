//! Pictures of several parts: titled sheets side by side, curves, waveforms.

use drfm_engine::image::ImageSet;
use image::{Rgb, RgbImage};

use super::{font, grid, put};

const INK: Rgb<u8> = Rgb([220, 220, 220]);
const PAPER: Rgb<u8> = Rgb([20, 20, 26]);
const FRAME: Rgb<u8> = Rgb([90, 90, 100]);
/// Colours of curves.
const CURVES: [Rgb<u8>; 4] = [
    Rgb([255, 176, 70]),
    Rgb([90, 180, 255]),
    Rgb([130, 220, 120]),
    Rgb([230, 110, 160]),
];
/// Height of a title.
const TITLE: u32 = 20;
/// Gap between parts.
const GAP: u32 = 16;

/// Sheets with titles, `across` of them side by side, as in the paper's figures.
#[must_use]
pub fn sheets(parts: &[(&str, &ImageSet)], across: usize) -> RgbImage {
    let across = across.clamp(1, parts.len().max(1));
    let sizes: Vec<(u32, u32)> = parts
        .iter()
        .map(|(_, set)| grid::size(set, grid::COLUMNS, set.len()))
        .collect();
    let width = sizes.iter().map(|s| s.0).max().unwrap_or(1);
    let height = sizes.iter().map(|s| s.1).max().unwrap_or(1) + TITLE;
    let down = parts.len().div_ceil(across) as u32;
    let (all_across, all_down) = (
        across as u32 * (width + GAP) + GAP,
        down * (height + GAP) + GAP,
    );
    let mut picture = RgbImage::from_pixel(all_across, all_down, PAPER);
    for (i, (title, set)) in parts.iter().enumerate() {
        let x = GAP + (i % across) as u32 * (width + GAP);
        let y = GAP + (i / across) as u32 * (height + GAP);
        font::write(&mut picture, x, y + 4, title, INK);
        grid::draw(&mut picture, x, y + TITLE, set, grid::COLUMNS);
    }
    picture
}

/// One waveform or curve of a [`plots`] picture: title and lines.
pub struct Plot<'a> {
    /// Written above it.
    pub title: String,
    /// Lines of (x, y) points; NaN breaks a line.
    pub lines: Vec<(&'a str, Vec<(f64, f64)>)>,
}

/// Plots with titles under each other, each with its own axes from its least to its greatest values.
#[must_use]
pub fn plots(parts: &[Plot<'_>], width: u32, height: u32, across: usize) -> RgbImage {
    let across = across.clamp(1, parts.len().max(1)) as u32;
    let left = 72;
    let (cell_width, cell_height) = (left + width + GAP, TITLE + height + 34);
    let down = (parts.len() as u32).div_ceil(across);
    let mut picture =
        RgbImage::from_pixel(across * cell_width + GAP, down * cell_height + GAP, PAPER);
    for (i, part) in (0u32..).zip(parts) {
        let x = left + i % across * cell_width;
        let y = GAP + i / across * cell_height;
        font::write(&mut picture, x, y, &part.title, INK);
        draw_plot(&mut picture, (x, y + TITLE), (width, height), part);
    }
    picture
}

fn draw_plot(picture: &mut RgbImage, at: (u32, u32), size: (u32, u32), part: &Plot<'_>) {
    let points = || {
        part.lines
            .iter()
            .flat_map(|(_, l)| l)
            .filter(|p| p.0.is_finite() && p.1.is_finite())
    };
    let range = |of: &dyn Fn(&(f64, f64)) -> f64| {
        let (low, high) = points().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), p| {
            (l.min(of(p)), h.max(of(p)))
        });
        if high > low {
            (low, high)
        } else {
            (low - 1.0, low + 1.0)
        }
    };
    let ((x0, x1), (y0, y1)) = (range(&|p| p.0), range(&|p| p.1));
    for x in 0..size.0 {
        put(picture, at.0 + x, at.1, FRAME);
        put(picture, at.0 + x, at.1 + size.1 - 1, FRAME);
    }
    for y in 0..size.1 {
        put(picture, at.0, at.1 + y, FRAME);
        put(picture, at.0 + size.0 - 1, at.1 + y, FRAME);
    }
    let place = |p: &(f64, f64)| {
        (
            (p.0 - x0) / (x1 - x0) * f64::from(size.0 - 1),
            (y1 - p.1) / (y1 - y0) * f64::from(size.1 - 1),
        )
    };
    for (i, (name, line)) in part.lines.iter().enumerate() {
        let ink = CURVES[i % CURVES.len()];
        for pair in line.windows(2) {
            let (a, b) = (place(&pair[0]), place(&pair[1]));
            if !(a.0.is_finite() && a.1.is_finite() && b.0.is_finite() && b.1.is_finite()) {
                continue;
            }
            let steps = (b.0 - a.0).abs().max((b.1 - a.1).abs()).ceil().max(1.0);
            for s in 0..=steps as u32 {
                let t = f64::from(s) / steps;
                let (x, y) = (a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1));
                put(
                    picture,
                    at.0 + x.round() as u32,
                    at.1 + y.round() as u32,
                    ink,
                );
            }
        }
        font::write(picture, at.0 + 8, at.1 + 6 + 14 * i as u32, name, ink);
    }
    let label = |v: f64| {
        if v != 0.0 && (v.abs() >= 1e4 || v.abs() < 1e-2) {
            format!("{v:.1e}")
        } else {
            format!("{v:.2}")
        }
    };
    font::write(picture, at.0 - 68, at.1, &label(y1), INK);
    font::write(picture, at.0 - 68, at.1 + size.1 - 10, &label(y0), INK);
    font::write(picture, at.0, at.1 + size.1 + 4, &label(x0), INK);
    let last = label(x1);
    let back = font::ADVANCE * last.len() as u32;
    font::write(picture, at.0 + size.0 - back, at.1 + size.1 + 4, &last, INK);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_reach_their_corners_and_nothing_panics() {
        let plot = Plot {
            title: "TEST".to_owned(),
            lines: vec![
                ("A", vec![(0.0, 0.0), (1.0, 5.0)]),
                ("B", vec![(0.5, f64::NAN), (0.7, 1.0)]),
                ("C", Vec::new()),
            ],
        };
        let picture = plots(&[plot], 100, 50, 1);
        assert_eq!(picture.get_pixel(72 + 99, GAP + TITLE), &CURVES[0]);
        assert_eq!(picture.get_pixel(72, GAP + TITLE + 49), &CURVES[0]);
        let set = ImageSet::from_pixels(3, 3, vec![1.0; 63]);
        assert!(sheets(&[("A", &set), ("B", &set), ("C", &set)], 2).height() > 2 * TITLE);
    }
}
