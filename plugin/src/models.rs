//! Models, ready to be streamed: those that come with the plugin, read once for all instances, and the player's own.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use drfm_engine::audio::denoiser::Chain;
use drfm_engine::audio::embedded;
use drfm_engine::audio::model::{DenoiserModel, DenoiserModelError, Mode};

use crate::error::PluginError;

/// Longest model file that is read, in bytes.
pub const MAX_MODEL_BYTES: u64 = 64 << 20;
/// What a model of the host's session is called when it has no better name.
pub const NAMELESS: &str = "model";

/// A model of the player.
#[derive(Clone)]
pub struct FileModel {
    /// Its name, without folder and ending.
    pub name: String,
    /// The file, which goes into the session.
    pub bytes: Arc<[u8]>,
    /// The model in it.
    pub model: Arc<DenoiserModel>,
}

impl FileModel {
    /// Reads a model from bytes.
    ///
    /// # Errors
    /// If they are not a model that can denoise.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, PluginError> {
        let model = DenoiserModel::from_bytes(&bytes).map_err(|source| PluginError::Model {
            name: name.to_owned(),
            source,
        })?;
        Ok(Self {
            name: name.to_owned(),
            bytes: bytes.into(),
            model: Arc::new(model),
        })
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// If it cannot be read or is not a model that can denoise.
    pub fn load(path: &Path) -> Result<Self, PluginError> {
        let read = |source| PluginError::Read {
            path: path.to_owned(),
            source,
        };
        let file = fs::metadata(path).map_err(read)?;
        if !file.is_file() {
            // A folder, or something that never ends.
            return Err(PluginError::NoFile(path.to_owned()));
        }
        let length = file.len();
        if length > MAX_MODEL_BYTES {
            return Err(PluginError::TooLarge {
                path: path.to_owned(),
                bytes: length,
            });
        }
        let bytes = fs::read(path).map_err(read)?;
        let name = path
            .file_stem()
            .map_or(NAMELESS.into(), |n| n.to_string_lossy().into_owned());
        Self::from_bytes(&name, bytes)
    }
}

/// One of the models that come with the plugin.
///
/// # Errors
/// If it cannot be read, which a test of the engine rules out.
pub fn embedded_model(name: &str) -> Result<Arc<DenoiserModel>, PluginError> {
    type Cache = Mutex<Vec<(String, Arc<DenoiserModel>)>>;
    static CACHE: OnceLock<Cache> = OnceLock::new();
    let mut cache = CACHE
        .get_or_init(Cache::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some((_, model)) = cache.iter().find(|(n, _)| n == name) {
        return Ok(Arc::clone(model));
    }
    let bytes = embedded::bytes(name).unwrap_or_default();
    let model = DenoiserModel::from_bytes(bytes).map_err(|source| PluginError::Model {
        name: name.to_owned(),
        source,
    })?;
    let model = Arc::new(model);
    cache.push((name.to_owned(), Arc::clone(&model)));
    Ok(model)
}

/// The steps of `mode`, or of the mode next to it that the model was trained for.
///
/// # Errors
/// If the model has no mode at all.
pub fn chain_for(model: &DenoiserModel, mode: Mode) -> Result<(Mode, &Chain), DenoiserModelError> {
    let place = |mode: Mode| Mode::ALL.iter().position(|m| *m == mode).unwrap_or(0);
    let nearest = model
        .modes()
        .min_by_key(|m| place(*m).abs_diff(place(mode)))
        .unwrap_or(mode);
    Ok((nearest, model.chain(nearest)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_of_the_plugin_are_read_once() {
        for name in embedded::names() {
            let first = embedded_model(name).unwrap();
            assert!(Arc::ptr_eq(&first, &embedded_model(name).unwrap()));
            for mode in Mode::ALL {
                assert_eq!(chain_for(&first, mode).unwrap().0, mode);
            }
        }
        assert!(embedded_model("bagpipe").is_err());
    }

    #[test]
    fn what_is_not_a_model_says_so() {
        let Err(error) = FileModel::from_bytes("song", b"RIFF....WAVE".to_vec()) else {
            panic!("accepted");
        };
        assert!(error.to_string().starts_with("song: "), "{error}");
        let folder = std::env::temp_dir();
        assert!(FileModel::load(&folder.join("no such model.drfm")).is_err());
    }
}
