//! Where images come from: idx files with labels, pictures, folders of pictures; read one after another.

use std::path::{Path, PathBuf};

use image::GrayImage;

use super::class::Class;
use super::error::ImageError;
use super::idx::{self, IdxImages};
use super::picture;
use super::set::ImageSet;

/// Size of images where neither an idx file nor the user says another: that of Fashion-MNIST.
pub const DEFAULT_SIDE: usize = 28;
/// Most pixels held in memory at once: 1 GiB of `f32`.
const MAX_PIXELS: usize = 1 << 28;

/// Which images are wanted.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Idx files, pictures, folders of pictures.
    pub paths: Vec<PathBuf>,
    /// Label files, one for each idx file in `paths`; empty to find them beside the images where a class is wanted.
    pub labels: Vec<PathBuf>,
    /// The class; all images without.
    pub class: Option<Class>,
    /// Width and height that images are fitted into; those of the first idx file, or [`DEFAULT_SIDE`], without.
    pub size: Option<(usize, usize)>,
}

/// One place that images come from.
enum Source {
    Idx {
        images: Box<IdxImages>,
        /// Labels still to come, in reverse.
        labels: Option<Vec<u8>>,
    },
    Picture(PathBuf),
}

/// The images of a [`Query`], one after another: never more than one in memory.
pub struct ImageStream {
    sources: Vec<Source>,
    class: Option<Class>,
    width: usize,
    height: usize,
}

impl Query {
    /// Opens every file and checks that labels and images belong together.
    ///
    /// # Errors
    /// If a file is missing or not what it should be, labels are missing or disagree in number.
    pub fn open(&self) -> Result<ImageStream, ImageError> {
        let mut sources = Vec::new();
        let mut labels = self.labels.iter();
        let mut size = self.size;
        for path in &self.paths {
            if path.is_dir() {
                sources.extend(picture::find(path)?.into_iter().map(Source::Picture));
                continue;
            }
            if !path.exists() {
                return Err(ImageError::file(
                    path,
                    "there is no such file or folder: check the name",
                ));
            }
            if picture::is_picture(path) {
                sources.push(Source::Picture(path.clone()));
                continue;
            }
            let images = Box::new(IdxImages::open(path)?);
            size = size.or(Some((images.width(), images.height())));
            let labels = self.labels_of(path, &images, labels.next())?;
            sources.push(Source::Idx { images, labels });
        }
        if let Some(surplus) = labels.next() {
            return Err(ImageError::file(
                surplus,
                "there is no idx file of images that these labels belong to: give one label file for each",
            ));
        }
        if self.class.is_some() && sources.iter().any(|s| matches!(s, Source::Picture(_))) {
            return Err(ImageError::Parameter(
                "pictures have no labels: leave out --class, or give idx files".to_owned(),
            ));
        }
        let (width, height) = size.unwrap_or((DEFAULT_SIDE, DEFAULT_SIDE));
        // The first is read first.
        sources.reverse();
        Ok(ImageStream {
            sources,
            class: self.class.clone(),
            width,
            height,
        })
    }

    fn labels_of(
        &self,
        path: &Path,
        images: &IdxImages,
        given: Option<&PathBuf>,
    ) -> Result<Option<Vec<u8>>, ImageError> {
        if self.class.is_none() && given.is_none() {
            return Ok(None);
        }
        let labels = match given.cloned().or_else(|| beside(path)) {
            Some(labels) => labels,
            None => {
                return Err(ImageError::Parameter(format!(
                    "--class needs the labels of {}: give them as --labels",
                    path.display()
                )));
            }
        };
        if !labels.is_file() {
            return Err(ImageError::file(
                &labels,
                "there is no such file: check the name",
            ));
        }
        let mut list = idx::read_labels(&labels)?;
        if list.len() != images.count() {
            return Err(ImageError::Labels {
                labels,
                label_count: list.len(),
                images: path.to_path_buf(),
                image_count: images.count(),
            });
        }
        list.reverse();
        Ok(Some(list))
    }

