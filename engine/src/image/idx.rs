//! The idx format of MNIST and its kin, plain or gzip, read image by image.
//!
//! Nothing a header declares is believed: no memory is asked for by it beyond one image, so a file that promises more
//! than it holds ends in a sentence when it ends.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::error::ImageError;

/// Longest side of an image in an idx file, in pixels.
pub const MAX_SIDE: usize = 4_096;
/// First bytes of idx files of unsigned bytes: labels have one dimension, images three.
const LABELS_MAGIC: [u8; 4] = [0, 0, 8, 1];
const IMAGES_MAGIC: [u8; 4] = [0, 0, 8, 3];
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Images of an idx file, one after another; from disk, never all in memory.
pub struct IdxImages {
    body: Body,
    count: usize,
    width: usize,
    height: usize,
    done: usize,
}

/// What comes after the header.
struct Body {
    path: PathBuf,
    from: Box<dyn Read + Send>,
}

impl Body {
    fn open(path: &Path) -> Result<Self, ImageError> {
        let io = |e| ImageError::io(path, e);
        let mut file = File::open(path).map_err(io)?;
        let mut magic = [0; 2];
        let gzip = match file.read_exact(&mut magic) {
            Ok(()) => magic == GZIP_MAGIC,
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                return Err(ImageError::file(
                    path,
                    "the file is empty or cut short: download it again",
                ));
            }
            Err(e) => return Err(io(e)),
        };
        let file = BufReader::new(File::open(path).map_err(io)?);
        Ok(Self {
            path: path.to_path_buf(),
            from: if gzip {
                Box::new(BufReader::new(MultiGzDecoder::new(file)))
            } else {
                Box::new(file)
            },
        })
    }

    fn fill(&mut self, bytes: &mut [u8], what: &str) -> Result<(), ImageError> {
        self.from.read_exact(bytes).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => ImageError::file(
                &self.path,
                format!("the file ends within {what}: it is cut short, or declares more than it holds; download it again"),
            ),
            ErrorKind::InvalidInput | ErrorKind::InvalidData => ImageError::file(
                &self.path,
                format!("damaged gzip data ({e}): download it again"),
            ),
            _ => ImageError::io(&self.path, e),
        })
    }

    fn number(&mut self) -> Result<usize, ImageError> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes, "its header")?;
        Ok(u32::from_be_bytes(bytes) as usize)
    }

    /// Checks the first four bytes.
    fn magic(&mut self, wanted: [u8; 4]) -> Result<(), ImageError> {
        let mut found = [0; 4];
        self.fill(&mut found, "its header")?;
        if found == wanted {
            return Ok(());
        }
        let reason = match found {
            LABELS_MAGIC => "these are labels, but images are needed: give them as --labels",
            IMAGES_MAGIC => "these are images, but labels are needed",
            _ => {
                "this is no idx file of bytes (its first four bytes are wrong): give an idx file, plain or .gz"
            }
        };
        Err(ImageError::file(&self.path, reason))
    }

    /// Checks that nothing follows.
    fn end(&mut self) -> Result<(), ImageError> {
        match self.from.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(ImageError::file(
                &self.path,
                "the file holds more than it declares: download it again",
            )),
            Err(e) => Err(ImageError::file(
                &self.path,
                format!("damaged at its end ({e}): download it again"),
            )),
        }
    }
}

/// Whether the path has a name that idx files have.
#[must_use]
pub fn is_idx_name(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    name.ends_with("-ubyte")
        || name.ends_with("-ubyte.gz")
        || name.ends_with(".idx")
        || name.ends_with(".idx.gz")
        || name.ends_with(".gz")
        || name.contains("idx3")
}

impl IdxImages {
    /// Opens an idx file of images and reads its header.
    ///
    /// # Errors
    /// If it cannot be read, is no idx file of images, is cut short, or declares impossible sizes.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let mut body = Body::open(path)?;
        body.magic(IMAGES_MAGIC)?;
        let (count, height, width) = (body.number()?, body.number()?, body.number()?);
        if !(1..=MAX_SIDE).contains(&height) || !(1..=MAX_SIDE).contains(&width) || count == 0 {
            return Err(ImageError::file(
                path,
                format!(
                    "it declares {count} images of {width} x {height} pixels: at least one, of 1 to {MAX_SIDE} pixels a side, is needed"
                ),
            ));
        }
        Ok(Self {
            body,
            count,
            width,
            height,
            done: 0,
        })
    }

    /// Number of images that the header declares.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
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

    /// The pixels of the next image, row after row, 0 to 255; `None` after the last.
    ///
    /// # Errors
    /// If the file ends too soon, is damaged, or holds more than it declares.
    pub fn next_image(&mut self) -> Result<Option<Vec<u8>>, ImageError> {
        if self.done == self.count {
            self.body.end()?;
            return Ok(None);
        }
        let mut pixels = vec![0; self.width * self.height];
        self.done += 1;
        let what = format!("image {} of {}", self.done, self.count);
        self.body.fill(&mut pixels, &what)?;
        Ok(Some(pixels))
    }
}

