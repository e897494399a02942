//! Pictures: spectrograms before, after and of what was removed.

use std::path::Path;

use drfm_engine::audio::spectrogram::Comparison;
use image::{Rgb, RgbImage};

use crate::failure::Failure;

mod font;
pub mod grid;
pub mod panel;

/// Size of one spectrogram in pixels.
const WIDTH: u32 = 900;
const HEIGHT: u32 = 260;
/// Room for labels.
const LEFT: u32 = 56;
const ABOVE: u32 = 20;
const BELOW: u32 = 20;
const RIGHT: u32 = 12;
/// Frequencies shown, in Hz.
const LOW_HZ: f64 = 40.0;
const HIGH_HZ: f64 = 20_000.0;
/// Levels shown, in dB below the loudest.
const RANGE_DB: f32 = 90.0;
/// Frequencies that get a label.
const TICKS: [(f64, &str); 7] = [
    (50.0, "50 HZ"),
    (100.0, "100"),
    (200.0, "200"),
    (500.0, "500"),
    (1_000.0, "1 K"),
    (5_000.0, "5 K"),
    (10_000.0, "10 K"),
];
/// Stops of a colour map whose lightness grows evenly, from black over violet and orange to pale yellow.
const STOPS: [[u8; 3]; 9] = [
    [0, 0, 4],
    [29, 17, 71],
    [81, 18, 124],
    [131, 38, 129],
    [182, 54, 121],
    [230, 81, 98],
    [251, 136, 97],
    [254, 194, 140],
    [252, 253, 191],
];
const INK: Rgb<u8> = Rgb([220, 220, 220]);

/// The colour of a share of the range, 0 to 1.
#[must_use]
pub fn colour(share: f32) -> Rgb<u8> {
    let x = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
    let i = (x as usize).min(STOPS.len() - 2);
    let (Some(a), Some(b)) = (STOPS.get(i), STOPS.get(i + 1)) else {
        return INK;
    };
    let t = x - i as f32;
    let mut mixed = [0u8; 3];
    for ((m, a), b) in mixed.iter_mut().zip(a).zip(b) {
        *m = (f32::from(*a) + t * (f32::from(*b) - f32::from(*a))).round() as u8;
    }
    Rgb(mixed)
}

/// Tells a picture path that cannot be written before any work is done.
///
/// # Errors
/// Another ending than .png, a missing folder, a folder as target.
pub fn check_target(path: &Path) -> Result<(), Failure> {
    let png = path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("png"));
    if !png {
        return Err(Failure::Usage(format!(
            "the picture {} must end in .png",
            path.display()
        )));
    }
    if path.is_dir() {
        return Err(Failure::Failed(format!(
            "{} is a folder: give a file name for the picture",
            path.display()
        )));
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => Err(Failure::Failed(
            format!("there is no folder {}: create it first", folder.display()),
        )),
        _ => Ok(()),
    }
}

/// Draws the spectrograms of a recording and its denoised version (or, with `residual`, of what was removed from it).
///
/// # Errors
/// When a file cannot be read or the picture cannot be written.
pub fn draw(input: &Path, output: &Path, residual: bool, path: &Path) -> Result<(), Failure> {
    let (columns, rows) = (WIDTH as usize, HEIGHT as usize);
    let pictures =
        Comparison::of_files(input, output, residual, (columns, rows), (LOW_HZ, HIGH_HZ))
            .map_err(Failure::of)?;
    let top = pictures.before.iter().copied().fold(f32::MIN, f32::max);
    let panel = ABOVE + HEIGHT + BELOW;
    let mut image = RgbImage::new(LEFT + WIDTH + RIGHT, 3 * panel);
    let panels = [
        ("BEFORE", &pictures.before),
        ("AFTER", &pictures.after),
        ("REMOVED", &pictures.removed),
    ];
    for ((title, levels), y) in panels.into_iter().zip((0u32..).map(|i| i * panel)) {
        font::write(&mut image, LEFT, y + 4, title, INK);
        for (x, column) in (LEFT..).zip(levels.chunks_exact(rows)) {
            for (up, level) in (0u32..).zip(column) {
                let share = 1.0 + (level - top) / RANGE_DB;
                put(&mut image, x, y + ABOVE + HEIGHT - 1 - up, colour(share));
            }
        }
        for (hz, label) in TICKS {
            let up =
                (f64::from(HEIGHT) * (hz / LOW_HZ).ln() / (HIGH_HZ / LOW_HZ).ln()).round() as u32;
            let tick = y + ABOVE + HEIGHT - 1 - up.min(HEIGHT - 1);
            for x in LEFT - 4..LEFT {
                put(&mut image, x, tick, INK);
            }
            font::write(&mut image, 4, tick.saturating_sub(5), label, INK);
        }
        for quarter in 0..=4u32 {
            let x = LEFT + quarter * (WIDTH - 1) / 4;
            for down in 0..3 {
                put(&mut image, x, y + ABOVE + HEIGHT + down, INK);
            }
            let label = format!("{:.1} S", pictures.seconds * f64::from(quarter) / 4.0);
            let back = if quarter == 4 {
                font::ADVANCE * label.len() as u32
            } else {
                0
            };
            font::write(&mut image, x - back, y + ABOVE + HEIGHT + 5, &label, INK);
        }
    }
    save(&image, path)
}

/// Sets a pixel; outside the picture nothing happens.
pub fn put(image: &mut RgbImage, x: u32, y: u32, colour: Rgb<u8>) {
    if let Some(pixel) = image.get_pixel_mut_checked(x, y) {
        *pixel = colour;
    }
}

/// Writes a PNG, whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn save(image: &RgbImage, path: &Path) -> Result<(), Failure> {
    let failed = |e: &dyn std::fmt::Display| {
        Failure::Failed(format!("writing {} failed: {e}", path.display()))
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, image::ImageFormat::Png)
        .map_err(|e| failed(&e))?;
    crate::report::write_file(path, bytes.get_ref())
}

/// Writes a label with its upper left corner at (x, y).
pub fn label(image: &mut RgbImage, x: u32, y: u32, text: &str) {
    font::write(image, x, y, text, INK);
}