    /// Reads the first `count` images, or all with `None`.
    ///
    /// # Errors
    /// As [`Self::open`]; [`ImageError::TooFew`] if there are fewer than `count` or none at all, and if they do not fit into
    /// memory.
    pub fn read(&self, count: Option<usize>) -> Result<ImageSet, ImageError> {
        let mut stream = self.open()?;
        let mut set = ImageSet::new(stream.width, stream.height);
        while count.is_none_or(|n| set.len() < n) {
            let Some(image) = stream.next_image()? else {
                break;
            };
            if set.pixels().len() + image.len() > MAX_PIXELS {
                return Err(ImageError::Parameter(format!(
                    "more than {} images of {} x {} pixels do not fit into memory: give a smaller --count, or train with statistics (--stats-out), which reads from disk",
                    set.len(),
                    stream.width,
                    stream.height
                )));
            }
            set.push(&image);
        }
        let wanted = count.unwrap_or(1);
        if set.len() < wanted {
            return Err(ImageError::TooFew {
                what: self.class.as_ref().map_or("images".to_owned(), |c| {
                    format!("images of class {}", c.name())
                }),
                found: set.len(),
                wanted,
            });
        }
        Ok(set)
    }
}

/// The label file that belongs to an image file by its name, if it is there.
fn beside(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    let labels = name.replace("images", "labels").replace("idx3", "idx1");
    let path = images.with_file_name(&labels);
    (labels != name && path.is_file()).then_some(path)
}

impl ImageStream {
    /// Pixels in a row of every image.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows of every image.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// The next image, 0 to 1, row after row; `None` after the last.
    ///
    /// # Errors
    /// If a file is damaged.
    pub fn next_image(&mut self) -> Result<Option<Vec<f32>>, ImageError> {
        loop {
            let grey = match self.sources.last_mut() {
                None => return Ok(None),
                Some(Source::Picture(path)) => {
                    let grey = picture::read(path)?;
                    self.sources.pop();
                    grey
                }
                Some(Source::Idx { images, labels }) => {
                    let Some(pixels) = images.next_image()? else {
                        self.sources.pop();
                        continue;
                    };
                    let label = labels.as_mut().and_then(Vec::pop);
                    if let (Some(class), Some(label)) = (&self.class, label)
                        && !class.holds(label)
                    {
                        continue;
                    }
                    let (w, h) = (images.width() as u32, images.height() as u32);
                    match GrayImage::from_raw(w, h, pixels) {
                        Some(image) => image,
                        None => continue,
                    }
                }
            };
            let fitted = picture::fit(&grey, self.width as u32, self.height as u32);
            return Ok(Some(fitted.iter().map(|p| f32::from(*p) / 255.0).collect()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Ten images of 4 x 4 pixels, image i of label i modulo 3 and brightness i.
    fn folder(labels: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, 10, 0, 0, 0, 4, 0, 0, 0, 4];
        bytes.extend((0..160).map(|i| (i / 16) as u8));
        fs::write(folder.path().join("a-images-idx3-ubyte"), bytes).unwrap();
        let mut bytes = vec![0, 0, 8, 1, 0, 0, 0, labels as u8];
        bytes.extend((0..labels).map(|i| (i % 3) as u8));
        fs::write(folder.path().join("a-labels-idx1-ubyte"), bytes).unwrap();
        folder
    }

    fn query(folder: &Path, class: &str) -> Query {
        Query {
            paths: vec![folder.join("a-images-idx3-ubyte")],
            class: (!class.is_empty()).then(|| class.parse().unwrap()),
            ..Query::default()
        }
    }

    #[test]
    fn a_class_is_picked_with_the_labels_beside() {
        let folder = folder(10);
        let set = query(folder.path(), "1").read(Some(2)).unwrap();
        assert_eq!((set.len(), set.width(), set.height()), (2, 4, 4));
        assert_eq!(set.image(1)[0], 4.0 / 255.0);
        assert_eq!(query(folder.path(), "").read(None).unwrap().len(), 10);
        let few = query(folder.path(), "1").read(Some(9)).unwrap_err();
        assert!(few.to_string().contains("only 3 images of class 1"));
        assert!(query(folder.path(), "dress").read(None).is_err());
        let mut other = query(folder.path(), "");
        other.size = Some((8, 2));
        assert_eq!(other.read(None).unwrap().image(0).len(), 16);
    }

    #[test]
    fn labels_must_belong_to_the_images() {
        let folder = folder(9);
        let told = query(folder.path(), "1")
            .read(None)
            .unwrap_err()
            .to_string();
        assert!(
            told.contains("9 labels") && told.contains("10 images"),
            "{told}"
        );
        fs::remove_file(folder.path().join("a-labels-idx1-ubyte")).unwrap();
        let told = query(folder.path(), "1")
            .read(None)
            .unwrap_err()
            .to_string();
        assert!(told.contains("--labels"), "{told}");
        let missing = Query {
            paths: vec![folder.path().join("no")],
            ..Query::default()
        };
        assert!(
            missing
                .read(None)
                .unwrap_err()
                .to_string()
                .contains("no such file")
        );
    }
}
