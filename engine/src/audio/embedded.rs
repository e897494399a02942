//! The models that come with the program, so that everything works without a download.

/// Models by name, the most specific first.
static MODELS: [(&str, &[u8]); 3] = [
    ("guitar", include_bytes!("../../models/guitar.drfm")),
    ("flute", include_bytes!("../../models/flute.drfm")),
    ("general", include_bytes!("../../models/general.drfm")),
];
/// Their names, in the same order.
static NAMES: [&str; MODELS.len()] = [MODELS[0].0, MODELS[1].0, MODELS[2].0];

/// The names of the embedded models.
#[must_use]
pub fn names() -> &'static [&'static str] {
    &NAMES
}

/// The model file of a name.
#[must_use]
pub fn bytes(name: &str) -> Option<&'static [u8]> {
    MODELS
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, bytes)| *bytes)
}
