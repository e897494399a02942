//! What a session keeps beside the parameters, its version, and what is done with sessions of other versions.
//!
//! The framework loads a state without activating the plugin again, so every field here puts its value where the audio
//! thread notices a change by itself ([`Shared`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use drfm_engine::audio::noise::NoiseSpectrum;
use drfm_engine::audio::unsteadiness::Unsteadiness;
use nice_plug::params::persist::PersistentField;
use nice_plug::plugin::ParamValue;
use nice_plug::prelude::PluginState;
use serde::{Deserialize, Serialize};

use crate::base64_bytes;
use crate::models::FileModel;
use crate::shared::{NoiseMemory, Shared};

/// Version of what is saved. Raise it when an older plugin would misread a session, and say in [`filter`] how to read
/// the older ones.
pub const STATE_VERSION: u32 = 1;

/// Most channels of a saved noise.
const MOST_CHANNELS: usize = 64;

/// The version a session was saved with; always saved as the present one.
#[derive(Default)]
pub struct VersionField;

impl PersistentField<'_, u32> for VersionField {
    fn set(&self, _version: u32) {}

    fn map<F: Fn(&u32) -> R, R>(&self, f: F) -> R {
        f(&STATE_VERSION)
    }
}

/// A model file as it is saved.
#[derive(Clone, Serialize, Deserialize)]
pub struct SavedModel {
    name: String,
    #[serde(with = "base64_bytes")]
    bytes: Vec<u8>,
}

/// The player's model.
pub struct ModelField(Arc<Shared>);

impl ModelField {
    /// Of an instance.
    #[must_use]
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }
}

impl PersistentField<'_, Option<SavedModel>> for ModelField {
    fn set(&self, saved: Option<SavedModel>) {
        let Some(saved) = saved else {
            if self.0.file_model().is_some() {
                self.0.set_file_model(None);
            }
            return;
        };
        let same = |m: FileModel| m.name == saved.name && *m.bytes == *saved.bytes;
        if self.0.file_model().is_some_and(same) {
            return;
        }
        match FileModel::from_bytes(&saved.name, saved.bytes) {
            Ok(model) => self.0.set_file_model(Some(model)),
            Err(error) => self.0.complain(&error),
        }
    }

    fn map<F: Fn(&Option<SavedModel>) -> R, R>(&self, f: F) -> R {
        f(&self.0.file_model().map(|m| SavedModel {
            name: m.name,
            bytes: m.bytes.to_vec(),
        }))
    }
}

/// Spectra as they are saved: the powers as little-endian 32-bit floats, and how unsteady each is; sessions saved before that
/// was known say nothing of it.
#[derive(Clone, Serialize, Deserialize)]
struct SavedSpectra {
    rate_hz: u32,
    channels: Vec<SavedPower>,
    #[serde(default)]
    unsteadiness_db: Vec<Vec<f32>>,
}

#[derive(Clone, Serialize, Deserialize)]
struct SavedPower(#[serde(with = "base64_bytes")] Vec<u8>);

impl SavedSpectra {
    fn of(spectra: &[NoiseSpectrum]) -> Option<Self> {
        Some(Self {
            rate_hz: spectra.first()?.rate_hz(),
            channels: spectra
                .iter()
                .map(|s| SavedPower(s.power().iter().flat_map(|p| p.to_le_bytes()).collect()))
                .collect(),
            unsteadiness_db: spectra
                .iter()
                .map(|s| s.unsteadiness().db().to_vec())
                .collect(),
        })
    }

    fn spectra(&self) -> Option<Vec<NoiseSpectrum>> {
        if self.channels.is_empty() || self.channels.len() > MOST_CHANNELS {
            return None;
        }
        self.channels
            .iter()
            .enumerate()
            .map(|(channel, SavedPower(bytes))| {
                let (numbers, rest) = bytes.as_chunks::<4>();
                let power = numbers.iter().map(|b| f32::from_le_bytes(*b)).collect();
                let whole = rest.is_empty();
                let unsteadiness = match self.unsteadiness_db.get(channel) {
                    Some(db) => Unsteadiness::from_db(db)?,
                    None => Unsteadiness::NONE,
                };
                let spectrum = NoiseSpectrum::from_power(self.rate_hz, power)?;
                whole.then(|| spectrum.with(unsteadiness))
            })
            .collect()
    }
}

/// Learned and frozen noise as they are saved.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct SavedNoise {
    learned: Option<SavedSpectra>,
    frozen: Option<SavedSpectra>,
}

