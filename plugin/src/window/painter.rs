//! Puts pictures on the screen with OpenGL.

use std::sync::Arc;

use baseview::gl::GlContext;
use baseview::{WindowContext, WindowSize};
use egui::{Context, FullOutput};
use egui_glow::glow;

/// Why a window cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PaintError {
    /// The window has no OpenGL.
    #[error("the window has no OpenGL")]
    NoOpenGl,
    /// OpenGL is too old or broken.
    #[error("OpenGL does not do: {0}")]
    OpenGl(#[from] egui_glow::PainterError),
    /// The window is gone or will not be drawn on.
    #[error(transparent)]
    Window(#[from] baseview::Error),
}

/// Draws on one window.
pub struct Painter {
    window: WindowContext,
    inner: egui_glow::Painter,
}

impl Painter {
    /// For a window.
    ///
    /// # Errors
    /// If it cannot be drawn on.
    pub fn new(window: &WindowContext) -> Result<Self, PaintError> {
        let current = Current::of(window)?;
        // SAFETY: the context is current, and its loader knows its functions.
        #[allow(unsafe_code)]
        let gl = unsafe {
            glow::Context::from_loader_function_cstr(|name| current.0.get_proc_address(name))
        };
        let inner = egui_glow::Painter::new(Arc::new(gl), "", None, true)?;
        drop(current);
        Ok(Self {
            window: window.clone(),
            inner,
        })
    }

    /// Longest side of a texture.
    pub fn max_texture_side(&self) -> usize {
        self.inner.max_texture_side()
    }

    /// Shows a picture; takes the shapes out of it.
    ///
    /// # Errors
    /// If the window is gone.
    pub fn paint(
        &mut self,
        context: &Context,
        size: WindowSize,
        picture: &mut FullOutput,
    ) -> Result<(), PaintError> {
        let current = Current::of(&self.window)?;
        let pixels = [size.physical.width, size.physical.height];
        let scale = picture.pixels_per_point;
        let shapes = context.tessellate(std::mem::take(&mut picture.shapes), scale);
        self.inner.clear(pixels, [0.0, 0.0, 0.0, 1.0]);
        self.inner
            .paint_and_update_textures(pixels, scale, &shapes, &mut picture.textures_delta);
        current.0.swap_buffers()?;
        Ok(())
    }
}

impl Drop for Painter {
    fn drop(&mut self) {
        // Without a context the textures are gone already.
        if let Ok(_current) = Current::of(&self.window) {
            self.inner.destroy();
        }
    }
}

/// The context of a window, current on this thread for as long as this lives: the host may draw here too.
struct Current(GlContext);

impl Current {
    fn of(window: &WindowContext) -> Result<Self, PaintError> {
        let context = window.gl_context().ok_or(PaintError::NoOpenGl)?;
        // SAFETY: the window lives, and this is its thread; baseview makes no other demand.
        #[allow(unsafe_code)]
        unsafe { context.make_current() }?;
        Ok(Self(context))
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        // SAFETY: as above; a context that is not current any more may be put away again.
        #[allow(unsafe_code)]
        let _ = unsafe { self.0.make_not_current() };
    }
}
