//! What is done to the window, in egui's words.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use baseview::dpi::LogicalPosition;
use baseview::{DropData, Event, MouseButton, MouseEvent, ScrollDelta, WindowEvent, WindowSize};
use egui::{HoveredFile, MouseWheelSource, MouseWheelUnit, Pos2, RawInput, Rect, TouchPhase};
use keyboard_types::{Code, Key, KeyState, KeyboardEvent, Modifiers};

use super::clipboard::Clipboard;

/// Gathers what is done between two pictures.
pub struct Input {
    raw: RawInput,
    /// Where the mouse is, in points: its buttons come without a place.
    pointer: Option<Pos2>,
    modifiers: egui::Modifiers,
    started: Instant,
    /// What is copied comes from here and goes here.
    pub clipboard: Clipboard,
}

impl Input {
    /// Nothing done yet.
    pub fn new(max_texture_side: usize) -> Self {
        Self {
            raw: RawInput {
                max_texture_side: Some(max_texture_side),
                ..RawInput::default()
            },
            pointer: None,
            modifiers: egui::Modifiers::default(),
            started: Instant::now(),
            clipboard: Clipboard::default(),
        }
    }

    /// What was done since the last picture, for the next one, in a window of a size.
    pub fn take(&mut self, size: WindowSize) -> RawInput {
        let scale = size.scale_factor;
        let points = size.physical.to_logical::<f32>(scale);
        let rect = Rect::from_min_size(Pos2::ZERO, egui::vec2(points.width, points.height));
        let id = self.raw.viewport_id;
        let viewport = self.raw.viewports.entry(id).or_default();
        viewport.native_pixels_per_point = Some(scale as f32);
        viewport.inner_rect = Some(rect);
        self.raw.screen_rect = Some(rect);
        self.raw.time = Some(self.started.elapsed().as_secs_f64());
        self.raw.take()
    }

    /// Takes in an event of a window of a scale; false if there is nothing to show for it.
    pub fn hear(&mut self, event: &Event, scale: f64) -> bool {
        match event {
            Event::Mouse(event) => self.mouse(event, scale),
            Event::Keyboard(event) => {
                self.key(event);
                true
            }
            Event::Window(event @ (WindowEvent::Focused | WindowEvent::Unfocused)) => {
                let focused = matches!(event, WindowEvent::Focused);
                let viewport = self.raw.viewport_id;
                self.raw.viewports.entry(viewport).or_default().focused = Some(focused);
                self.push(egui::Event::WindowFocused(focused));
                true
            }
            _ => false,
        }
    }

    fn push(&mut self, event: egui::Event) {
        self.raw.events.push(event);
    }

    fn mouse(&mut self, event: &MouseEvent, scale: f64) -> bool {
        match event {
            MouseEvent::CursorMoved {
                position,
                modifiers,
            } => {
                self.hold(*modifiers);
                let point: LogicalPosition<f32> = position.to_logical(scale);
                let point = egui::pos2(point.x, point.y);
                self.pointer = Some(point);
                self.push(egui::Event::PointerMoved(point));
            }
            MouseEvent::ButtonPressed { button, modifiers } => {
                self.button(*button, true, *modifiers);
            }
            MouseEvent::ButtonReleased { button, modifiers } => {
                self.button(*button, false, *modifiers);
            }
            MouseEvent::WheelScrolled { delta, modifiers } => {
                self.hold(*modifiers);
                let (unit, delta) = match delta {
                    ScrollDelta::Lines { x, y } => (MouseWheelUnit::Line, egui::vec2(*x, *y)),
                    ScrollDelta::Pixels { x, y } => (MouseWheelUnit::Point, egui::vec2(*x, *y)),
                };
                let modifiers = self.modifiers;
                self.push(egui::Event::MouseWheel {
                    unit,
                    delta,
                    phase: TouchPhase::Move,
                    source: MouseWheelSource::Unknown,
                    modifiers,
                });
            }
            MouseEvent::CursorLeft => {
                self.pointer = None;
                self.push(egui::Event::PointerGone);
            }
            MouseEvent::DragEntered { data, .. } => {
                self.raw.hovered_files = files(data)
                    .map(|path| HoveredFile {
                        path: Some(path.clone()),
                        ..HoveredFile::default()
                    })
                    .collect();
            }
            MouseEvent::DragLeft => self.raw.hovered_files.clear(),
            MouseEvent::DragDropped { data, .. } => {
                self.raw.hovered_files.clear();
                for path in files(data) {
                    self.raw.dropped_files.push(Arc::new(Dropped(path.clone())));
                }
            }
            _ => return false,
        }
        true
    }