/// Learned and frozen noise.
pub struct NoiseField(Arc<Shared>);

impl NoiseField {
    /// Of an instance.
    #[must_use]
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }
}

impl PersistentField<'_, SavedNoise> for NoiseField {
    fn set(&self, saved: SavedNoise) {
        let read = |spectra: Option<SavedSpectra>| {
            let spectra = spectra?;
            let read = spectra.spectra();
            if read.is_none() {
                self.0.complain_text(
                    "The noise saved in this session is damaged: learn it again".to_owned(),
                );
            }
            read
        };
        self.0.set_noise(NoiseMemory {
            learned: read(saved.learned),
            frozen: read(saved.frozen),
        });
    }

    fn map<F: Fn(&SavedNoise) -> R, R>(&self, f: F) -> R {
        let noise = self.0.noise();
        f(&SavedNoise {
            learned: noise.learned.as_deref().and_then(SavedSpectra::of),
            frozen: noise.frozen.as_deref().and_then(SavedSpectra::of),
        })
    }
}

/// Size of the editor in logical pixels.
pub struct WindowField(Arc<Shared>);

impl WindowField {
    /// Of an instance.
    #[must_use]
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }
}

/// Smallest and largest size of the editor in logical pixels.
pub const WINDOW_LIMITS: ((u32, u32), (u32, u32)) = ((760, 520), (3840, 2160));

impl PersistentField<'_, (u32, u32)> for WindowField {
    fn set(&self, (width, height): (u32, u32)) {
        let ((w0, h0), (w1, h1)) = WINDOW_LIMITS;
        self.0
            .set_window((width.clamp(w0, w1), height.clamp(h0, h1)));
    }

    fn map<F: Fn(&(u32, u32)) -> R, R>(&self, f: F) -> R {
        f(&self.0.window())
    }
}

/// Carries the reason why a state was refused from [`filter`], which knows no instance, to the instance.
pub struct RefusalField(Arc<Shared>);

impl RefusalField {
    /// Of an instance.
    #[must_use]
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }
}

impl PersistentField<'_, Option<String>> for RefusalField {
    fn set(&self, reason: Option<String>) {
        if let Some(reason) = reason {
            self.0.complain_text(reason);
        }
    }

    fn map<F: Fn(&Option<String>) -> R, R>(&self, f: F) -> R {
        f(&None)
    }
}

/// Looks at a state before it is loaded: one of a newer version is emptied, so that it changes nothing, and says why;
/// values that make no sense are left out.
pub fn filter(state: &mut PluginState) {
    let version = state
        .fields
        .get("format")
        .map_or(Some(0), |text| serde_json::from_str::<u32>(text).ok());
    match version {
        Some(version) if version <= STATE_VERSION => {
            // Version 0 is a state without our fields, as hosts and older builds may hand over: nothing to translate.
            state.fields.remove("refused");
        }
        Some(newer) => refuse(
            state,
            &format!(
                "This session was saved by a newer DRFM (state version {newer}, this one reads up to {STATE_VERSION}): \
                 update the plugin. Nothing was changed."
            ),
        ),
        None => refuse(
            state,
            "The saved settings are damaged. Nothing was changed.",
        ),
    }
    state.params.retain(|_, value| match value {
        ParamValue::F32(x) => x.is_finite(),
        _ => true,
    });
    // A session that was saved while the noise was being learned must not begin by learning the music.
    if let Some(learn) = state.params.get_mut("learn") {
        *learn = ParamValue::Bool(false);
    }
}

