//! What baseview calls when something happens to the window.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use baseview::dpi::LogicalSize;
use baseview::{
    DropData, DropEffect, Event, EventStatus, HandlerError, MouseEvent, TimerHandle, WindowContext,
    WindowHandler, WindowSize,
};
use egui::{Context, CursorIcon, OutputCommand, ViewportCommand, ViewportId};

use super::input::Input;
use super::painter::Painter;
use super::{Content, cursor};

/// Joins window, egui and content.
///
/// Some systems call back while they are being called, so nothing is borrowed during calls to the window, and what is
/// borrowed all the same is passed over.
pub struct Handler<C> {
    window: WindowContext,
    context: Context,
    picture: RefCell<(C, Painter)>,
    input: RefCell<Input>,
    resized: Box<dyn Fn(WindowSize)>,
    cursor: Cell<CursorIcon>,
    /// The window may ask to be drawn. On X11 only when it is on the screen: baseview never draws one that asked before.
    shown: Cell<bool>,
    closing: Arc<AtomicBool>,
    _frames: TimerHandle,
}

impl<C: Content> Handler<C> {
    /// For a window that was just made.
    ///
    /// # Errors
    /// If it cannot be drawn on.
    pub fn new(
        window: WindowContext,
        mut content: C,
        resized: impl Fn(WindowSize) + 'static,
        frame: Duration,
        closing: Arc<AtomicBool>,
    ) -> Result<Self, HandlerError> {
        let painter = Painter::new(&window)?;
        let context = Context::default();
        // The window has the size that the host gives it, and Ctrl and + may be the host's.
        context.options_mut(|options| options.zoom_with_keyboard = false);
        content.start(&context);
        Ok(Self {
            input: RefCell::new(Input::new(painter.max_texture_side())),
            picture: RefCell::new((content, painter)),
            context,
            resized: Box::new(resized),
            cursor: Cell::new(CursorIcon::Default),
            shown: Cell::new(cfg!(not(target_os = "linux"))),
            closing,
            _frames: window.create_timer(frame)?,
            window,
        })
    }

    fn redraw(&self) {
        if self.shown.get() {
            self.window.request_redraw();
        }
    }

    /// Whether the host should not have an event too. Keys are the host's, the space bar first of all, unless
    /// somebody types.
    fn status(&self, event: &Event) -> EventStatus {
        let captured = match event {
            Event::Mouse(
                MouseEvent::DragEntered { data, .. }
                | MouseEvent::DragMoved { data, .. }
                | MouseEvent::DragDropped { data, .. },
            ) => {
                return match data {
                    DropData::Files(_) => EventStatus::AcceptDrop(DropEffect::Copy),
                    _ => EventStatus::Ignored,
                };
            }
            Event::Mouse(_) => self.context.egui_wants_pointer_input(),
            Event::Keyboard(_) => self.context.text_edit_focused(),
            _ => true,
        };
        if captured {
            EventStatus::Captured
        } else {
            EventStatus::Ignored
        }
    }
}

impl<C: Content> WindowHandler for Handler<C> {
    fn draw(&self) -> Result<(), HandlerError> {
        self.shown.set(true);
        let size = self.window.size();
        let Ok(mut picture) = self.picture.try_borrow_mut() else {
            return Ok(());
        };
        let Ok(input) = self.input.try_borrow_mut().map(|mut i| i.take(size)) else {
            return Ok(());
        };
        let (content, painter) = &mut *picture;
        let mut output = self.context.run_ui(input, |ui| content.draw(ui));
        painter.paint(&self.context, size, &mut output)?;
        drop(picture);
        for command in output.platform_output.commands.drain(..) {
            if let OutputCommand::CopyText(text) = command
                && let Ok(mut input) = self.input.try_borrow_mut()
            {
                input.clipboard.put(text);
            }
        }
        let icon = output.platform_output.cursor_icon;
        if self.cursor.replace(icon) != icon {
            let _ = self.window.set_mouse_cursor(cursor::shape(icon));
        }
        let root = output.viewport_output.get(&ViewportId::ROOT);
        for command in root.map_or(&[][..], |root| &root.commands) {
            if let ViewportCommand::InnerSize(size) = command {
                // Where the host does not allow it the window stays as it is.
                let size = LogicalSize::new(f64::from(size.x), f64::from(size.y));
                let _ = self.window.resize(size);
            }
        }
        Ok(())
    }

    fn resized(&self, size: WindowSize) -> Result<(), HandlerError> {
        (self.resized)(size);
        Ok(())
    }

    fn on_event(&self, event: Event) -> EventStatus {
        let pressed = matches!(event, Event::Mouse(MouseEvent::ButtonPressed { .. }));
        if pressed && !self.window.has_focus() {
            // A window inside another is not given the keyboard when it is clicked.
            let _ = self.window.focus();
        }
        let heard = self.input.try_borrow_mut();
        if heard.is_ok_and(|mut input| input.hear(&event, self.window.scale_factor())) {
            self.redraw();
        }
        self.status(&event)
    }

    fn poll(&self) {
        if self.closing.load(Ordering::Acquire) {
            self.window.request_close();
        }
    }

    fn on_timer(&self, _timer: &TimerHandle) {
        self.redraw();
    }
}
