//! The system's file dialogs, without holding up the window.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rfd::{AsyncFileDialog, FileHandle};

use crate::files::write_whole;
use crate::models::FileModel;
use crate::shared::Shared;

/// Ending of model files.
pub const MODEL_ENDING: &str = "drfm";
/// Endings of sound files that can be read.
pub const SOUND_ENDINGS: [&str; 7] = ["wav", "flac", "aif", "aiff", "ogg", "mp3", "wave"];

/// Runs a dialog to its end on a thread of its own. The dialog itself is made on the caller's, as some systems demand.
fn run<T: Send + 'static>(
    shared: &Shared,
    dialog: impl Future<Output = Option<T>> + Send + 'static,
    chosen: impl FnOnce(T) + Send + 'static,
) {
    let thread = std::thread::Builder::new().name("drfm-dialog".to_owned());
    let spawned = thread.spawn(move || {
        if let Some(answer) = pollster::block_on(dialog) {
            chosen(answer);
        }
    });
    if let Err(error) = spawned {
        shared.complain_text(format!("The file dialog cannot be opened: {error}"));
    }
}

fn path_of(handle: &FileHandle) -> PathBuf {
    handle.path().to_owned()
}

/// Asks for a model file and loads it; `loaded` is told when it plays.
pub fn open_model(shared: &Arc<Shared>, loaded: impl FnOnce() + Send + 'static) {
    let dialog = AsyncFileDialog::new()
        .set_title("Choose a DRFM model")
        .add_filter("DRFM model", &[MODEL_ENDING])
        .pick_file();
    let theirs = Arc::clone(shared);
    run(shared, dialog, move |handle| {
        if load_model(&theirs, &path_of(&handle)) {
            loaded();
        }
    });
}

/// Loads a model in the background.
pub fn load_model_from(
    shared: &Arc<Shared>,
    path: PathBuf,
    loaded: impl FnOnce() + Send + 'static,
) {
    let theirs = Arc::clone(shared);
    run(shared, std::future::ready(Some(path)), move |path| {
        if load_model(&theirs, &path) {
            loaded();
        }
    });
}

fn load_model(shared: &Shared, path: &Path) -> bool {
    match FileModel::load(path) {
        Ok(model) => {
            shared.say(format!("Loaded {}", model.name));
            shared.set_file_model(Some(model));
            true
        }
        Err(error) => {
            shared.complain(&error);
            false
        }
    }
}

/// Asks where the player's model is to be kept, and writes it there.
pub fn save_model(shared: &Arc<Shared>) {
    let Some(model) = shared.file_model() else {
        return;
    };
    let dialog = AsyncFileDialog::new()
        .set_title("Save the model")
        .set_file_name(format!("{}.{MODEL_ENDING}", model.name))
        .save_file();
    let theirs = Arc::clone(shared);
    run(shared, dialog, move |handle| {
        let path = path_of(&handle);
        match write_whole(&path, &model.bytes) {
            Ok(()) => theirs.say(format!("Saved {}", path.display())),
            Err(source) => theirs.complain(&crate::error::PluginError::Write { path, source }),
        }
    });
}

/// Asks for sound files.
pub fn open_takes(shared: &Shared, chosen: impl FnOnce(Vec<PathBuf>) + Send + 'static) {
    let dialog = AsyncFileDialog::new()
        .set_title("Clean recordings of your instrument")
        .add_filter("Sound", &SOUND_ENDINGS)
        .pick_files();
    run(shared, dialog, move |handles: Vec<FileHandle>| {
        chosen(handles.iter().map(path_of).collect());
    });
}