fn refuse(state: &mut PluginState, reason: &str) {
    let reason = serde_json::Value::from(reason).to_string();
    state.params.clear();
    state.fields = BTreeMap::from([("refused".to_owned(), reason)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use drfm_engine::audio::unsteadiness::BANDS;

    fn state(fields: &[(&str, &str)]) -> PluginState {
        PluginState {
            version: "0.1.0".to_owned(),
            params: BTreeMap::from([
                ("amount_db".to_owned(), ParamValue::F32(12.0)),
                ("output_trim_db".to_owned(), ParamValue::F32(f32::INFINITY)),
                ("learn".to_owned(), ParamValue::Bool(true)),
            ]),
            fields: fields
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn known_versions_pass_and_newer_ones_change_nothing() {
        for fields in [&[][..], &[("format", "1")]] {
            let mut state = state(fields);
            filter(&mut state);
            assert!(state.params.contains_key("amount_db"));
            assert!(!state.params.contains_key("output_trim_db"));
            assert!(matches!(state.params["learn"], ParamValue::Bool(false)));
            assert!(!state.fields.contains_key("refused"));
        }
        for fields in [&[("format", "2")], &[("format", "\"x\"")]] {
            let mut state = state(fields);
            filter(&mut state);
            assert!(state.params.is_empty());
            assert_eq!(state.fields.len(), 1);
            assert!(state.fields.contains_key("refused"));
        }
    }

    #[test]
    fn noise_is_saved_to_the_bit_and_damage_is_noticed() {
        let shared = Shared::new();
        let field = NoiseField::new(&shared);
        let unsteady = Unsteadiness::from_db(&[1.7; BANDS]).unwrap();
        let noise = NoiseMemory {
            learned: Some(vec![
                NoiseSpectrum::white(44_100, 1e-4).with(unsteady),
                NoiseSpectrum::white(44_100, 1e-6),
            ]),
            frozen: None,
        };
        shared.set_noise(noise.clone());
        let text = field.map(|s| serde_json::to_string(s).unwrap());
        let other = Shared::new();
        let before = other.noise_generation();
        NoiseField::new(&other).set(serde_json::from_str(&text).unwrap());
        assert_eq!(other.noise(), noise);
        assert_ne!(other.noise_generation(), before);
        // A session that was saved before unsteadiness was measured.
        let mut old: serde_json::Value = serde_json::from_str(&text).unwrap();
        let saved = old["learned"].as_object_mut().unwrap();
        assert!(saved.remove("unsteadiness_db").is_some());
        NoiseField::new(&other).set(serde_json::from_value(old).unwrap());
        let spectra = other.noise().learned.unwrap();
        let steady = noise.learned.as_ref().unwrap()[0]
            .clone()
            .with(Unsteadiness::NONE);
        assert_eq!(spectra[0], steady);
        for damaged in [
            text.replace("44100", "48000"),
            text.replace("1.7,", "-1.7,"),
        ] {
            NoiseField::new(&other).set(serde_json::from_str(&damaged).unwrap());
            assert_eq!(other.noise(), NoiseMemory::default());
            assert!(other.notice().unwrap().is_error);
        }
    }

    #[test]
    fn the_model_travels_as_bytes_and_a_bad_one_changes_nothing() {
        let shared = Shared::new();
        let bytes = drfm_engine::audio::embedded::bytes("flute").unwrap();
        let model = FileModel::from_bytes("mine", bytes.to_vec()).unwrap();
        shared.set_file_model(Some(model));
        let text = ModelField::new(&shared).map(|s| serde_json::to_string(s).unwrap());
        let other = Shared::new();
        let field = ModelField::new(&other);
        field.set(serde_json::from_str(&text).unwrap());
        let loaded = other.file_model().unwrap();
        assert_eq!((loaded.name.as_str(), &*loaded.bytes), ("mine", bytes));
        let generation = other.file_generation();
        field.set(serde_json::from_str(&text).unwrap());
        assert_eq!(other.file_generation(), generation, "nothing new");
        field.set(Some(SavedModel {
            name: "bad".to_owned(),
            bytes: vec![1, 2, 3],
        }));
        assert_eq!(other.file_model().unwrap().name, "mine");
        assert!(other.notice().unwrap().is_error);
    }
}
