//! Files dragged onto the window: what they are, where they go, and what is shown while they hover.

use std::path::{Path, PathBuf};

use egui::{Align2, Color32, Id, LayerId, Order, Rect, Stroke, StrokeKind, Ui};

use super::{paths, theme};
use crate::dialogs::{MODEL_ENDING, SOUND_ENDINGS};
use crate::shared::Shared;

/// Files of no use that are named; of more only the number is said.
const NAMED: usize = 3;
/// What is said to more than one model.
const ONE_MODEL: &str = "Drop one model at a time";

/// What a file can be to the plugin, by its ending: nothing is read for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Model,
    Sound,
    Folder,
    Other,
}

fn kind(path: &Path) -> Kind {
    if path.is_dir() {
        return Kind::Folder;
    }
    // A pipe or a device may never end.
    let ending = path.extension().filter(|_| path.is_file());
    let ending = ending.map(|e| e.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some(MODEL_ENDING) => Kind::Model,
        Some(ending) if SOUND_ENDINGS.contains(&ending) => Kind::Sound,
        _ => Kind::Other,
    }
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// What was dropped, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    /// A model; nobody can play two.
    pub model: Option<PathBuf>,
    /// Recordings, those in folders included.
    pub takes: Vec<PathBuf>,
    /// What is wrong with the rest.
    pub complaint: Option<String>,
}

/// Sorts what was dropped.
#[must_use]
pub fn sort(dropped: Vec<PathBuf>) -> Sorted {
    let mut sorted = Sorted::default();
    let (mut models, mut others) = (Vec::new(), Vec::new());
    for path in dropped {
        match kind(&path) {
            Kind::Model => models.push(path),
            Kind::Sound => sorted.takes.push(path),
            Kind::Folder => {
                let name = name(&path);
                let inside = paths::sound_files(vec![path]);
                if inside.is_empty() {
                    let text = format!("There is no recording in the folder {name}");
                    sorted.complaint = Some(text);
                }
                sorted.takes.extend(inside);
            }
            Kind::Other => others.push(path),
        }
    }
    if models.len() > 1 {
        sorted.complaint = Some(ONE_MODEL.to_owned());
    } else {
        sorted.model = models.pop();
    }
    if !others.is_empty() {
        sorted.complaint = Some(refusal(&others));
    }
    sorted
}

/// Why these files are of no use; their names come last, since they may be long.
fn refusal(others: &[PathBuf]) -> String {
    let mut names: Vec<String> = others.iter().take(NAMED).map(|path| name(path)).collect();
    let more = others.len().saturating_sub(NAMED);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    let names = names.join(", ");
    format!("Neither a recording ({}) nor a model: {names}", endings())
}

fn endings() -> String {
    SOUND_ENDINGS.join(", ")
}

/// Adds recordings to the takes, unless it trains on them already.
pub fn add_takes(shared: &Shared, takes: Vec<PathBuf>) {
    if shared.training.is_running() {
        shared.complain_text("Wait for the training to end, then drop more takes".to_owned());
        return;
    }
    let before = shared.training.names().len();
    shared.training.add_files(takes);
    let added = shared.training.names().len().saturating_sub(before);
    shared.say(match added {
        0 => "These takes are there already".to_owned(),
        1 => "A take was added".to_owned(),
        n => format!("{n} takes were added"),
    });
}

/// The files that were dropped since the last picture.
#[must_use]
pub fn dropped(ui: &Ui) -> Vec<PathBuf> {
    let path = |file: &egui::DroppedFileHandle| file.path().to_owned();
    ui.input(|i| i.raw.dropped_files.iter().map(path).collect())
}

/// What is said while files hover.
#[derive(Default)]
pub struct Drops {
    hovered: Vec<PathBuf>,
    /// Where they would go; false if nowhere.
    promise: (String, bool),
}

impl Drops {
    /// Covers the window with a sentence while files hover over it.
    pub fn show(&mut self, ui: &Ui, whole: Rect) {
        let hovered: Vec<PathBuf> = ui.input(|i| {
            i.raw
                .hovered_files
                .iter()
                .filter_map(|f| f.path.clone())
                .collect()
        });
        if hovered != self.hovered {
            // Once for each drag: a folder may be far away.
            self.promise = promise(&hovered);
            self.hovered = hovered;
        }
        if self.hovered.is_empty() {
            return;
        }
        let (text, welcome) = &self.promise;
        let colour = if *welcome {
            theme::OUTPUT
        } else {
            theme::ALARM
        };
        cover(ui, whole, text, colour);
    }
}

