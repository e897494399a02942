//! A window inside a host's: egui drawn by OpenGL on a baseview window. Own, because the published glue between the two
//! throws away the files that are dropped onto a window.
//!
//! It draws at a steady pace, so nobody has to tell it that something changed; events only make it draw sooner. On X11 it
//! lives on a thread of its own, elsewhere on the host's main thread.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use baseview::dpi::Size;
use baseview::gl::GlConfig;
use baseview::{Window, WindowSettings, WindowSize};
use egui::{Context, Ui};
use nice_plug::editor::{HostMethods, ParentWindowHandle};

mod clipboard;
mod cursor;
mod handler;
mod host;
mod input;
mod painter;

pub use painter::PaintError;

/// How long a window may take to close.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is in a window.
pub trait Content: Send + 'static {
    /// Called once, before the first picture.
    fn start(&mut self, context: &Context);

    /// Draws a picture and reacts to what was done since the last one.
    fn draw(&mut self, ui: &mut Ui);
}

/// How a window is to be.
pub struct Settings {
    /// Shown where windows have titles.
    pub title: &'static str,
    /// Its first size.
    pub size: Size,
    /// Smallest and largest size.
    pub limits: (Size, Size),
    /// Time between pictures.
    pub frame: Duration,
    /// The window of the host that it is put into.
    pub parent: Option<ParentWindowHandle>,
    /// The parent comes later.
    pub wait_for_parent: bool,
    /// Scale where the system names none.
    pub fallback_scale: Option<f64>,
    /// How the host is told about it.
    pub host: Option<HostMethods>,
}

/// Makes a window, which is seen once it is shown. `resized` is told each new size at once.
///
/// # Errors
/// If the system has no screen or no OpenGL.
pub fn create(
    settings: Settings,
    content: impl Content,
    resized: impl Fn(WindowSize) + Send + 'static,
) -> Result<OpenWindow, baseview::Error> {
    let (least, most) = settings.limits;
    let options = WindowSettings::new()
        .with_title(settings.title)
        .with_size(settings.size)
        .with_min_size::<Size>(least)
        .with_max_size::<Size>(most)
        .with_parent(settings.parent.as_ref())
        .with_wait_for_parent(settings.wait_for_parent)
        .with_fallback_scale_factor(settings.fallback_scale)
        .with_gl_config(GlConfig::default());
    let frame = settings.frame;
    let closing = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&closing);
    let inner = Window::create_with_host(
        options,
        move |window| handler::Handler::new(window, content, resized, frame, theirs),
        settings
            .host
            .map(|host| host::for_window(host, Arc::clone(&closing))),
    )?;
    Ok(OpenWindow { inner, closing })
}

/// A window; it is closed when this is dropped.
pub struct OpenWindow {
    inner: Window,
    /// Its thread is to end.
    closing: Arc<AtomicBool>,
}

impl Deref for OpenWindow {
    type Target = Window;

    fn deref(&self) -> &Window {
        &self.inner
    }
}

impl Drop for OpenWindow {
    fn drop(&mut self) {
        // On X11 baseview does not wait for the window's thread when it closes the window, but for one that has ended.
        // The host may unload the code next, or end: nothing may run then.
        if cfg!(target_os = "linux") {
            self.closing.store(true, Ordering::Release);
            let since = Instant::now();
            while self.inner.is_open() && since.elapsed() < PATIENCE {
                let _ = self.inner.request_poll();
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}
