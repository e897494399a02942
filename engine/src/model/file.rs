//! Model files: safetensors with one JSON header.
//!
//! A file holds any number of named models ("parts") that share a header. W and b are not stored but drawn again from
//! their seed, and checked against a digest, except for NN, which trains them. Files come from anywhere, so nothing in
//! them is believed: sizes are limited before memory is asked for, every shape is checked, every number must be finite,
//! and a digest over all tensors tells damage.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::Path;

use ndarray::{Array1, Array2};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use super::baselines::ModelKind;
use super::drfm::Drfm;
use super::error::ModelError;
use super::features::{FeatureDraw, RandomFeatures};

/// Version of the format that this code writes, and the only one it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Largest file that is read.
pub const MAX_FILE_BYTES: u64 = 1 << 30;
/// Most parts in a file.
const MAX_PARTS: usize = 64;
/// Most timesteps of a part.
const MAX_TIMESTEPS: usize = 1 << 16;
/// Key of the header in the safetensors metadata.
const HEADER_KEY: &str = "drfm";

/// Why a model file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// The file system refuses.
    #[error("{path}: {source}")]
    Io {
        /// Path as given.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is larger than any model.
    #[error("the file has {0} bytes, more than any DRFM model: is it really a model?")]
    TooLarge(u64),
    /// Not a model, or damaged.
    #[error("this is not an intact DRFM model ({0}): download or train it again")]
    Damaged(String),
    /// A model of another version of the format.
    #[error(
        "the model has format version {found}, this program reads version {FORMAT_VERSION}: update the program or train the model again"
    )]
    Version {
        /// Version in the file.
        found: u32,
    },
    /// A part's arrays do not make a model.
    #[error("part `{part}` of the model: {source}")]
    Part {
        /// Its name.
        part: String,
        /// What is wrong with it.
        source: ModelError,
    },
}

impl ModelFileError {
    fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }
}

/// What a model works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Domain {
    /// Windows of the complex short-time spectrum.
    Spectral,
    /// Windows of samples: the paper's own audio setting.
    Waveform,
    /// Pictures.
    Image,
}

/// What a file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelHeader {
    /// Version of the format.
    pub format_version: u32,
    /// What the model works on.
    pub domain: Domain,
    /// What of it was trained.
    pub kind: ModelKind,
    /// How it is used: belongs to the domain.
    pub recipe: serde_json::Value,
    /// How it was trained, and with what result; for people.
    pub training: serde_json::Value,
    /// The draw of W and b of each part.
    draws: BTreeMap<String, StoredDraw>,
    /// Digest of all tensors.
    digest: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StoredDraw {
    draw: FeatureDraw,
    digest: String,
    /// W and b are in the file.
    stored: bool,
}

/// One model of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelPart {
    /// How W and b were drawn.
    pub draw: FeatureDraw,
    /// The model.
    pub model: Drfm,
}

/// A model file in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFile {
    /// What it works on.
    pub domain: Domain,
    /// What of it was trained.
    pub kind: ModelKind,
    /// How it is used: belongs to the domain.
    pub recipe: serde_json::Value,
    /// How it was trained; for people.
    pub training: serde_json::Value,
    /// The models by name.
    pub parts: BTreeMap<String, ModelPart>,
}