    fn button(&mut self, button: MouseButton, pressed: bool, modifiers: Modifiers) {
        self.hold(modifiers);
        let button = match button {
            MouseButton::Left => egui::PointerButton::Primary,
            MouseButton::Right => egui::PointerButton::Secondary,
            MouseButton::Middle => egui::PointerButton::Middle,
            _ => return,
        };
        if let Some(pos) = self.pointer {
            let modifiers = self.modifiers;
            self.push(egui::Event::PointerButton {
                pos,
                button,
                pressed,
                modifiers,
            });
        }
    }

    fn key(&mut self, event: &KeyboardEvent) {
        self.hold(event.modifiers);
        let modifiers = self.modifiers;
        let pressed = event.state == KeyState::Down;
        if let Some(key) = egui::Key::from_name(&event.key.to_string()) {
            self.push(egui::Event::Key {
                key,
                physical_key: None,
                pressed,
                repeat: event.repeat,
                modifiers,
            });
        }
        if !pressed {
            return;
        }
        match clipboard_key(modifiers, event.code) {
            Some(ClipboardKey::Cut) => self.push(egui::Event::Cut),
            Some(ClipboardKey::Copy) => self.push(egui::Event::Copy),
            Some(ClipboardKey::Paste) => {
                // As text, not as egui's paste, which would make one line of several copied paths.
                if let Some(text) = self.clipboard.text() {
                    self.push(egui::Event::Text(text));
                }
            }
            None => {
                // The AltGr key of Windows, which some keyboards write a backslash with, is Ctrl and Alt.
                let writes = modifiers.alt || !(modifiers.ctrl || modifiers.command);
                if writes && let Key::Character(text) = &event.key {
                    self.push(egui::Event::Text(text.clone()));
                }
            }
        }
    }

    /// Follows the keys that are held.
    fn hold(&mut self, modifiers: Modifiers) {
        let mac = cfg!(target_os = "macos");
        let held = egui::Modifiers {
            alt: modifiers.alt(),
            ctrl: modifiers.ctrl(),
            shift: modifiers.shift(),
            mac_cmd: mac && modifiers.meta(),
            command: if mac {
                modifiers.meta()
            } else {
                modifiers.ctrl()
            },
        };
        if self.modifiers != held {
            self.modifiers = held;
            self.push(egui::Event::ModifiersChanged(held));
        }
    }
}

enum ClipboardKey {
    Cut,
    Copy,
    Paste,
}

/// What a key does with the clipboard; Windows has older keys for it too.
fn clipboard_key(held: egui::Modifiers, code: Code) -> Option<ClipboardKey> {
    let windows = cfg!(windows);
    match code {
        Code::KeyX if held.command => Some(ClipboardKey::Cut),
        Code::KeyC if held.command => Some(ClipboardKey::Copy),
        Code::KeyV if held.command => Some(ClipboardKey::Paste),
        Code::Delete if windows && held.shift => Some(ClipboardKey::Cut),
        Code::Insert if windows && held.ctrl => Some(ClipboardKey::Copy),
        Code::Insert if windows && held.shift => Some(ClipboardKey::Paste),
        _ => None,
    }
}

fn files(data: &DropData) -> impl Iterator<Item = &PathBuf> {
    let files = match data {
        DropData::Files(files) => files.as_slice(),
        _ => &[],
    };
    files.iter()
}

