//! A window inside a host's: egui drawn by OpenGL on a baseview window. Own, because the published glue between the two
//! throws away the files that are dropped onto a window.
//!
//! It draws at a steady pace, so nobody has to tell it that something changed; events only make it draw sooner. On X11 it
//! lives on a thread of its own, elsewhere on the host's main thread.

use std::time::Duration;

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
) -> Result<Window, baseview::Error> {
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
    Window::create_with_host(
        options,
        move |window| handler::Handler::new(window, content, resized, frame),
        settings.host.map(host::for_window),
    )
}
