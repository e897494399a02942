//! The editor as a player uses it, on a screen without people (Xvfb): mouse, keyboard, presets, A/B, Learn, training in
//! place, bad files, sizes and scales. `DRFM_PICTURES` names a folder for a picture of each stage.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, clippy::unwrap_used)]

mod host;
mod screen;

use std::path::{Path, PathBuf};

use host::{Host, amount};
use screen::{Hand, Player, Screen, attach, close, count, keys, open, open_scaled, set_size};

/// Places in a window of 900 x 600 points.
mod at {
    pub const AMOUNT: (i16, i16) = (450, 475);
    pub const AMOUNT_VALUE: (i16, i16) = (450, 547);
    pub const A: (i16, i16) = (673, 24);
    pub const B: (i16, i16) = (709, 24);
    pub const BYPASS: (i16, i16) = (840, 24);
    pub const PRESETS: (i16, i16) = (328, 24);
    pub const NEXT_PRESET: (i16, i16) = (455, 24);
    pub const LEARN: (i16, i16) = (289, 528);
    pub const MODEL: (i16, i16) = (182, 428);
    pub const TRAIN_PANEL: (i16, i16) = (662, 532);
}

fn has_display() -> bool {
    let there = std::env::var_os("DISPLAY").is_some();
    if !there {
        println!("skipped: no display (run under xvfb-run)");
    }
    there
}

fn keep(screen: &Screen, name: &str) {
    if let Some(folder) = std::env::var_os("DRFM_PICTURES") {
        let path = PathBuf::from(folder).join(format!("{name}.png"));
        screen.picture().save(path).unwrap();
    }
}

/// An open editor and its player, with presets in a folder of their own.
fn start(screen: &Screen, home: &Path) -> (Host, Player) {
    // SAFETY: tests of this file run one at a time, and nothing else reads the environment now.
    unsafe { std::env::set_var("XDG_DATA_HOME", home) };
    let mut host = Host::new(48_000.0, 2);
    host.set(&[("Model", 0.0), ("Mode", 1.0), ("Amount", amount(40.0))]);
    let mut player = Player::new();
    open(&mut host, screen);
    player.play(&mut host, 1.5);
    (host, player)
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 0.003
}

#[test]
fn mouse_keyboard_and_comparison() {
    if !has_display() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let screen = Screen::open((900, 600));
    let (mut host, mut player) = start(&screen, home.path());
    let (host, player) = (&mut host, &mut player);
    let hand = Hand::new(&screen);
    let default = host.params["Amount"].default;

    // Drag, double-click, exact value.
    hand.drag(at::AMOUNT, (450, 430), player, host);
    let dragged = host.value("Amount");
    assert!(dragged > amount(40.0) + 0.1, "{dragged}");
    hand.double_click(at::AMOUNT, player, host);
    assert!(near(host.value("Amount"), default), "double-click resets");
    hand.click(at::AMOUNT_VALUE, player, host);
    keep(&screen, "typing");
    hand.type_in("12", player, host);
    assert!(near(host.value("Amount"), amount(12.0)), "{}", host.value("Amount"));

    // The keyboard alone: arrows, Tab to the value, Enter opens it; on to the choices, Space takes one.
    hand.click(at::AMOUNT, player, host);
    hand.keys(&[keys::UP, keys::UP, keys::UP], player, host);
    let value = host.value("Amount");
    assert!(near(value, amount(12.0) + 0.03), "arrows: {value}");
    hand.keys(&[keys::TAB, keys::ENTER], player, host);
    keep(&screen, "tabbed");
    hand.type_in("20", player, host);
    assert!(near(host.value("Amount"), amount(20.0)), "{}", host.value("Amount"));
    hand.click(at::AMOUNT, player, host);
    hand.keys(&[keys::TAB, keys::TAB, keys::TAB, keys::SPACE], player, host);
    keep(&screen, "chosen");
    assert_eq!(host.value("Output"), 1.0, "Removed, by keyboard");

    // A and B.
    hand.click(at::B, player, host);
    hand.click(at::AMOUNT_VALUE, player, host);
    hand.type_in("60", player, host);
    assert!(near(host.value("Amount"), amount(60.0)));
    hand.click(at::A, player, host);
    assert!(near(host.value("Amount"), amount(20.0)), "A comes back");
    hand.click(at::B, player, host);
    assert!(near(host.value("Amount"), amount(60.0)), "B comes back");
    hand.click(at::BYPASS, player, host);
    keep(&screen, "bypassed");
    assert_eq!(host.value("Bypass"), 1.0);
    close(host);
}

#[test]
fn presets_and_learning_the_noise() {
    if !has_display() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let screen = Screen::open((900, 600));
    let (mut host, mut player) = start(&screen, home.path());
    let (host, player) = (&mut host, &mut player);
    let hand = Hand::new(&screen);
    hand.click(at::NEXT_PRESET, player, host);
    hand.click(at::PRESETS, player, host);
    keep(&screen, "presets");
    hand.click(at::LEARN, player, host);
    player.play(host, 1.0);
    keep(&screen, "learning");
    hand.click(at::MODEL, player, host);
    keep(&screen, "models");
    hand.keys(&[keys::ESCAPE], player, host);
    hand.click(at::TRAIN_PANEL, player, host);
    keep(&screen, "training");
    close(host);
}

#[test]
fn sizes_and_scales() {
    if !has_display() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut screen = Screen::open((900, 600));
    let (mut host, mut player) = start(&screen, home.path());
    for (name, size) in [("small", (760, 520)), ("large", (1400, 900))] {
        let adjusted = set_size(&mut host, size);
        screen.resize((adjusted.0 as u16, adjusted.1 as u16));
        player.play(&mut host, 1.0);
        keep(&screen, name);
        let output = count(&screen.picture(), [0x3D, 0xD6, 0xB5]);
        println!("{name}: {adjusted:?}, {output}");
        assert!(output > 500, "{name}: {output}");
    }
    close(&mut host);
    drop(host);
    for (name, scale) in [("scale-1.5", 1.5), ("scale-2", 2.0)] {
        let mut host = Host::new(48_000.0, 2);
        let size = open_scaled(&mut host, scale);
        let screen = Screen::open((size.0 as u16, size.1 as u16));
        attach(&mut host, &screen);
        player.play(&mut host, 1.5);
        keep(&screen, name);
        println!("{name}: {size:?}");
        assert_eq!(size, ((900.0 * scale) as u32, (600.0 * scale) as u32));
        let mut hand = Hand::new(&screen);
        hand.scale = scale as f32;
        hand.click(at::BYPASS, &mut player, &mut host);
        assert_eq!(host.value("Bypass"), 1.0, "{name}: the button is where it is seen");
        close(&mut host);
    }
}

#[test]
fn a_closed_editor_costs_nothing() {
    if !has_display() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let screen = Screen::open((900, 600));
    let (mut host, mut player) = start(&screen, home.path());
    let idle = || {
        let (wall, cpu) = (std::time::Instant::now(), cpu_time::ProcessTime::now());
        std::thread::sleep(std::time::Duration::from_secs(2));
        100.0 * cpu.elapsed().as_secs_f64() / wall.elapsed().as_secs_f64()
    };
    let opened = idle();
    close(&mut host);
    player.play(&mut host, 0.3);
    let closed = idle();
    println!("processor of a host that stands still: editor open {opened:.1} %, closed {closed:.1} %");
    assert!(closed < 3.0, "{closed} %");
}
