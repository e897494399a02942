//! PNG and JPEG files as grey images of a given size.

use std::fs;
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{GrayImage, ImageReader, Limits};

use super::error::ImageError;

/// File name endings of pictures, compared without regard to case.
pub const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];
/// Longest side of a picture that is read, in pixels.
pub const MAX_SIDE: u32 = 16_384;
/// Most memory that decoding may take, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// The pictures in a folder, sorted by name; hidden files and other kinds are left out.
///
/// # Errors
/// If the folder cannot be listed or holds no picture.
pub fn find(folder: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let io = |e| ImageError::io(folder, e);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if is_picture(&path) && path.is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(ImageError::file(
            folder,
            "there is no PNG or JPEG file in this folder: give a folder of pictures, or an idx file",
        ));
    }
    found.sort();
    Ok(found)
}

/// Whether a file's name is that of a picture that is not hidden.
#[must_use]
pub fn is_picture(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_none_or(|n| n.to_string_lossy().starts_with('.'));
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    !hidden && EXTENSIONS.iter().any(|e| ending.eq_ignore_ascii_case(e))
}

/// Reads a picture as grey values; colours by their luminance, what is transparent as black.
///
/// # Errors
/// If it cannot be read, is damaged, no PNG or JPEG, or larger than [`MAX_SIDE`].
pub fn read(path: &Path) -> Result<GrayImage, ImageError> {
    let told = |e: &dyn std::fmt::Display| {
        ImageError::file(
            path,
            format!(
                "this picture cannot be read ({e}): give a PNG or JPEG of at most {MAX_SIDE} pixels a side"
            ),
        )
    };
    let mut reader = ImageReader::open(path)
        .map_err(|e| ImageError::io(path, e))?
        .with_guessed_format()
        .map_err(|e| ImageError::io(path, e))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let decoded = reader.decode().map_err(|e| told(&e))?;
    let with_alpha = decoded.to_luma_alpha8();
    let (width, height) = with_alpha.dimensions();
    let grey = with_alpha
        .pixels()
        .map(|p| (u16::from(p.0[0]) * u16::from(p.0[1]) / 255) as u8)
        .collect();
    GrayImage::from_raw(width, height, grey).ok_or_else(|| told(&"impossible size"))
}

/// Scales an image to fit into `width` x `height`, its proportions kept, in the middle of black.
#[must_use]
pub fn fit(image: &GrayImage, width: u32, height: u32) -> GrayImage {
    let (w, h) = image.dimensions();
    if (w, h) == (width, height) || w == 0 || h == 0 {
        return image.clone();
    }
    let scale = (f64::from(width) / f64::from(w)).min(f64::from(height) / f64::from(h));
    let side = |n: u32, most: u32| ((f64::from(n) * scale).round() as u32).clamp(1, most);
    let (w, h) = (side(w, width), side(h, height));
    let small = image::imageops::resize(image, w, h, FilterType::Triangle);
    let mut out = GrayImage::new(width, height);
    image::imageops::replace(
        &mut out,
        &small,
        i64::from((width - w) / 2),
        i64::from((height - h) / 2),
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Luma, Rgba, RgbaImage};

    #[test]
    fn colour_becomes_grey_and_transparent_black() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let mut picture = RgbaImage::from_pixel(3, 2, Rgba([255, 255, 255, 255]));
        picture.put_pixel(1, 1, Rgba([255, 255, 255, 0]));
        picture.put_pixel(2, 0, Rgba([0, 255, 0, 255]));
        picture.save(&path).unwrap();
        let grey = read(&path).unwrap();
        assert_eq!(grey.get_pixel(0, 0), &Luma([255]));
        assert_eq!(grey.get_pixel(1, 1), &Luma([0]));
        assert!((100..240).contains(&grey.get_pixel(2, 0).0[0]));
        assert_eq!(find(folder.path()).unwrap(), std::slice::from_ref(&path));
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(
            read(&path)
                .unwrap_err()
                .to_string()
                .contains("cannot be read")
        );
        fs::remove_file(&path).unwrap();
        assert!(find(folder.path()).is_err());
    }

    #[test]
    fn fitting_keeps_proportions_and_centres() {
        let white = GrayImage::from_pixel(40, 20, Luma([200]));
        let out = fit(&white, 10, 10);
        assert_eq!(out.dimensions(), (10, 10));
        assert_eq!(out.get_pixel(5, 1), &Luma([0]));
        assert_eq!(out.get_pixel(5, 5), &Luma([200]));
        assert_eq!(out.get_pixel(5, 8), &Luma([0]));
        assert_eq!(fit(&out, 10, 10), out);
    }
}
