//! The system's clipboard, opened when it is first needed: on X11 it costs a connection and a thread.

use copypasta::{ClipboardContext, ClipboardProvider};

/// The clipboard, if the system has one.
#[derive(Default)]
pub struct Clipboard(Option<ClipboardContext>);

impl Clipboard {
    fn open(&mut self) -> Option<&mut ClipboardContext> {
        if self.0.is_none() {
            self.0 = ClipboardContext::new().ok();
        }
        self.0.as_mut()
    }

    /// The text on it.
    pub fn text(&mut self) -> Option<String> {
        self.open()?.get_contents().ok()
    }

    /// Puts a text on it; without a clipboard nothing happens.
    pub fn put(&mut self, text: String) {
        if let Some(context) = self.open() {
            let _ = context.set_contents(text);
        }
    }
}
