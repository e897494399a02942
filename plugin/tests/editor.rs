//! The editor in a CLAP host on a screen without people (Xvfb): it opens, shows what is played, and can be closed and
//! opened again; without a screen the host lives on. `DRFM_SCREENSHOT` names a PNG file to keep the picture in.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, clippy::unwrap_used)]

mod host;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use clack_extensions::gui::{GuiApiType, GuiConfiguration, PluginGui, Window};
use drfm_engine::audio::reader::read_all;
use host::{Host, amount};
use image::{Rgb, RgbImage};
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    ConnectionExt as _, CreateWindowAux, ImageFormat, Window as WindowId, WindowClass,
};
use x11rb::rust_connection::RustConnection;

const CONFIGURATION: GuiConfiguration<'static> = GuiConfiguration {
    api_type: GuiApiType::X11,
    is_floating: false,
};

/// A noisy guitar in stereo, again and again.
struct Player {
    sound: Vec<f32>,
    at: usize,
}

impl Player {
    fn new() -> Self {
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/noisy_guitar.flac");
        Self {
            sound: read_all(path, 1 << 24).unwrap().mono(),
            at: 0,
        }
    }

    /// Plays for some seconds, about as fast as a host would.
    fn play(&mut self, host: &mut Host, seconds: f64) {
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

struct Screen {
    connection: RustConnection,
    root: WindowId,
    parent: WindowId,
    size: (u16, u16),
}

impl Screen {
    fn open(size: (u16, u16)) -> Self {
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

    fn picture(&self) -> RgbImage {
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

fn open(host: &mut Host, screen: &Screen) {
    let handle = host.instance.plugin_handle();
    let gui: PluginGui = handle.get_extension().unwrap();
    assert!(gui.is_api_supported(&handle, CONFIGURATION));
    gui.create(&handle, CONFIGURATION).unwrap();
    let window = Window::from_x11_handle(screen.parent.into());
    // SAFETY: the window lives until the editor is closed.
    unsafe { gui.set_parent(&handle, window) }.unwrap();
    let _ = gui.show(&handle);
}

fn close(host: &mut Host) {
    let handle = host.instance.plugin_handle();
    let gui: PluginGui = handle.get_extension().unwrap();
    gui.destroy(&handle);
}

fn count(picture: &RgbImage, colour: [u8; 3]) -> usize {
    let near = |a: u8, b: u8| a.abs_diff(b) < 24;
    picture
        .pixels()
        .filter(|p| p.0.iter().zip(colour).all(|(a, b)| near(*a, b)))
        .count()
}

#[test]
fn it_shows_what_is_played_and_opens_twice() {
    if std::env::var_os("DISPLAY").is_none() {
        println!("skipped: no display (run under xvfb-run)");
        return;
    }
    let mut host = Host::new(48_000.0, 2);
    host.set(&[("Model", 0.0), ("Mode", 1.0), ("Amount", amount(40.0))]);
    let mut player = Player::new();
    player.play(&mut host, 0.5);
    let handle = host.instance.plugin_handle();
    let gui: PluginGui = handle.get_extension().unwrap();
    if gui.create(&handle, CONFIGURATION).is_err() {
        println!("skipped: no OpenGL on this display");
        return;
    }
    let size = gui.get_size(&handle).unwrap();
    assert!(gui.can_resize(&handle));
    gui.destroy(&handle);
    let screen = Screen::open((size.width as u16, size.height as u16));
    for round in 0..2 {
        open(&mut host, &screen);
        player.play(&mut host, 4.0);
        let picture = screen.picture();
        let output = count(&picture, [0x3D, 0xD6, 0xB5]);
        let noise = count(&picture, [0xF2, 0xA6, 0x3B]);
        if round == 1
            && let Some(path) = std::env::var_os("DRFM_SCREENSHOT")
        {
            picture.save(path).unwrap();
        }
        assert!(
            output > 1000 && noise > 300,
            "round {round}: {output} {noise}"
        );
        close(&mut host);
        player.play(&mut host, 0.2);
    }
    // Closed for good; the host goes on.
    player.play(&mut host, 0.2);
}

#[test]
fn without_a_display_the_host_lives_on() {
    let inner = "DRFM_TEST_WITHOUT_DISPLAY";
    if std::env::var_os(inner).is_none() {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "without_a_display_the_host_lives_on"])
            .env(inner, "1")
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let mut host = Host::new(48_000.0, 2);
    let handle = host.instance.plugin_handle();
    let gui: PluginGui = handle.get_extension().unwrap();
    assert!(gui.create(&handle, CONFIGURATION).is_err());
    Player::new().play(&mut host, 0.1);
    host.save();
}
