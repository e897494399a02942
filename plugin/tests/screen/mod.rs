//! A screen without people for tests: an X window that a plugin's window lives in, a musician who plays, and a hand that
//! moves the mouse and types. The hand sends its events to the window itself, so it needs no real pointer and no focus.

#![allow(dead_code, unsafe_code, clippy::unwrap_used)]

pub mod drag;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clack_extensions::gui::{GuiApiType, GuiConfiguration, GuiSize, PluginGui, Window};
use drfm_engine::audio::reader::read_all;
use image::{Rgb, RgbImage};
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ButtonPressEvent, ConfigureWindowAux,
    ConnectionExt as _, CreateWindowAux, EventMask, ImageFormat, KEY_PRESS_EVENT,
    KEY_RELEASE_EVENT, KeyButMask, MOTION_NOTIFY_EVENT, Motion, MotionNotifyEvent,
    Window as WindowId, WindowClass,
};
use x11rb::rust_connection::RustConnection;

use crate::host::Host;

pub const CONFIGURATION: GuiConfiguration<'static> = GuiConfiguration {
    api_type: GuiApiType::X11,
    is_floating: false,
};

/// A noisy guitar in stereo, again and again.
pub struct Player {
    sound: Vec<f32>,
    at: usize,
}

impl Player {
    pub fn new() -> Self {
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/noisy_guitar.flac");
        Self {
            sound: read_all(path, 1 << 24).unwrap().mono(),
            at: 0,
        }
    }

    /// Plays for some seconds, about as fast as a host would.
    pub fn play(&mut self, host: &mut Host, seconds: f64) {
        let started = Instant::now();
        let mut played = 0.0;
        while played < seconds {
            let n = 2400;
            let next: Vec<f32> = (0..n)
                .map(|i| self.sound[(self.at + i) % self.sound.len()])
                .collect();
            self.at += n;
            host.process(&mut [next.clone(), next], &[512], &[]);
            host.serve();
            played += n as f64 / 48_000.0;
            let ahead = played - started.elapsed().as_secs_f64();
            if ahead > 0.0 {
                std::thread::sleep(Duration::from_secs_f64(ahead));
            }
        }
    }
}

pub struct Screen {
    connection: RustConnection,
    root: WindowId,
    parent: WindowId,
    pub size: (u16, u16),
}

impl Screen {
    pub fn open(size: (u16, u16)) -> Self {
        let (connection, number) = x11rb::connect(None).unwrap();
        let screen = &connection.setup().roots[number];
        let (root, depth, visual) = (screen.root, screen.root_depth, screen.root_visual);
        let parent = connection.generate_id().unwrap();
        connection
            .create_window(
                depth,
                parent,
                root,
                0,
                0,
                size.0,
                size.1,
                0,
                WindowClass::INPUT_OUTPUT,
                visual,
                &CreateWindowAux::new(),
            )
            .unwrap();
        connection.map_window(parent).unwrap();
        // The server must know the window before the plugin's own connection uses it.
        connection.get_input_focus().unwrap().reply().unwrap();
        Self {
            connection,
            root,
            parent,
            size,
        }
    }

    pub fn picture(&self) -> RgbImage {
        let (w, h) = self.size;
        let image = self
            .connection
            .get_image(ImageFormat::Z_PIXMAP, self.root, 0, 0, w, h, !0)
            .unwrap()
            .reply()
            .unwrap();
        RgbImage::from_fn(w.into(), h.into(), |x, y| {
            let at = 4 * (y as usize * usize::from(w) + x as usize);
            Rgb([image.data[at + 2], image.data[at + 1], image.data[at]])
        })
    }
}

pub fn open(host: &mut Host, screen: &Screen) {
    let handle = host.instance.plugin_handle();
    let gui: PluginGui = handle.get_extension().unwrap();
    assert!(gui.is_api_supported(&handle, CONFIGURATION));
    gui.create(&handle, CONFIGURATION).unwrap();
    attach(host, screen);
}

/// Makes the editor for a screen of another scale; its size in pixels.
pub fn open_scaled(host: &mut Host, scale: f64) -> (u32, u32) {
    let handle = host.instance.plugin_handle();
    let gui: PluginGui = handle.get_extension().unwrap();
    gui.create(&handle, CONFIGURATION).unwrap();
    gui.set_scale(&handle, scale).unwrap();
    let size = gui.get_size(&handle).unwrap();
    (size.width, size.height)
}