/// A file that was dropped, for egui to hand on.
#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        // Whoever reads it looks at its length first.
        Err("dropped files are read by their path".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use baseview::dpi::{PhysicalPosition, PhysicalSize};

    const SIZE: WindowSize = WindowSize {
        physical: PhysicalSize::new(1800, 1200),
        logical: baseview::dpi::LogicalSize::new(900.0, 600.0),
        scale_factor: 2.0,
    };

    fn dragged(names: &[&str]) -> DropData {
        DropData::Files(names.iter().map(PathBuf::from).collect())
    }

    #[test]
    fn files_hover_until_they_leave_and_are_dropped_once() {
        let mut input = Input::new(1024);
        let position = PhysicalPosition::new(10.0, 10.0);
        let modifiers = Modifiers::empty();
        let data = dragged(&["a take.wav", "b.flac"]);
        let entered = MouseEvent::DragEntered {
            position,
            modifiers,
            data: data.clone(),
        };
        let dropped = MouseEvent::DragDropped {
            position,
            modifiers,
            data,
        };
        assert!(input.hear(&Event::Mouse(entered.clone()), 2.0));
        for _ in 0..2 {
            let seen = input.take(SIZE);
            assert_eq!(seen.hovered_files.len(), 2);
            assert!(seen.dropped_files.is_empty());
        }
        assert!(input.hear(&Event::Mouse(MouseEvent::DragLeft), 2.0));
        assert!(input.take(SIZE).hovered_files.is_empty());
        input.hear(&Event::Mouse(entered), 2.0);
        input.hear(&Event::Mouse(dropped), 2.0);
        let seen = input.take(SIZE);
        assert!(seen.hovered_files.is_empty());
        let paths: Vec<_> = seen.dropped_files.iter().map(|f| f.path()).collect();
        assert_eq!(paths, [Path::new("a take.wav"), Path::new("b.flac")]);
        assert!(seen.dropped_files.iter().all(|f| f.bytes().is_err()));
        assert!(input.take(SIZE).dropped_files.is_empty());
    }

    #[test]
    fn places_are_in_points_and_buttons_wait_for_one() {
        let mut input = Input::new(1024);
        let modifiers = Modifiers::empty();
        let press = Event::Mouse(MouseEvent::ButtonPressed {
            button: MouseButton::Left,
            modifiers,
        });
        input.hear(&press, 2.0);
        assert!(input.take(SIZE).events.is_empty());
        let moved = MouseEvent::CursorMoved {
            position: PhysicalPosition::new(100.0, 40.0),
            modifiers,
        };
        input.hear(&Event::Mouse(moved), 2.0);
        input.hear(&press, 2.0);
        let seen = input.take(SIZE);
        let at = egui::pos2(50.0, 20.0);
        assert!(matches!(
            seen.events[..],
            [egui::Event::PointerMoved(a), egui::Event::PointerButton { pos: b, pressed: true, .. }]
                if a == at && b == at
        ));
        assert_eq!(seen.screen_rect.unwrap().size(), egui::vec2(900.0, 600.0));
        assert_eq!(seen.viewport().native_pixels_per_point, Some(2.0));
    }

    #[test]
    fn keys_are_keys_and_text_but_commands_are_no_text() {
        let heard = |key: Key, code: Code, modifiers: Modifiers| {
            let mut input = Input::new(1024);
            let event = KeyboardEvent {
                state: KeyState::Down,
                key,
                code,
                modifiers,
                ..KeyboardEvent::default()
            };
            input.hear(&Event::Keyboard(event), 1.0);
            input.take(SIZE).events
        };
        let small = heard(Key::Character("a".into()), Code::KeyA, Modifiers::empty());
        assert!(matches!(
            &small[..],
            [egui::Event::Key { key: egui::Key::A, pressed: true, .. }, egui::Event::Text(text)] if text == "a"
        ));
        let command = if cfg!(target_os = "macos") {
            Modifiers::META
        } else {
            Modifiers::CONTROL
        };
        let copy = heard(Key::Character("c".into()), Code::KeyC, command);
        assert!(copy.contains(&egui::Event::Copy));
        assert!(!copy.iter().any(|e| matches!(e, egui::Event::Text(_))));
        let alt_gr = Modifiers::CONTROL | Modifiers::ALT;
        let path = heard(Key::Character("\\".into()), Code::Minus, alt_gr);
        assert!(path.contains(&egui::Event::Text("\\".to_owned())));
        let named = keyboard_types::NamedKey::ArrowUp;
        let up = heard(Key::Named(named), Code::ArrowUp, Modifiers::empty());
        assert!(matches!(
            up[..],
            [egui::Event::Key {
                key: egui::Key::ArrowUp,
                ..
            }]
        ));
    }
}
