//! The licences of everything that is linked into the plugin.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use crate::PACKAGE;
use crate::error::BundlerError;
use crate::workspace::metadata;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    source: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

/// Names the crates in the plugin, their licences, and their licence texts, each text once.
pub fn text() -> Result<String, BundlerError> {
    let metadata: Metadata = metadata(&[])?;
    let linked = linked(&metadata);
    let mut list = String::from(
        "The plugin contains the following works of others, unchanged, under the licences named; the texts follow.\n\n",
    );
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in &metadata.packages {
        if package.source.is_none() || !linked.contains(package.id.as_str()) {
            continue;
        }
        let name = format!("{} {}", package.name, package.version);
        let licence = package.license.as_deref().unwrap_or("see its text");
        let repository = package.repository.as_deref().unwrap_or_default();
        list.push_str(&format!("{name}: {licence} {repository}\n"));
        for text in texts_of(package) {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    for (text, names) in texts {
        list.push_str(&format!(
            "\n\n==== {}\n\n{}\n",
            names.join(", "),
            text.trim_end()
        ));
    }
    Ok(list)
}

/// The crates that the plugin is linked from: no build scripts, no tests.
fn linked(metadata: &Metadata) -> BTreeSet<&str> {
    let nodes: BTreeMap<&str, &Node> = metadata
        .resolve
        .nodes
        .iter()
        .map(|n| (n.id.as_str(), n))
        .collect();
    let start = metadata.packages.iter().find(|p| p.name == PACKAGE);
    let mut waiting: Vec<&str> = start.map(|p| p.id.as_str()).into_iter().collect();
    let mut linked = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if !linked.insert(id) {
            continue;
        }
        let dependencies = nodes.get(id).map_or(&[][..], |n| &n.deps);
        let normal = dependencies
            .iter()
            .filter(|d| d.dep_kinds.iter().any(|k| k.kind.is_none()));
        waiting.extend(normal.map(|d| d.pkg.as_str()));
    }
    linked
}

/// What the files say that crates put their licences into.
fn texts_of(package: &Package) -> Vec<String> {
    let Some(folder) = package.manifest_path.parent() else {
        return Vec::new();
    };
    let folders = [folder.to_owned(), folder.join("fonts")];
    let mut files: Vec<PathBuf> = folders
        .iter()
        .filter_map(|f| fs::read_dir(f).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = name.to_uppercase();
            let about = ["LICEN", "COPYING", "NOTICE", "OFL", "UFL"];
            path.is_file() && about.iter().any(|a| name.contains(a)) && !name.ends_with(".RS")
        })
        .collect();
    files.sort();
    files
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect()
}