/// Puts an editor that was made into the screen's window.
pub fn attach(host: &mut Host, screen: &Screen) {
    let handle = host.instance.plugin_handle();
    let gui: PluginGui = handle.get_extension().unwrap();
    let window = Window::from_x11_handle(screen.parent.into());
    // SAFETY: the window lives until the editor is closed.
    unsafe { gui.set_parent(&handle, window) }.unwrap();
    let _ = gui.show(&handle);
}

/// Hides the editor, or shows it again.
pub fn show(host: &mut Host, seen: bool) {
    let handle = host.instance.plugin_handle();
    let gui: PluginGui = handle.get_extension().unwrap();
    if seen {
        gui.show(&handle).unwrap();
    } else {
        gui.hide(&handle).unwrap();
    }
}

pub fn close(host: &mut Host) {
    let handle = host.instance.plugin_handle();
    let gui: PluginGui = handle.get_extension().unwrap();
    gui.destroy(&handle);
}

pub fn count(picture: &RgbImage, colour: [u8; 3]) -> usize {
    let near = |a: u8, b: u8| a.abs_diff(b) < 24;
    picture
        .pixels()
        .filter(|p| p.0.iter().zip(colour).all(|(a, b)| near(*a, b)))
        .count()
}

/// X key codes of the layout that a virtual screen starts with.
pub mod keys {
    pub const ESCAPE: u8 = 9;
    pub const TAB: u8 = 23;
    pub const ENTER: u8 = 36;
    pub const CONTROL: u8 = 37;
    pub const SHIFT: u8 = 50;
    pub const SPACE: u8 = 65;
    pub const UP: u8 = 111;
    pub const DOWN: u8 = 116;
}

/// The key of a character, and whether Shift is needed.
fn key_of(c: char) -> (u8, bool) {
    let rows = [
        (10, "1234567890-="),
        (24, "qwertyuiop[]"),
        (38, "asdfghjkl;'"),
        (52, "zxcvbnm,./"),
        (65, " "),
    ];
    let shifted = [('_', '-')];
    let (plain, shift) = match shifted.iter().find(|(s, _)| *s == c) {
        Some((_, plain)) => (*plain, true),
        None => (c.to_ascii_lowercase(), c.is_ascii_uppercase()),
    };
    let key = rows
        .iter()
        .find_map(|(first, row)| row.find(plain).map(|at| first + at as u8));
    (key.unwrap_or_else(|| panic!("no key for {c}")), shift)
}

/// A player at the editor: acts, then plays on for a moment, so that the host hears of it.
pub struct Hand<'a> {
    screen: &'a Screen,
    window: WindowId,
    /// Points per pixel of the places that are named.
    pub scale: f32,
}

impl<'a> Hand<'a> {
    /// At the window that the plugin has put into the screen's.
    pub fn new(screen: &'a Screen) -> Self {
        let tree = screen.connection.query_tree(screen.parent).unwrap();
        Self {
            screen,
            window: tree.reply().unwrap().children[0],
            scale: 1.0,
        }
    }

    fn pixels(&self, at: (i16, i16)) -> (i16, i16) {
        let scale = |x: i16| (f32::from(x) * self.scale) as i16;
        (scale(at.0), scale(at.1))
    }

    fn send(&self, event: impl Into<[u8; 32]>) {
        let connection = &self.screen.connection;
        connection
            .send_event(false, self.window, EventMask::NO_EVENT, event)
            .unwrap();
        connection.flush().unwrap();
    }

    fn button(&self, kind: u8, at: (i16, i16), detail: u8, state: u16) {
        let (x, y) = self.pixels(at);
        let event = ButtonPressEvent {
            response_type: kind,
            detail,
            sequence: 0,
            time: x11rb::CURRENT_TIME,
            root: self.screen.root,
            event: self.window,
            child: x11rb::NONE,
            root_x: x,
            root_y: y,
            event_x: x,
            event_y: y,
            state: KeyButMask::from(state),
            same_screen: true,
        };
        self.send(event);
    }

    pub fn move_to(&self, at: (i16, i16), state: u16) {
        let (x, y) = self.pixels(at);
        let event = MotionNotifyEvent {
            response_type: MOTION_NOTIFY_EVENT,
            detail: Motion::NORMAL,
            sequence: 0,
            time: x11rb::CURRENT_TIME,
            root: self.screen.root,
            event: self.window,
            child: x11rb::NONE,
            root_x: x,
            root_y: y,
            event_x: x,
            event_y: y,
            state: KeyButMask::from(state),
            same_screen: true,
        };
        self.send(event);
        std::thread::sleep(Duration::from_millis(60));
    }