fn promise(hovered: &[PathBuf]) -> (String, bool) {
    let kinds: Vec<Kind> = hovered.iter().map(|path| kind(path)).collect();
    let count = |kind: Kind| kinds.iter().filter(|k| **k == kind).count();
    let takes = match (count(Kind::Sound), count(Kind::Folder)) {
        (0, 0) => None,
        (1, 0) => Some("this recording"),
        (0, 1) => Some("the recordings in this folder"),
        _ => Some("these recordings"),
    };
    match (count(Kind::Model), takes) {
        (1, None) => ("Drop it to play through this model".to_owned(), true),
        (0, Some(takes)) => (
            format!("Drop to add {takes} to the takes of \u{201C}Learn my instrument\u{201D}"),
            true,
        ),
        (1, Some(takes)) => (
            format!("Drop to play through this model and add {takes} to the takes"),
            true,
        ),
        (0, None) => (
            format!(
                "Drop recordings ({}), folders of them, or a model (.{MODEL_ENDING})",
                endings()
            ),
            false,
        ),
        _ => (ONE_MODEL.to_owned(), false),
    }
}

fn cover(ui: &Ui, whole: Rect, text: &str, colour: Color32) {
    let layer = LayerId::new(Order::Tooltip, Id::unique("drop"));
    let painter = ui.ctx().layer_painter(layer);
    painter.rect_filled(whole, 0.0, theme::faint(theme::BACKGROUND, 0.88));
    let frame = whole.shrink(12.0);
    let stroke = Stroke::new(2.0, colour);
    painter.rect_stroke(frame, 10.0, stroke, StrokeKind::Inside);
    let width = frame.width() - 40.0;
    let galley = painter.layout(text.to_owned(), theme::font(20.0), theme::TEXT, width);
    let at = Align2::CENTER_CENTER.anchor_size(whole.center(), galley.size());
    painter.galley(at.min, galley, theme::TEXT);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        folder
    }

    #[test]
    fn each_thing_goes_where_it_belongs() {
        let home = folder(&["a take.wav", "B.FLAC", "my.DRFM", "notes.txt", "bare"]);
        let at = |name: &str| home.path().join(name);
        let all = ["my.DRFM", "B.FLAC", "a take.wav"].map(at);
        let sorted = sort(all.to_vec());
        assert_eq!(sorted.model, Some(at("my.DRFM")));
        assert_eq!(sorted.takes, [at("B.FLAC"), at("a take.wav")]);
        assert_eq!(sorted.complaint, None);
        // A folder stands for the sounds in it.
        let sorted = sort(vec![home.path().into()]);
        assert_eq!(sorted.takes, [at("B.FLAC"), at("a take.wav")]);
        assert_eq!(sorted.model, None);
    }

    #[test]
    fn what_is_of_no_use_is_named() {
        let home = folder(&["notes.txt", "bare", "a.drfm", "b.drfm", "x.wav"]);
        let at = |name: &str| home.path().join(name);
        let text = |names: &[&str]| {
            let sorted = sort(names.iter().map(|name| at(name)).collect());
            sorted.complaint.unwrap_or_default()
        };
        assert!(text(&["notes.txt", "bare", "x.wav"]).ends_with(": notes.txt, bare"));
        assert!(text(&["gone.wav"]).ends_with(": gone.wav"));
        assert!(text(&["1", "2", "3", "4", "5"]).ends_with(": 1, 2, 3, and 2 more"));
        assert_eq!(text(&["a.drfm", "b.drfm"]), ONE_MODEL);
        assert_eq!(text(&["x.wav"]), "");
        assert_eq!(sort(vec![at("a.drfm"), at("b.drfm")]).model, None);
        let empty = folder(&["notes.txt"]);
        let sorted = sort(vec![empty.path().into()]);
        let said = sorted.complaint.unwrap_or_default();
        assert!(said.starts_with("There is no recording"), "{said}");
        assert!(sorted.takes.is_empty());
    }

    #[test]
    fn what_hovers_is_told_where_it_goes() {
        let home = folder(&["a.wav", "b.wav", "m.drfm", "n.drfm", "notes.txt"]);
        let said = |names: &[&str]| {
            let hovered: Vec<_> = names.iter().map(|name| home.path().join(name)).collect();
            promise(&hovered)
        };
        assert!(said(&["a.wav"]).0.contains("this recording to the takes"));
        assert!(said(&["a.wav", "b.wav"]).0.contains("these recordings"));
        assert!(said(&["."]).0.contains("in this folder"));
        assert!(said(&["m.drfm"]).0.contains("play through this model"));
        assert!(said(&["m.drfm", "a.wav"]).1);
        assert!(!said(&["m.drfm", "n.drfm"]).1);
        assert!(!said(&["notes.txt"]).1);
    }

    #[test]
    fn takes_are_added_once() {
        let shared = Shared::new();
        let said = || shared.notice().unwrap().text;
        add_takes(&shared, vec!["a.wav".into(), "b.wav".into()]);
        assert_eq!(said(), "2 takes were added");
        add_takes(&shared, vec!["a.wav".into()]);
        assert_eq!(said(), "These takes are there already");
        assert_eq!(shared.training.names(), ["a.wav", "b.wav"]);
    }
}
