//! A tiny font: capitals, digits and what numbers need, 3 by 5 pixels.

use image::{Rgb, RgbImage};

/// Rows of a glyph from the top, three bits each, leftmost highest.
const GLYPHS: [(char, [u8; 5]); 39] = [
    ('0', [7, 5, 5, 5, 7]),
    ('1', [2, 6, 2, 2, 7]),
    ('2', [7, 1, 7, 4, 7]),
    ('3', [7, 1, 7, 1, 7]),
    ('4', [5, 5, 7, 1, 1]),
    ('5', [7, 4, 7, 1, 7]),
    ('6', [7, 4, 7, 5, 7]),
    ('7', [7, 1, 1, 2, 2]),
    ('8', [7, 5, 7, 5, 7]),
    ('9', [7, 5, 7, 1, 7]),
    ('A', [2, 5, 7, 5, 5]),
    ('B', [6, 5, 6, 5, 6]),
    ('C', [7, 4, 4, 4, 7]),
    ('D', [6, 5, 5, 5, 6]),
    ('E', [7, 4, 6, 4, 7]),
    ('F', [7, 4, 6, 4, 4]),
    ('G', [7, 4, 5, 5, 7]),
    ('H', [5, 5, 7, 5, 5]),
    ('I', [7, 2, 2, 2, 7]),
    ('J', [1, 1, 1, 5, 7]),
    ('K', [5, 5, 6, 5, 5]),
    ('L', [4, 4, 4, 4, 7]),
    ('M', [5, 7, 7, 5, 5]),
    ('N', [6, 5, 5, 5, 5]),
    ('O', [7, 5, 5, 5, 7]),
    ('P', [7, 5, 7, 4, 4]),
    ('Q', [7, 5, 5, 7, 1]),
    ('R', [6, 5, 6, 5, 5]),
    ('S', [7, 4, 7, 1, 7]),
    ('T', [7, 2, 2, 2, 2]),
    ('U', [5, 5, 5, 5, 7]),
    ('V', [5, 5, 5, 5, 2]),
    ('W', [5, 5, 7, 7, 5]),
    ('X', [5, 5, 2, 5, 5]),
    ('Y', [5, 5, 7, 2, 2]),
    ('Z', [7, 1, 2, 4, 7]),
    ('.', [0, 0, 0, 0, 2]),
    ('-', [0, 0, 7, 0, 0]),
    ('_', [0, 0, 0, 0, 7]),
];
/// Width of a character with its gap.
pub const ADVANCE: u32 = 8;

/// Writes `text` with its upper left corner at (x, y), twice the size; what the font does not have becomes a gap.
pub fn write(image: &mut RgbImage, x: u32, y: u32, text: &str, ink: Rgb<u8>) {
    for (place, letter) in (0u32..).zip(text.chars()) {
        let letter = letter.to_ascii_uppercase();
        let Some((_, rows)) = GLYPHS.iter().find(|(c, _)| *c == letter) else {
            continue;
        };
        for (dy, row) in (0u32..).zip(rows) {
            for dx in (0..3u32).filter(|dx| row & (4 >> dx) != 0) {
                for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let at = (x + place * ADVANCE + 2 * dx + a, y + 2 * dy + b);
                    if let Some(pixel) = image.get_pixel_mut_checked(at.0, at.1) {
                        *pixel = ink;
                    }
                }
            }
        }
    }
}
