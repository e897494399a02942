//! Paths as people type or paste them: as they are, in quotation marks, or as the `file://` links that file managers
//! put on the clipboard, one a line.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::dialogs::SOUND_ENDINGS;

/// The paths in a text.
#[must_use]
pub fn from_text(text: &str) -> Vec<PathBuf> {
    text.lines()
        .map(|line| line.trim().trim_matches(['"', '\'']))
        .filter(|line| !line.is_empty())
        .map(one)
        .collect()
}

fn one(line: &str) -> PathBuf {
    let Some(link) = line.strip_prefix("file://") else {
        return line.into();
    };
    let path = link.strip_prefix("localhost").unwrap_or(link);
    // `file:///C:/takes` names C:/takes.
    let path = if cfg!(windows) {
        path.trim_start_matches('/')
    } else {
        path
    };
    percent_decode_str(path).decode_utf8_lossy().as_ref().into()
}

/// Folders replaced by the sound files in them, in the order of their names.
#[must_use]
pub fn sound_files(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path);
            continue;
        }
        let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
        let mut inside: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|p| {
                let ending = p.extension().map(|e| e.to_string_lossy().to_lowercase());
                ending.is_some_and(|e| SOUND_ENDINGS.contains(&e.as_str())) && p.is_file()
            })
            .collect();
        inside.sort();
        files.append(&mut inside);
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_quoted_and_linked_paths_are_understood() {
        assert_eq!(from_text(" \n"), Vec::<PathBuf>::new());
        assert_eq!(
            from_text(" takes/a b.wav "),
            [PathBuf::from("takes/a b.wav")]
        );
        assert_eq!(from_text("\"x.drfm\"\n'y.drfm'\r\n").len(), 2);
        if cfg!(unix) {
            let there = [PathBuf::from("/takes/a take.wav"), "/b.flac".into()];
            let pasted = "file:///takes/a%20take.wav\r\nfile://localhost/b.flac\r\n";
            assert_eq!(from_text(pasted), there);
        }
    }

    #[test]
    fn a_folder_stands_for_the_sounds_in_it() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.WAV", "a.flac", "notes.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let files = sound_files(vec![folder.path().into(), "other.wav".into()]);
        let names: Vec<_> = files.iter().map(|p| p.file_name().unwrap()).collect();
        assert_eq!(names, ["a.flac", "b.WAV", "other.wav"]);
    }
}
