//! A/B: two sets of settings, learned noise and own model included, to switch between.

use nice_plug::prelude::ParamSetter;

use crate::models::FileModel;
use crate::params::DrfmParams;
use crate::presets::Preset;
use crate::shared::{NoiseMemory, Shared};

/// Everything that is heard.
#[derive(Clone)]
struct Snapshot {
    preset: Preset,
    noise: NoiseMemory,
    model: Option<FileModel>,
}

impl Snapshot {
    fn of(shared: &Shared, params: &DrfmParams) -> Self {
        Self {
            preset: Preset::of(params, ""),
            noise: shared.noise(),
            model: shared.file_model(),
        }
    }

    fn apply(&self, shared: &Shared, params: &DrfmParams, setter: &ParamSetter<'_>) {
        let bytes = |m: &Option<FileModel>| m.as_ref().map(|m| m.bytes.clone());
        if bytes(&shared.file_model()) != bytes(&self.model) {
            shared.set_file_model(self.model.clone());
        }
        if shared.noise() != self.noise {
            shared.set_noise(self.noise.clone());
        }
        self.preset.apply(params, setter);
    }
}

/// The two sides.
#[derive(Default)]
pub struct Ab {
    /// Side B is heard.
    b: bool,
    other: Option<Snapshot>,
}

impl Ab {
    /// The side that is heard.
    #[must_use]
    pub const fn side(&self) -> &'static str {
        if self.b { "B" } else { "A" }
    }

    /// To the other side; the first time it is the same as this one.
    pub fn switch(&mut self, shared: &Shared, params: &DrfmParams, setter: &ParamSetter<'_>) {
        let here = Snapshot::of(shared, params);
        if let Some(there) = self.other.replace(here) {
            there.apply(shared, params, setter);
        }
        self.b = !self.b;
    }

    /// Makes the other side the same as this one.
    pub fn copy(&mut self, shared: &Shared, params: &DrfmParams) {
        self.other = Some(Snapshot::of(shared, params));
    }
}