impl ModelFile {
    /// The bytes of the file; the same model gives the same bytes.
    ///
    /// # Errors
    /// If a part does not fit its draw or the header cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelFileError> {
        let mut arrays: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
        let mut draws = BTreeMap::new();
        for (name, part) in &self.parts {
            let model = &part.model;
            let mut add = |what: &str, shape: &[usize], values: &mut dyn Iterator<Item = f32>| {
                let bytes = values.flat_map(f32::to_le_bytes).collect();
                arrays.insert(format!("{name}.{what}"), (shape.to_vec(), bytes));
            };
            add(
                "theta1",
                model.theta1().shape(),
                &mut model.theta1().iter().copied(),
            );
            add(
                "theta2",
                model.theta2().shape(),
                &mut model.theta2().iter().copied(),
            );
            let stored = self.kind == ModelKind::Nn;
            let features = model.features();
            if stored {
                add(
                    "weights",
                    features.weights().shape(),
                    &mut features.weights().iter().copied(),
                );
                add(
                    "bias",
                    features.bias().shape(),
                    &mut features.bias().iter().copied(),
                );
            }
            draws.insert(
                name.clone(),
                StoredDraw {
                    draw: part.draw.clone(),
                    digest: format!("{:016x}", features.digest()),
                    stored,
                },
            );
        }
        let header = ModelHeader {
            format_version: FORMAT_VERSION,
            domain: self.domain,
            kind: self.kind,
            recipe: self.recipe.clone(),
            training: self.training.clone(),
            draws,
            digest: format!(
                "{:016x}",
                digest(arrays.values().map(|(_, b)| b.as_slice()))
            ),
        };
        let json =
            serde_json::to_string(&header).map_err(|e| ModelFileError::damaged(e.to_string()))?;
        let views: Result<Vec<(&String, TensorView<'_>)>, _> = arrays
            .iter()
            .map(|(name, (shape, bytes))| {
                Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?))
            })
            .collect();
        views
            .and_then(|views| {
                // One key only: a map of several would be written in random order.
                safetensors::serialize(views, Some(HashMap::from([(HEADER_KEY.to_owned(), json)])))
            })
            .map_err(|e| ModelFileError::damaged(e.to_string()))
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// If they are damaged, hostile, or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelFileError> {
        let (_, metadata) = SafeTensors::read_metadata(bytes)
            .map_err(|e| ModelFileError::damaged(e.to_string()))?;
        let json = metadata
            .metadata()
            .as_ref()
            .and_then(|m| m.get(HEADER_KEY))
            .ok_or_else(|| ModelFileError::damaged("it has no DRFM header"))?;
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let version: Version = serde_json::from_str(json)
            .map_err(|e| ModelFileError::damaged(format!("header: {e}")))?;
        if version.format_version != FORMAT_VERSION {
            return Err(ModelFileError::Version {
                found: version.format_version,
            });
        }
        let header: ModelHeader = serde_json::from_str(json)
            .map_err(|e| ModelFileError::damaged(format!("header: {e}")))?;
        let tensors =
            SafeTensors::deserialize(bytes).map_err(|e| ModelFileError::damaged(e.to_string()))?;
        let arrays: BTreeMap<String, TensorView<'_>> = tensors.tensors().into_iter().collect();
        if header.digest != format!("{:016x}", digest(arrays.values().map(TensorView::data))) {
            return Err(ModelFileError::damaged(
                "its numbers do not match its checksum",
            ));
        }
        if header.draws.len() > MAX_PARTS {
            return Err(ModelFileError::damaged("it has too many parts"));
        }
        let mut parts = BTreeMap::new();
        for (name, stored) in &header.draws {
            let model = read_part(&arrays, name, stored)?;
            parts.insert(
                name.clone(),
                ModelPart {
                    draw: stored.draw.clone(),
                    model,
                },
            );
        }
        Ok(Self {
            domain: header.domain,
            kind: header.kind,
            recipe: header.recipe,
            training: header.training,
            parts,
        })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`Self::from_bytes`], and if the file cannot be read.
    pub fn load(path: &Path) -> Result<Self, ModelFileError> {
        let io = |source| ModelFileError::Io {
            path: path.display().to_string(),
            source,
        };
        let size = std::fs::metadata(path).map_err(io)?.len();
        if size > MAX_FILE_BYTES {
            return Err(ModelFileError::TooLarge(size));
        }
        Self::from_bytes(&std::fs::read(path).map_err(io)?)
    }

    /// Writes a file: to a temporary file beside it first, so that `path` is never half a model.
    ///
    /// # Errors
    /// As [`Self::to_bytes`], and if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ModelFileError> {
        let io = |source| ModelFileError::Io {
            path: path.display().to_string(),
            source,
        };
        let bytes = self.to_bytes()?;
        let folder = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".drfm-").suffix(".part");
        #[cfg(unix)]
        {
            // Readable like any other new file, not for the owner alone; the system takes off the umask.
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(folder).map_err(io)?;
        file.write_all(&bytes).map_err(io)?;
        file.as_file().sync_all().map_err(io)?;
        file.persist(path).map_err(|e| io(e.error))?;
        Ok(())
    }
}

fn read_part(
    arrays: &BTreeMap<String, TensorView<'_>>,
    name: &str,
    stored: &StoredDraw,
) -> Result<Drfm, ModelFileError> {
    let part = |source| ModelFileError::Part {
        part: name.to_owned(),
        source,
    };
    stored.draw.check().map_err(part)?;
    let theta1 = read_matrix(arrays, &format!("{name}.theta1"))?;
    let theta2 = read_matrix(arrays, &format!("{name}.theta2"))?;
    // Before anything is drawn: the arrays in the file bound how much memory the draw may take.
    if theta1.ncols() != stored.draw.n_features || theta1.nrows() > MAX_TIMESTEPS {
        return Err(ModelFileError::damaged(format!(
            "{name}: sizes of theta1 and features differ"
        )));
    }
    let features = if stored.stored {
        let weights = read_matrix(arrays, &format!("{name}.weights"))?;
        let bias = read_vector(arrays, &format!("{name}.bias"))?;
        RandomFeatures::from_parts(weights, bias).map_err(part)?
    } else {
        RandomFeatures::draw(&stored.draw).map_err(part)?
    };
    if format!("{:016x}", features.digest()) != stored.digest {
        return Err(ModelFileError::damaged(format!(
            "{name}: its features do not match their checksum"
        )));
    }
    Drfm::new(features, theta1, theta2).map_err(part)
}

