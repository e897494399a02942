//! Presets: the sound parameters under a name. Some come with the plugin; the player's own are files.

use std::fs;
use std::path::{Path, PathBuf};

use nice_plug::prelude::{Enum, EnumParam, Param, ParamSetter};
use serde::{Deserialize, Serialize};

use crate::error::PluginError;
use crate::files::write_whole;
use crate::params::{DrfmParams, ModeChoice, ModelChoice, NoiseChoice, OutputChoice};

/// The values of a preset, as in its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub about: String,
    /// See [`DrfmParams`].
    pub mode: ModeChoice,
    /// See [`DrfmParams`].
    pub model: ModelChoice,
    /// See [`DrfmParams`].
    pub amount_db: f32,
    /// See [`DrfmParams`].
    pub noise_source: NoiseChoice,
    /// See [`DrfmParams`].
    pub output: OutputChoice,
    /// See [`DrfmParams`].
    pub stereo_link: bool,
    /// See [`DrfmParams`].
    pub output_trim_db: f32,
}

/// The presets that come with the plugin, as files of `presets/`.
const FACTORY: [&str; 6] = [
    include_str!("../presets/acoustic-guitar-mix.json"),
    include_str!("../presets/acoustic-guitar-gentle.json"),
    include_str!("../presets/electric-guitar-hiss.json"),
    include_str!("../presets/flute-studio.json"),
    include_str!("../presets/flute-live.json"),
    include_str!("../presets/monitoring.json"),
];

/// Ending of preset files.
pub const ENDING: &str = "json";

impl Preset {
    /// The present values.
    #[must_use]
    pub fn of(params: &DrfmParams, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            about: String::new(),
            mode: params.mode.value(),
            model: params.model.value(),
            amount_db: params.amount_db.unmodulated_plain_value(),
            noise_source: params.noise_source.value(),
            output: params.output.value(),
            stereo_link: params.stereo_link.value(),
            output_trim_db: params.output_trim_db.unmodulated_plain_value(),
        }
    }

    /// Sets the parameters, as if the player had turned them.
    pub fn apply(&self, params: &DrfmParams, setter: &ParamSetter<'_>) {
        choose(&params.mode, setter, self.mode);
        choose(&params.model, setter, self.model);
        choose(&params.noise_source, setter, self.noise_source);
        choose(&params.output, setter, self.output);
        set(&params.amount_db, setter, self.amount_db);
        set(&params.stereo_link, setter, self.stereo_link);
        set(&params.output_trim_db, setter, self.output_trim_db);
    }

    /// Whether the parameters have these values.
    #[must_use]
    pub fn is_set(&self, params: &DrfmParams) -> bool {
        let now = Self::of(params, &self.name);
        let near = |a: f32, b: f32| (a - b).abs() < 0.05;
        now.mode == self.mode
            && now.model == self.model
            && now.noise_source == self.noise_source
            && now.output == self.output
            && now.stereo_link == self.stereo_link
            && near(now.amount_db, self.amount_db)
            && near(now.output_trim_db, self.output_trim_db)
    }
}

/// Sets a parameter, as if the player had turned it.
pub fn set<P: Param>(param: &P, setter: &ParamSetter<'_>, value: P::Plain) {
    setter.begin_set_parameter(param);
    setter.set_parameter(param, value);
    setter.end_set_parameter(param);
}

fn choose<T: Enum + PartialEq + Copy + 'static>(
    param: &EnumParam<T>,
    setter: &ParamSetter<'_>,
    value: T,
) {
    if param.value() != value {
        set(param, setter, value);
    }
}

/// The presets that come with the plugin.
#[must_use]
pub fn factory() -> Vec<Preset> {
    FACTORY
        .iter()
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect()
}

