//! Ctrl-C while a recording is being denoised.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;

use std::ffi::OsStr;

use common::{interrupted, model, music, names_in, write_wav};

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let samples = music(48_000, 120.0, 1);
    write_wav(&folder.path().join("long.wav"), 48_000, 1, 16, &samples);
    let arguments = ["denoise", "long.wav", "-o", "out.wav", "--model"].map(OsStr::new);
    let model = [model().as_os_str()];
    interrupted(folder.path(), arguments.into_iter().chain(model));
    assert_eq!(names_in(folder.path()), ["long.wav"]);
}
