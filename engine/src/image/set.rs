//! Images in memory.

/// Grey images of one size; pixels 0 (black) to 1 (white) where they come from files.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSet {
    width: usize,
    height: usize,
    pixels: Vec<f32>,
}

impl ImageSet {
    /// An empty set.
    #[must_use]
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            pixels: Vec::new(),
        }
    }

    /// A set of images one after another; what is not a whole image is left out.
    #[must_use]
    pub fn from_pixels(width: usize, height: usize, mut pixels: Vec<f32>) -> Self {
        let whole = pixels.len() - pixels.len() % (width * height).max(1);
        pixels.truncate(whole);
        Self {
            width,
            height,
            pixels,
        }
    }

    /// Adds an image of `width * height` pixels; another size is left out.
    pub fn push(&mut self, image: &[f32]) {
        if image.len() == self.dim() {
            self.pixels.extend_from_slice(image);
        }
    }

    /// Pixels in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows of an image.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Pixels of an image, d.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.width * self.height
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pixels.len() / self.dim().max(1)
    }

    /// Whether there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// All pixels, image after image, row after row.
    #[must_use]
    pub fn pixels(&self) -> &[f32] {
        &self.pixels
    }

    /// The images.
    pub fn images(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.pixels.chunks_exact(self.dim().max(1))
    }

    /// Image `i`; empty if there is none.
    #[must_use]
    pub fn image(&self, i: usize) -> &[f32] {
        self.images().nth(i).unwrap_or_default()
    }

    /// Images `range` of the set, as far as there are any.
    #[must_use]
    pub fn part(&self, range: std::ops::Range<usize>) -> Self {
        let end = range.end.min(self.len());
        let start = range.start.min(end);
        let d = self.dim();
        Self {
            pixels: self.pixels[start * d..end * d].to_vec(),
            ..*self
        }
    }

    /// The images with every pixel changed by `f`.
    #[must_use]
    pub fn map(&self, f: impl Fn(f32) -> f32) -> Self {
        Self {
            pixels: self.pixels.iter().map(|p| f(*p)).collect(),
            ..*self
        }
    }

    /// The images with pixels held within 0 to 1; NaN becomes 0.
    #[must_use]
    pub fn clipped(&self) -> Self {
        self.map(|p| if p.is_nan() { 0.0 } else { p.clamp(0.0, 1.0) })
    }

    /// Mean and standard deviation of all pixels; 0 and 1 for an empty set, and a deviation of 1 where there is none.
    #[must_use]
    pub fn mean_and_deviation(&self) -> (f64, f64) {
        let n = self.pixels.len().max(1) as f64;
        let mean = self.pixels.iter().map(|p| f64::from(*p)).sum::<f64>() / n;
        let square = self
            .pixels
            .iter()
            .map(|p| (f64::from(*p) - mean).powi(2))
            .sum::<f64>();
        let deviation = (square / n).sqrt();
        (mean, if deviation > 0.0 { deviation } else { 1.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_kept_apart() {
        let mut set = ImageSet::new(2, 1);
        set.push(&[0.0, 1.0]);
        set.push(&[0.5]);
        set.push(&[0.25, 0.75]);
        assert_eq!(
            (set.len(), set.image(1), set.image(2)),
            (2, &[0.25, 0.75][..], &[][..])
        );
        assert_eq!(set.part(1..9).pixels(), [0.25, 0.75]);
        let (mean, deviation) = set.mean_and_deviation();
        assert!((mean - 0.5).abs() < 1e-12 && (deviation - 0.15625f64.sqrt()).abs() < 1e-12);
        assert_eq!(
            set.map(|p| p * 4.0 - 1.0).clipped().pixels(),
            [0.0, 1.0, 0.0, 1.0]
        );
        assert_eq!(ImageSet::new(2, 2).mean_and_deviation(), (0.0, 1.0));
        assert_eq!(ImageSet::from_pixels(2, 1, vec![1.0; 5]).len(), 2);
    }
}