/// The folder of the player's files: presets and models.
///
/// # Errors
/// If the system names no home.
pub fn user_folder() -> Result<PathBuf, PluginError> {
    let from = |variable: &str| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    let base = if cfg!(windows) {
        from("APPDATA")
    } else if cfg!(target_os = "macos") {
        from("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        from("XDG_DATA_HOME").or_else(|| from("HOME").map(|home| home.join(".local/share")))
    };
    base.map(|b| b.join("drfm")).ok_or(PluginError::NoFolder)
}

/// The folder of the player's presets.
///
/// # Errors
/// If the system names no home.
pub fn folder() -> Result<PathBuf, PluginError> {
    Ok(user_folder()?.join("presets"))
}

/// The presets in a folder in the order of their names; files that are none are passed over.
#[must_use]
pub fn in_folder(folder: &Path) -> Vec<Preset> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut presets: Vec<Preset> = files
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == ENDING))
        .filter_map(|path| load(&path).ok())
        .collect();
    presets.sort_by_key(|p| p.name.to_lowercase());
    presets
}

/// Reads a preset.
///
/// # Errors
/// If it cannot be read or is none.
pub fn load(path: &Path) -> Result<Preset, PluginError> {
    let text = fs::read_to_string(path).map_err(|source| PluginError::Read {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|source| PluginError::Preset {
        path: path.to_owned(),
        source,
    })
}

/// Writes a preset into a folder, under its name.
///
/// # Errors
/// If the name cannot be that of a file, or the file cannot be written.
pub fn save(preset: &Preset, folder: &Path) -> Result<PathBuf, PluginError> {
    let name = preset.name.trim();
    let fits = |c: char| c.is_alphanumeric() || " -_".contains(c);
    if name.is_empty() || name.len() > 60 || !name.chars().all(fits) {
        return Err(PluginError::PresetName);
    }
    let path = folder.join(format!("{name}.{ENDING}"));
    let failed = |source| PluginError::Write {
        path: path.clone(),
        source,
    };
    let text = serde_json::to_string_pretty(preset).map_err(|e| failed(e.into()))?;
    fs::create_dir_all(folder).map_err(failed)?;
    write_whole(&path, text.as_bytes()).map_err(failed)?;
    Ok(path)
}

/// Deletes a preset of a folder.
///
/// # Errors
/// If its file cannot be deleted, or is there no more.
pub fn delete(preset: &Preset, folder: &Path) -> Result<(), PluginError> {
    let failed = |source| PluginError::Delete {
        name: preset.name.clone(),
        source,
    };
    let files = fs::read_dir(folder).map_err(failed)?.flatten();
    let path = files
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == ENDING))
        .find(|path| load(path).is_ok_and(|there| there == *preset))
        .ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
    fs::remove_file(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Shared;

    #[test]
    fn all_factory_presets_are_presets_with_values_in_range() {
        let presets = factory();
        assert_eq!(presets.len(), FACTORY.len());
        for preset in &presets {
            assert!((0.0..=100.0).contains(&preset.amount_db), "{}", preset.name);
            assert!(preset.output_trim_db.abs() <= 24.0, "{}", preset.name);
            assert!(!preset.name.is_empty() && !preset.about.is_empty());
            assert_ne!(preset.model, ModelChoice::File, "nobody else has that file");
        }
        let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/presets")).unwrap();
        assert_eq!(files.count(), FACTORY.len(), "every file is in the plugin");
    }

    #[test]
    fn saved_presets_come_back_and_bad_names_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let params = DrfmParams::new(&Shared::new());
        let mut preset = Preset::of(&params, "My kitchen");
        assert!(preset.is_set(&params));
        preset.amount_db = 12.5;
        assert!(!preset.is_set(&params));
        save(&preset, folder.path()).unwrap();
        fs::write(folder.path().join("broken.json"), "{").unwrap();
        assert_eq!(in_folder(folder.path()), [preset.clone()]);
        delete(&preset, folder.path()).unwrap();
        assert!(in_folder(folder.path()).is_empty());
        assert!(delete(&preset, folder.path()).is_err(), "gone already");
        for name in ["", "  ", "../up", "a/b", "x\0"] {
            preset.name = name.to_owned();
            assert!(save(&preset, folder.path()).is_err(), "{name:?}");
        }
    }
}