    fn press_and_release(&self, at: (i16, i16)) {
        self.button(BUTTON_PRESS_EVENT, at, 1, 0);
        std::thread::sleep(Duration::from_millis(50));
        self.button(BUTTON_RELEASE_EVENT, at, 1, 1 << 8);
    }

    pub fn click(&self, at: (i16, i16), player: &mut Player, host: &mut Host) {
        self.move_to(at, 0);
        self.press_and_release(at);
        player.play(host, 0.5);
    }

    pub fn double_click(&self, at: (i16, i16), player: &mut Player, host: &mut Host) {
        self.move_to(at, 0);
        self.press_and_release(at);
        std::thread::sleep(Duration::from_millis(50));
        self.press_and_release(at);
        player.play(host, 0.5);
    }

    pub fn drag(&self, from: (i16, i16), to: (i16, i16), player: &mut Player, host: &mut Host) {
        self.move_to(from, 0);
        self.button(BUTTON_PRESS_EVENT, from, 1, 0);
        // A hand stays for a moment: the picture in which the button is down must still show what it is on.
        std::thread::sleep(Duration::from_millis(400));
        for step in 1..=8 {
            let between = |a: i16, b: i16| a + (b - a) * step / 8;
            self.move_to((between(from.0, to.0), between(from.1, to.1)), 1 << 8);
        }
        self.button(BUTTON_RELEASE_EVENT, to, 1, 1 << 8);
        player.play(host, 0.5);
    }

    fn stroke(&self, key: u8, state: u16) {
        for kind in [KEY_PRESS_EVENT, KEY_RELEASE_EVENT] {
            self.button(kind, (0, 0), key, state);
            std::thread::sleep(Duration::from_millis(40));
        }
    }

    /// With another key held, that has this bit in a state.
    fn stroke_holding(&self, held: u8, key: u8, state: u16) {
        // The window follows the keys themselves, not what the server says is held.
        self.button(KEY_PRESS_EVENT, (0, 0), held, 0);
        self.stroke(key, state);
        self.button(KEY_RELEASE_EVENT, (0, 0), held, state);
    }

    /// Presses the keys of characters one after the other, with Control held.
    pub fn commands(&self, characters: &str, player: &mut Player, host: &mut Host) {
        for c in characters.chars() {
            self.stroke_holding(keys::CONTROL, key_of(c).0, 1 << 2);
            player.play(host, 0.1);
        }
    }

    /// Presses keys one after the other.
    pub fn keys(&self, keys: &[u8], player: &mut Player, host: &mut Host) {
        for key in keys {
            self.stroke(*key, 0);
            // What a key changes counts from the host's next block on.
            player.play(host, 0.1);
        }
        player.play(host, 0.3);
    }

    /// Types a text and Enter.
    pub fn type_in(&self, text: &str, player: &mut Player, host: &mut Host) {
        for c in text.chars() {
            let (key, shift) = key_of(c);
            if shift {
                self.stroke_holding(keys::SHIFT, key, 1);
            } else {
                self.stroke(key, 0);
            }
        }
        self.keys(&[keys::ENTER], player, host);
    }
}

impl Screen {
    /// Gives the outer window another size.
    pub fn resize(&mut self, size: (u16, u16)) {
        self.size = size;
        let aux = ConfigureWindowAux::new()
            .width(u32::from(size.0))
            .height(u32::from(size.1));
        self.connection.configure_window(self.parent, &aux).unwrap();
        self.connection.get_input_focus().unwrap().reply().unwrap();
    }
}

/// What the plugin thinks of its size.
pub fn size(host: &mut Host) -> (u32, u32) {
    let handle = host.instance.plugin_handle();
    let gui: PluginGui = handle.get_extension().unwrap();
    let size = gui.get_size(&handle).unwrap();
    (size.width, size.height)
}

/// What the plugin thinks of its size, after it was told one.
pub fn set_size(host: &mut Host, size: (u32, u32)) -> (u32, u32) {
    let handle = host.instance.plugin_handle();
    let gui: PluginGui = handle.get_extension().unwrap();
    let size = GuiSize {
        width: size.0,
        height: size.1,
    };
    let adjusted = gui.adjust_size(&handle, size).unwrap();
    gui.set_size(&handle, adjusted).unwrap();
    (adjusted.width, adjusted.height)
}
