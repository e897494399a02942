//! The window: opens and closes it, and remembers its size. What is in it is in [`app`].

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use baseview::{HandlerError, WindowSize};
use nice_plug::context::gui::GuiContext;
use nice_plug::editor::dpi::{LogicalSize, NativeSize, Size};
use nice_plug::editor::{
    Editor, EditorHandle, HostMethods, ParentWindowHandle, ResizeHint, SizeConstraints,
    SpawnedEditor,
};

use crate::params::DrfmParams;
use crate::shared::Shared;
use crate::state::WINDOW_LIMITS;
use crate::window::{self, OpenWindow, Settings};
use app::App;

pub mod ab;
pub mod app;
pub mod bar;
pub mod controls;
pub mod drops;
pub mod knob;
pub mod learn;
pub mod meter;
pub mod model_menu;
pub mod paths;
pub mod segments;
pub mod spectrum;
pub mod status;
pub mod theme;

/// Time between pictures.
const FRAME: Duration = Duration::from_millis(33);

/// Makes windows.
pub struct DrfmEditor {
    shared: Arc<Shared>,
    params: Arc<DrfmParams>,
    /// Scale of the screen, as the last window found it.
    scale: Arc<AtomicU32>,
}

/// The window of an instance.
#[must_use]
pub fn create(shared: &Arc<Shared>, params: &Arc<DrfmParams>) -> Option<DrfmEditor> {
    Some(DrfmEditor {
        shared: Arc::clone(shared),
        params: Arc::clone(params),
        scale: Arc::new(AtomicU32::new(1.0f32.to_bits())),
    })
}

impl DrfmEditor {
    fn logical_size(&self) -> Size {
        let (width, height) = self.shared.window();
        points(width, height)
    }
}

fn points(width: u32, height: u32) -> Size {
    LogicalSize::new(f64::from(width), f64::from(height)).into()
}

/// The window has another size, which the next one begins with.
fn remember(shared: &Shared, scale: &AtomicU32, size: WindowSize) {
    let ((w0, h0), (w1, h1)) = WINDOW_LIMITS;
    let width = size.logical.width.round() as u32;
    let height = size.logical.height.round() as u32;
    shared.set_window((width.clamp(w0, w1), height.clamp(h0, h1)));
    scale.store((size.scale_factor as f32).to_bits(), Ordering::Relaxed);
}

impl Editor for DrfmEditor {
    type Handle = DrfmEditorHandle;

    fn spawn(
        &self,
        parent: Option<ParentWindowHandle>,
        wait_for_parent: bool,
        fallback_scale_factor: Option<f64>,
        gui_context: GuiContext,
        host: Option<HostMethods>,
    ) -> Result<SpawnedEditor<Self::Handle>, Box<dyn Error>> {
        let ((w0, h0), (w1, h1)) = WINDOW_LIMITS;
        let settings = Settings {
            title: "DRFM Denoiser",
            size: self.logical_size(),
            limits: (points(w0, h0), points(w1, h1)),
            frame: FRAME,
            parent,
            wait_for_parent,
            fallback_scale: fallback_scale_factor,
            host,
        };
        let app = App::new(&self.shared, &self.params, gui_context);
        let (shared, scale) = (Arc::clone(&self.shared), Arc::clone(&self.scale));
        let window = window::create(settings, app, move |size| remember(&shared, &scale, size))?;
        self.shared.scope.set_open(true);
        Ok(SpawnedEditor {
            handle: DrfmEditorHandle {
                resize_hint: self.resize_hint(),
                shared: Arc::clone(&self.shared),
            },
            window,
        })
    }

    fn size(&self) -> NativeSize<u32> {
        let scale = f32::from_bits(self.scale.load(Ordering::Relaxed));
        NativeSize::from_size(self.logical_size(), f64::from(scale))
    }

    fn resize_hint(&self) -> ResizeHint {
        let ((w0, h0), (w1, h1)) = WINDOW_LIMITS;
        ResizeHint {
            size_constraints: SizeConstraints::Logical {
                min_size: Some(LogicalSize::new(w0 as f32, h0 as f32)),
                max_size: Some(LogicalSize::new(w1 as f32, h1 as f32)),
            },
            ..ResizeHint::RESIZABLE
        }
    }
}

/// A window that is open; the audio thread draws for it only as long as this lives.
pub struct DrfmEditorHandle {
    resize_hint: ResizeHint,
    shared: Arc<Shared>,
}

impl Drop for DrfmEditorHandle {
    fn drop(&mut self) {
        self.shared.scope.set_open(false);
    }
}

impl EditorHandle for DrfmEditorHandle {
    type Window = OpenWindow;
    type Error = baseview::Error;

    fn run_until_closed(_window: OpenWindow) -> Result<(), baseview::Error> {
        let error = std::io::Error::other("the plugin is no program of its own");
        Err(HandlerError::from(error).into())
    }

    fn set_parent(
        &self,
        parent: ParentWindowHandle,
        window: &OpenWindow,
    ) -> Result<(), baseview::Error> {
        window.set_parent(&parent)
    }

    fn show(&self, window: &OpenWindow) -> Result<(), baseview::Error> {
        window.show()
    }

    fn hide(&self, window: &OpenWindow) -> Result<(), baseview::Error> {
        window.hide()
    }

    fn set_size(
        &self,
        new_size: NativeSize<u32>,
        window: &OpenWindow,
    ) -> Result<(), baseview::Error> {
        window.resize(new_size)
    }

    fn host_main_thread_callback(&self, window: &OpenWindow) {
        window.host_main_thread_callback();
    }

    fn adjust_size(
        &self,
        new_size: NativeSize<u32>,
        window: &OpenWindow,
    ) -> Option<NativeSize<u32>> {
        let size = window.size();
        let present = NativeSize::from_logical_or_physical(size.logical, size.physical);
        let scale = size.scale_factor;
        Some(self.resize_hint.adjust_size(new_size, present, scale))
    }

    fn set_fallback_scale_factor(
        &self,
        scale_factor: f64,
        window: &OpenWindow,
    ) -> Result<(), baseview::Error> {
        window.suggest_fallback_scale_factor(scale_factor)
    }

    // The next picture, a moment later, shows whatever values there are then.

    fn param_value_changed(&self, _id: &str, _normalized_value: f32) {}

    fn param_modulation_changed(&self, _id: &str, _modulation_offset: f32) {}
}
