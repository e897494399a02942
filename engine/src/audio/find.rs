//! Finding audio files in folders.

use std::fs;
use std::path::{Path, PathBuf};

use super::file_error::AudioFileError;

/// File name endings that count as sound, compared without regard to case.
pub const AUDIO_EXTENSIONS: [&str; 9] = [
    "wav", "wave", "bwf", "flac", "aif", "aiff", "aifc", "ogg", "mp3",
];

/// The sound files that `paths` name, sorted, each once.
///
/// A file stands for itself whatever its name. A folder stands for the sound files in it ([`AUDIO_EXTENSIONS`],
/// hidden ones left out) and, with `recursive`, in its subfolders; subfolders that are symbolic links are not entered, so
/// loops cannot occur.
///
/// # Errors
/// A path that does not exist or cannot be listed; [`AudioFileError::NoAudioFiles`] for a folder without sound.
pub fn find_audio_files(
    paths: &[PathBuf],
    recursive: bool,
) -> Result<Vec<PathBuf>, AudioFileError> {
    let mut found = Vec::new();
    for path in paths {
        let about = fs::metadata(path).map_err(|e| AudioFileError::reading(path, e))?;
        if about.is_dir() {
            let before = found.len();
            search(path, recursive, &mut found)?;
            if found.len() == before {
                return Err(AudioFileError::NoAudioFiles(path.clone()));
            }
        } else {
            found.push(path.clone());
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn search(folder: &Path, recursive: bool, found: &mut Vec<PathBuf>) -> Result<(), AudioFileError> {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let on_io = |e| AudioFileError::reading(&folder, e);
        for entry in fs::read_dir(&folder).map_err(on_io)? {
            let entry = entry.map_err(on_io)?;
            let path = entry.path();
            let kind = entry.file_type().map_err(on_io)?;
            if kind.is_dir() {
                if recursive {
                    folders.push(path);
                }
            } else if is_visible_audio(&path) && path.is_file() {
                found.push(path);
            }
        }
    }
    Ok(())
}

fn is_visible_audio(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let known = path.extension().is_some_and(|extension| {
        AUDIO_EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    });
    known && !hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &[PathBuf]) -> Vec<String> {
        found
            .iter()
            .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn finds_sound_only_sorted_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        fs::create_dir(at("folder.wav")).unwrap();
        for name in [
            "b.WAV",
            "a.flac",
            "note.txt",
            ".hidden.wav",
            "sub/c.mp3",
            "odd.bin",
        ] {
            fs::write(at(name), b"x").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(dir.path(), at("loop")).unwrap();
        let flat = find_audio_files(&[dir.path().into()], false).unwrap();
        assert_eq!(names(&flat), ["a.flac", "b.WAV"]);
        let deep = find_audio_files(&[dir.path().into(), at("a.flac")], true).unwrap();
        assert_eq!(names(&deep), ["a.flac", "b.WAV", "c.mp3"]);
        let named = find_audio_files(&[at("odd.bin")], false).unwrap();
        assert_eq!(names(&named), ["odd.bin"]);
    }

    #[test]
    fn mistakes_name_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let empty = find_audio_files(&[dir.path().into()], true).unwrap_err();
        assert!(empty.to_string().contains(&*dir.path().to_string_lossy()));
        let missing = find_audio_files(&[dir.path().join("no")], true).unwrap_err();
        assert!(matches!(missing, AudioFileError::Missing(_)));
    }
}