/// The labels of an idx file, 0 to 255.
///
/// # Errors
/// If it cannot be read, is no idx file of labels, is cut short, or holds more than it declares.
pub fn read_labels(path: &Path) -> Result<Vec<u8>, ImageError> {
    /// Read at a time, so that a declared count asks for no memory.
    const PIECE: usize = 1 << 16;
    let mut body = Body::open(path)?;
    body.magic(LABELS_MAGIC)?;
    let count = body.number()?;
    let mut labels = Vec::new();
    while labels.len() < count {
        let start = labels.len();
        labels.resize(count.min(start + PIECE), 0);
        body.fill(&mut labels[start..], "its labels")?;
    }
    body.end()?;
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn images(count: u32, held: usize) -> Vec<u8> {
        let mut bytes = IMAGES_MAGIC.to_vec();
        for n in [count, 3, 2] {
            bytes.extend(n.to_be_bytes());
        }
        bytes.extend((0..held * 6).map(|i| i as u8));
        bytes
    }

    fn write(bytes: &[u8], gzip: bool) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        if gzip {
            let mut z = flate2::write::GzEncoder::new(&mut file, flate2::Compression::fast());
            z.write_all(bytes).unwrap();
            z.finish().unwrap();
        } else {
            file.write_all(bytes).unwrap();
        }
        file
    }

    fn read_all(path: &Path) -> Result<Vec<Vec<u8>>, ImageError> {
        let mut idx = IdxImages::open(path)?;
        let mut all = Vec::new();
        while let Some(image) = idx.next_image()? {
            all.push(image);
        }
        Ok(all)
    }

    #[test]
    fn plain_and_gzip_are_read_alike() {
        for gzip in [false, true] {
            let file = write(&images(4, 4), gzip);
            let idx = IdxImages::open(file.path()).unwrap();
            assert_eq!((idx.count(), idx.width(), idx.height()), (4, 2, 3));
            let all = read_all(file.path()).unwrap();
            assert_eq!(all.len(), 4);
            assert_eq!(all[3], (18..24).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn damaged_and_hostile_files_end_in_a_sentence() {
        let told = |bytes: &[u8], gzip: bool, part: &str| {
            let text = read_all(write(bytes, gzip).path()).unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        };
        told(&[], false, "empty");
        told(b"PNG is no idx file", false, "first four bytes");
        told(&[0, 0, 8, 1, 0, 0, 0, 1, 7], false, "these are labels");
        for gzip in [false, true] {
            told(&images(4, 4)[..30], gzip, "ends within image 3 of 4");
            told(&images(4, 4)[..9], gzip, "ends within its header");
            told(&images(u32::MAX, 2), gzip, "declares more than it holds");
            told(&images(1, 2), gzip, "more than it declares");
        }
        let mut wide = images(1, 1);
        wide[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
        told(&wide, false, "it declares 1 images");
        let mut cut = std::fs::read(write(&images(40, 40), true).path()).unwrap();
        cut.truncate(cut.len() / 2);
        told(&cut, false, "ends within");
        let middle = cut.len() - 8;
        cut.truncate(middle);
        cut.extend([0xff; 64]);
        assert!(read_all(write(&cut, false).path()).is_err());
    }

    #[test]
    fn labels_are_checked_too() {
        let mut bytes = LABELS_MAGIC.to_vec();
        bytes.extend(3u32.to_be_bytes());
        bytes.extend([5, 7, 9]);
        assert_eq!(read_labels(write(&bytes, true).path()).unwrap(), [5, 7, 9]);
        bytes.pop();
        assert!(read_labels(write(&bytes, false).path()).is_err());
        bytes[4] = 0xff;
        assert!(read_labels(write(&bytes, false).path()).is_err());
        assert!(read_labels(write(&images(1, 1), false).path()).is_err());
    }
}
