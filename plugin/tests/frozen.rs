//! Names that are in saved sessions and must never change.

#![allow(clippy::unwrap_used)]

use drfm_plugin::params::{DrfmParams, ModeChoice, ModelChoice, NoiseChoice, OutputChoice};
use drfm_plugin::plugin::Drfm;
use drfm_plugin::shared::Shared;
use nice_plug::prelude::*;

#[test]
fn ids_of_parameters_and_of_their_values() {
    let params = DrfmParams::new(&Shared::new());
    let ids: Vec<String> = params
        .param_map()
        .into_iter()
        .map(|(id, _, _)| id)
        .collect();
    assert_eq!(
        ids,
        [
            "mode",
            "model",
            "amount_db",
            "noise_source",
            "learn",
            "output",
            "stereo_link",
            "output_trim_db",
            "bypass"
        ]
    );
    assert_eq!(
        ModeChoice::ids().unwrap(),
        ["best", "balanced", "live", "instant"]
    );
    assert_eq!(
        ModelChoice::ids().unwrap(),
        ["guitar", "flute", "general", "file"]
    );
    assert_eq!(
        NoiseChoice::ids().unwrap(),
        ["adaptive", "learned", "frozen"]
    );
    assert_eq!(OutputChoice::ids().unwrap(), ["denoised", "removed"]);
    let fields: Vec<String> = params.serialize_fields().into_keys().collect();
    assert_eq!(fields, ["format", "model", "noise", "refused", "window"]);
}

#[test]
fn ids_of_the_plugin() {
    assert_eq!(Drfm::CLAP_ID, "org.drfm.denoiser");
    assert_eq!(&Drfm::VST3_CLASS_ID, b"DRFM.DenoiserFx1");
    assert_eq!(Drfm::NAME, "DRFM Denoiser");
    assert_eq!(Drfm::VENDOR, "DRFM");
    assert!(
        Drfm::VERSION
            .chars()
            .all(|c| c.is_ascii_digit() || c == '.')
    );
}