fn numbers(
    arrays: &BTreeMap<String, TensorView<'_>>,
    name: &str,
) -> Result<(Vec<usize>, Vec<f32>), ModelFileError> {
    let view = arrays
        .get(name)
        .ok_or_else(|| ModelFileError::damaged(format!("array {name} is missing")))?;
    if view.dtype() != Dtype::F32 {
        return Err(ModelFileError::damaged(format!(
            "array {name} is not of 32-bit floats"
        )));
    }
    let values = view
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    Ok((view.shape().to_vec(), values))
}

fn read_matrix(
    arrays: &BTreeMap<String, TensorView<'_>>,
    name: &str,
) -> Result<Array2<f32>, ModelFileError> {
    let wrong = || ModelFileError::damaged(format!("array {name} has the wrong shape"));
    let (shape, values) = numbers(arrays, name)?;
    let [rows, columns] = shape[..] else {
        return Err(wrong());
    };
    Array2::from_shape_vec((rows, columns), values).map_err(|_| wrong())
}

fn read_vector(
    arrays: &BTreeMap<String, TensorView<'_>>,
    name: &str,
) -> Result<Array1<f32>, ModelFileError> {
    let (shape, values) = numbers(arrays, name)?;
    if shape.len() != 1 {
        return Err(ModelFileError::damaged(format!(
            "array {name} has the wrong shape"
        )));
    }
    Ok(Array1::from_vec(values))
}

/// FNV-1a, 64 bits: tells damage, not malice.
fn digest<'a>(parts: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in parts.flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    fn example(kind: ModelKind) -> ModelFile {
        let draw = FeatureDraw::gaussian(3, 8, 5, 0.5);
        let features = RandomFeatures::draw(&draw).unwrap();
        let model = Drfm::initial(features, 4, 2, &mut StableRng::new(1, 0)).unwrap();
        ModelFile {
            domain: Domain::Spectral,
            kind,
            recipe: serde_json::json!({"a": 1}),
            training: serde_json::json!({"files": 3}),
            parts: BTreeMap::from([("one".to_owned(), ModelPart { draw, model })]),
        }
    }

    #[test]
    fn what_is_written_is_read_and_bytes_are_stable() {
        for kind in [ModelKind::Drfm, ModelKind::Nn] {
            let file = example(kind);
            let bytes = file.to_bytes().unwrap();
            assert_eq!(bytes, file.to_bytes().unwrap());
            assert_eq!(ModelFile::from_bytes(&bytes).unwrap(), file);
        }
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_refused() {
        let bytes = example(ModelKind::Drfm).to_bytes().unwrap();
        for n in 0..bytes.len() {
            assert!(ModelFile::from_bytes(&bytes[..n]).is_err(), "cut at {n}");
        }
        let intact = ModelFile::from_bytes(&bytes).unwrap();
        for i in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[i] ^= 0x10;
            // A flip inside free text may go unseen; what is read must then still be a whole model.
            if let Ok(read) = ModelFile::from_bytes(&flipped) {
                assert_eq!(read.parts.len(), intact.parts.len(), "flip at {i}");
                assert_eq!(
                    read.parts.values().next(),
                    intact.parts.values().next(),
                    "flip at {i}"
                );
            }
        }
    }

    #[test]
    fn other_versions_and_hostile_headers_are_refused() {
        let bytes = example(ModelKind::Drfm).to_bytes().unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let at = text.find("format_version").unwrap();
        let digit = at + text[at..].find('1').unwrap();
        let mut other = bytes.clone();
        other[digit] = b'9';
        assert!(matches!(
            ModelFile::from_bytes(&other),
            Err(ModelFileError::Version { found: 9 })
        ));
        let mut hostile = bytes;
        hostile[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(ModelFile::from_bytes(&hostile).is_err());
    }

    #[test]
    fn saving_replaces_whole_files_and_names_the_folder_that_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.drfm");
        let file = example(ModelKind::Drfm);
        file.save(&path).unwrap();
        file.save(&path).unwrap();
        assert_eq!(ModelFile::load(&path).unwrap(), file);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let missing = folder.path().join("no/m.drfm");
        assert!(
            file.save(&missing)
                .unwrap_err()
                .to_string()
                .contains("m.drfm")
        );
    }
}
