//! Copying bundles, which are files or folders.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::BundlerError;

/// Copies a bundle into a folder in place of an older one; returns where it is. The old one is only removed when the
/// new one is complete, and never written over: a host may have it loaded.
pub fn install(bundle: &Path, folder: &Path) -> Result<PathBuf, BundlerError> {
    let name = bundle
        .file_name()
        .ok_or_else(|| BundlerError::Missing(bundle.to_owned()))?;
    let target = folder.join(name);
    let mut new = name.to_owned();
    new.push(".new");
    let new = folder.join(new);
    fs::create_dir_all(folder).map_err(|e| BundlerError::file(folder, e))?;
    remove(&new)?;
    copy(bundle, &new)?;
    remove(&target)?;
    fs::rename(&new, &target).map_err(|e| BundlerError::file(&target, e))?;
    Ok(target)
}

fn remove(path: &Path) -> Result<(), BundlerError> {
    let result = if path.is_dir() {
        fs::remove_dir_all(path)
    } else if path.exists() {
        fs::remove_file(path)
    } else {
        return Ok(());
    };
    result.map_err(|e| BundlerError::file(path, e))
}

fn copy(from: &Path, to: &Path) -> Result<(), BundlerError> {
    if !from.is_dir() {
        fs::copy(from, to).map_err(|e| BundlerError::file(from, e))?;
        return Ok(());
    }
    fs::create_dir_all(to).map_err(|e| BundlerError::file(to, e))?;
    for entry in fs::read_dir(from).map_err(|e| BundlerError::file(from, e))? {
        let entry = entry.map_err(|e| BundlerError::file(from, e))?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// All files below a folder (or the file itself), in the order of their names.
pub fn all_files(path: &Path) -> Result<Vec<PathBuf>, BundlerError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|e| BundlerError::file(path, e))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| BundlerError::file(path, e))?;
        paths.extend(all_files(&entry.path())?);
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_replaces_the_older_one_whole() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("X.vst3");
        fs::create_dir_all(bundle.join("Contents/x")).unwrap();
        fs::write(bundle.join("Contents/x/X.so"), "new").unwrap();
        let place = folder.path().join("place");
        fs::create_dir_all(place.join("X.vst3/Contents")).unwrap();
        fs::write(place.join("X.vst3/Contents/left over"), "old").unwrap();
        let target = install(&bundle, &place).unwrap();
        assert_eq!(target, place.join("X.vst3"));
        assert_eq!(
            all_files(&place).unwrap(),
            [place.join("X.vst3/Contents/x/X.so")]
        );
        let clap = folder.path().join("X.clap");
        fs::write(&clap, "one").unwrap();
        install(&clap, &place).unwrap();
        fs::write(&clap, "two").unwrap();
        let target = install(&clap, &place).unwrap();
        assert_eq!(fs::read_to_string(target).unwrap(), "two");
        assert!(install(&folder.path().join("missing"), &place).is_err());
    }
}
