//! What the tests that cross crates share: the recordings of `fixtures`.

use std::path::PathBuf;

use drfm_engine::audio::reader::read_all;

/// Path of a file in `tests/fixtures`.
#[must_use]
pub fn fixture_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

/// The mono samples of a recording in `tests/fixtures`.
///
/// # Panics
/// If it cannot be read: the repository is not complete then.
#[must_use]
#[allow(clippy::expect_used)]
pub fn fixture(name: &str) -> Vec<f32> {
    read_all(fixture_path(name), 1 << 24)
        .expect("recordings in tests/fixtures can be read")
        .mono()
}
