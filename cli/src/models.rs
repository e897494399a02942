//! Models by name or path.

use std::path::Path;

use drfm_engine::audio::embedded;
use drfm_engine::audio::model::{DenoiserModel, Mode};
use drfm_engine::model::file::{Domain, ModelFile};

use crate::failure::Failure;

/// The model file of an embedded name or a path.
///
/// # Errors
/// A sentence for a name that is neither, and for a damaged file.
pub fn load_file(name: &str) -> Result<ModelFile, Failure> {
    let told = |e: &dyn std::fmt::Display| Failure::Failed(format!("model {name}: {e}"));
    if let Some(bytes) = embedded::bytes(name) {
        return ModelFile::from_bytes(bytes).map_err(|e| told(&e));
    }
    let path = Path::new(name);
    if path.is_dir() {
        return Err(Failure::Failed(format!(
            "model {name} is a folder: give the .drfm file in it"
        )));
    }
    if !path.exists() {
        return Err(Failure::Failed(format!(
            "there is no model {name}: give {} or the path of a .drfm file",
            embedded::names().join(", ")
        )));
    }
    ModelFile::load(path).map_err(|e| told(&e))
}

/// A denoiser of an embedded name or a path.
///
/// # Errors
/// As [`load_file`], and for models that cannot denoise.
pub fn load_denoiser(name: &str) -> Result<DenoiserModel, Failure> {
    let file = load_file(name)?;
    if file.domain == Domain::Waveform {
        return Err(Failure::Failed(format!(
            "model {name} works on windows of samples: it can generate (drfm generate), but recordings are denoised by spectral models only: give {} or train one with --domain spectral",
            embedded::names().join(", ")
        )));
    }
    DenoiserModel::from_file(file).map_err(|e| Failure::Failed(format!("model {name}: {e}")))
}

/// Reads the name of a mode, for clap.
///
/// # Errors
/// The names there are.
pub fn parse_mode(name: &str) -> Result<Mode, String> {
    Mode::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Mode::ALL.iter().map(|m| m.name()).collect();
        format!("the modes are {}", names.join(", "))
    })
}
