//! The window: opens and closes it, and remembers its size. What is in it is in [`app`].

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use nice_plug::context::gui::GuiContext;
use nice_plug::editor::dpi::{LogicalSize, NativeSize, Size};
use nice_plug::editor::{
    Editor, EditorHandle, HostMethods, Modifiers, ParentWindowHandle, ResizeHint, SizeConstraints,
    SpawnedEditor, VirtualKeyCode,
};
use nice_plug_egui::{
    EguiEditorHandle, EguiEditorState, EguiNiceSettings, RepaintNotifier, create_egui_editor,
};

use crate::params::DrfmParams;
use crate::shared::Shared;
use crate::state::WINDOW_LIMITS;
use app::App;

pub mod ab;
pub mod app;
pub mod bar;
pub mod controls;
pub mod knob;
pub mod learn;
pub mod meter;
pub mod model_menu;
pub mod paths;
pub mod segments;
pub mod spectrum;
pub mod status;
pub mod theme;

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
        LogicalSize::new(f64::from(width), f64::from(height)).into()
    }
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
        // Made anew for each window: the size may have come with a session since the last one.
        let state = EguiEditorState::from_size(self.logical_size(), 1.0);
        let settings = EguiNiceSettings::new()
            .with_tile("DRFM Denoiser")
            .with_resize_hint(self.resize_hint());
        let app = App::new(&self.shared, &self.params, &self.scale);
        let editor = create_egui_editor(state, RepaintNotifier::new(), settings, app)
            .ok_or("the window cannot be made")?;
        let spawned = editor.spawn(
            parent,
            wait_for_parent,
            fallback_scale_factor,
            gui_context,
            host,
        )?;
        self.shared.scope.set_open(true);
        Ok(SpawnedEditor {
            handle: DrfmEditorHandle {
                inner: spawned.handle,
                shared: Arc::clone(&self.shared),
            },
            window: spawned.window,
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
    inner: EguiEditorHandle,
    shared: Arc<Shared>,
}

impl Drop for DrfmEditorHandle {
    fn drop(&mut self) {
        self.shared.scope.set_open(false);
    }
}

type Window = <EguiEditorHandle as EditorHandle>::Window;
type WindowError = <EguiEditorHandle as EditorHandle>::Error;

impl EditorHandle for DrfmEditorHandle {
    type Window = Window;
    type Error = WindowError;

    fn run_until_closed(window: Window) -> Result<(), WindowError> {
        EguiEditorHandle::run_until_closed(window)
    }

    fn set_parent(&self, parent: ParentWindowHandle, window: &Window) -> Result<(), WindowError> {
        self.inner.set_parent(parent, window)
    }

    fn show(&self, window: &Window) -> Result<(), WindowError> {
        self.inner.show(window)
    }

    fn hide(&self, window: &Window) -> Result<(), WindowError> {
        self.inner.hide(window)
    }

    fn set_size(&self, new_size: NativeSize<u32>, window: &Window) -> Result<(), WindowError> {
        self.inner.set_size(new_size, window)
    }

    fn host_main_thread_callback(&self, window: &Window) {
        self.inner.host_main_thread_callback(window);
    }

    fn adjust_size(&self, new_size: NativeSize<u32>, window: &Window) -> Option<NativeSize<u32>> {
        self.inner.adjust_size(new_size, window)
    }

    fn set_fallback_scale_factor(
        &self,
        scale_factor: f64,
        window: &Window,
    ) -> Result<(), WindowError> {
        self.inner.set_fallback_scale_factor(scale_factor, window)
    }

    fn on_virtual_key_from_host(
        &self,
        key_code: VirtualKeyCode,
        is_down: bool,
        modifiers: Modifiers,
    ) -> bool {
        self.inner
            .on_virtual_key_from_host(key_code, is_down, modifiers)
    }

    fn state_changed(&self) {
        self.inner.state_changed();
    }

    fn param_value_changed(&self, id: &str, normalized_value: f32) {
        self.inner.param_value_changed(id, normalized_value);
    }

    fn param_modulation_changed(&self, id: &str, modulation_offset: f32) {
        self.inner.param_modulation_changed(id, modulation_offset);
    }
}
