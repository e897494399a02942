//! The editor in a CLAP host on a screen without people (Xvfb): it opens, shows what is played, and can be closed and
//! opened again; without a screen the host lives on. `DRFM_SCREENSHOT` names a PNG file to keep the picture in.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod host;
mod screen;

use std::process::Command;

use clack_extensions::gui::PluginGui;
use host::{Host, amount};
use screen::{CONFIGURATION, Player, Screen, close, count, open};

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
