//! Models by name or path.

use std::path::Path;
use std::sync::Arc;

use drfm_engine::audio::embedded;
use drfm_engine::audio::model::{DenoiserModel, Mode};
use drfm_engine::audio::waveform::WaveformModel;
use drfm_engine::audio::waveform_kernel::WaveformKernel;
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

/// A model that denoises.
pub enum Loaded {
    /// On spectra.
    Spectral(Box<DenoiserModel>),
    /// On windows of samples.
    Waveform(Arc<WaveformKernel>),
}

/// A denoiser of an embedded name or a path.
///
/// # Errors
/// As [`load_file`], and for models that cannot denoise.
pub fn load_denoiser(name: &str) -> Result<Loaded, Failure> {
    let told = |e: &dyn std::fmt::Display| Failure::Failed(format!("model {name}: {e}"));
    let file = load_file(name)?;
    if file.domain == Domain::Waveform {
        let model = WaveformModel::from_file(file).map_err(|e| told(&e))?;
        return Ok(Loaded::Waveform(Arc::new(WaveformKernel::new(&model))));
    }
    let model = DenoiserModel::from_file(file).map_err(|e| told(&e))?;
    Ok(Loaded::Spectral(Box::new(model)))
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
