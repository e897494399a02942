//! The editor as a player uses it, on a screen without people (Xvfb): mouse, keyboard, presets, A/B, Learn, training in
//! place, dropped files, bad files, sizes and scales. `DRFM_PICTURES` names a folder for a picture of each stage.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, clippy::unwrap_used)]

mod host;
mod screen;

use std::path::{Path, PathBuf};

use host::{Host, amount};
use screen::drag::Drag;
use screen::{
    Hand, Player, Screen, attach, close, count, keys, open, open_scaled, set_size, show, size,
};

/// The red of what went wrong.
const ALARM: [u8; 3] = [0xF2, 0x5F, 0x5C];

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
    pub const MODEL_PATH: (i16, i16) = (182, 351);
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
    assert!(
        near(host.value("Amount"), amount(12.0)),
        "{}",
        host.value("Amount")
    );

    // What is cut from the field is gone, and comes back from the clipboard.
    hand.click(at::AMOUNT_VALUE, player, host);
    let (three, five) = (12, 14);
    hand.keys(&[three, five], player, host);
    hand.commands("ax", player, host);
    hand.keys(&[keys::ENTER], player, host);
    assert!(near(host.value("Amount"), amount(12.0)), "cut");
    hand.click(at::AMOUNT_VALUE, player, host);
    hand.commands("v", player, host);
    keep(&screen, "pasted");
    hand.keys(&[keys::ENTER], player, host);
    assert!(near(host.value("Amount"), amount(35.0)), "pasted");
    hand.click(at::AMOUNT_VALUE, player, host);
    hand.type_in("12", player, host);

    // The keyboard alone: arrows, Tab to the value, Enter opens it; on to the choices, Space takes one.
    hand.click(at::AMOUNT, player, host);
    hand.keys(&[keys::UP, keys::UP, keys::UP], player, host);
    let value = host.value("Amount");
    assert!(near(value, amount(12.0) + 0.03), "arrows: {value}");
    hand.keys(&[keys::TAB, keys::ENTER], player, host);
    keep(&screen, "tabbed");
    hand.type_in("20", player, host);
    assert!(
        near(host.value("Amount"), amount(20.0)),
        "{}",
        host.value("Amount")
    );
    hand.click(at::AMOUNT, player, host);
    hand.keys(
        &[keys::TAB, keys::TAB, keys::TAB, keys::SPACE],
        player,
        host,
    );
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
    let amount_there = host.value("Amount");
    assert!(!near(amount_there, amount(40.0)), "the first preset is on");
    hand.click(at::PRESETS, player, host);
    hand.click((360, 280), player, host);
    hand.type_in("kitchen", player, host);
    let file = home.path().join("drfm/presets/kitchen.json");
    keep(&screen, "preset-saved");
    assert!(file.is_file(), "saved");
    hand.click(at::AMOUNT_VALUE, player, host);
    hand.type_in("7", player, host);
    hand.click(at::PRESETS, player, host);
    keep(&screen, "presets");
    hand.click((260, 288), player, host);
    assert!(near(host.value("Amount"), amount_there), "chosen again");
    hand.click(at::PRESETS, player, host);
    hand.click((321, 288), player, host);
    keep(&screen, "preset-deleted");
    assert!(!file.exists(), "deleted");
    hand.keys(&[keys::ESCAPE], player, host);

    hand.click(at::LEARN, player, host);
    player.play(host, 1.0);
    keep(&screen, "learning");
    assert_eq!(host.value("Learn"), 1.0);
    player.play(host, 4.0);
    assert_eq!(host.value("Learn"), 0.0, "three seconds are enough");
    assert_eq!(host.value("Noise source"), 1.0, "and used");
    close(host);
}

/// Whether a training is going on in this process.
fn trains() -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
        .any(|name| name.starts_with("drfm-training"))
}

/// Presses Cancel and waits for the end of the training.
fn cancel(hand: &Hand<'_>, player: &mut Player, host: &mut Host) {
    hand.click((275, 440), player, host);
    for _ in 0..60 {
        if trains() {
            player.play(host, 0.5);
        }
    }
}

#[test]
fn model_files_and_training_in_place() {
    if !has_display() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let screen = Screen::open((900, 600));
    let (mut host, mut player) = start(&screen, home.path());
    let (host, player) = (&mut host, &mut player);
    let hand = Hand::new(&screen);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();

    // A file that is no model changes nothing and says so; one that is plays.
    let bad = home.path().join("bad.drfm");
    std::fs::write(&bad, "not a model").unwrap();
    let red = count(&screen.picture(), ALARM);
    let own = host.params["Model"].max;
    for (file, model) in [(&bad, 0.0), (&root.join("engine/models/flute.drfm"), own)] {
        hand.click(at::MODEL, player, host);
        hand.click(at::MODEL_PATH, player, host);
        hand.type_in(file.to_str().unwrap(), player, host);
        player.play(host, 1.0);
        hand.keys(&[keys::ESCAPE], player, host);
        if model == 0.0 {
            keep(&screen, "bad-model");
            let now = count(&screen.picture(), ALARM);
            assert!(now > red + 100, "the sentence is red: {red} {now}");
        }
        assert_eq!(host.value("Model"), model, "{}", file.display());
    }

    // Takes recorded here and from a file, training, and the end of it.
    hand.click(at::TRAIN_PANEL, player, host);
    hand.click((430, 292), player, host);
    player.play(host, 1.5);
    keep(&screen, "recording");
    hand.click((410, 292), player, host);
    hand.click((450, 320), player, host);
    let take = root.join("tests/fixtures/guitar.flac");
    hand.type_in(take.to_str().unwrap(), player, host);
    keep(&screen, "takes");
    hand.click((307, 419), player, host);
    player.play(host, 0.5);
    keep(&screen, "trains");
    assert!(trains(), "Train starts it");
    cancel(&hand, player, host);
    keep(&screen, "cancelled");
    assert!(!trains(), "Cancel ends it");
    close(host);
}

/// Whether the frame that says where hovering files go is seen.
fn covered(screen: &Screen) -> bool {
    // The frame crosses an empty part of the bar here.
    let picture = screen.picture();
    picture.get_pixel(570, 13) != picture.get_pixel(570, 6)
}

#[test]
fn files_are_dropped() {
    if !has_display() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let screen = Screen::open((900, 600));
    let (mut host, mut player) = start(&screen, home.path());
    let (host, player) = (&mut host, &mut player);
    let hand = Hand::new(&screen);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let at = |name: &str| home.path().join(name);
    for (from, to) in [
        ("tests/fixtures/guitar.flac", "a take.flac"),
        ("engine/models/flute.drfm", "my flute.drfm"),
    ] {
        std::fs::copy(root.join(from), at(to)).unwrap();
    }
    std::fs::create_dir(at("more takes")).unwrap();
    std::fs::copy(at("a take.flac"), at("more takes/another.flac")).unwrap();
    std::fs::write(at("notes.txt"), "no sound").unwrap();
    std::fs::write(at("bad.drfm"), "not a model").unwrap();
    let red = count(&screen.picture(), ALARM);
    let alarmed = |screen: &Screen| count(&screen.picture(), ALARM) > red + 100;

    // Files that hover and leave again change nothing.
    let take = at("a take.flac");
    let mut drag = Drag::files(&hand, &[&take]);
    assert!(drag.over((450, 300)) && drag.over((460, 310)), "welcome");
    player.play(host, 0.5);
    keep(&screen, "hovering-take");
    assert!(covered(&screen), "it is said where they go");
    drag.leave();
    player.play(host, 0.5);
    keep(&screen, "hovering-left");
    assert!(!covered(&screen), "and no more when they have left");
    hand.click(at::TRAIN_PANEL, player, host);
    hand.click((307, 398), player, host);
    assert!(!trains(), "there is no take");
    hand.click((642, 198), player, host);

    // What is of no use is said, and changes nothing.
    for (name, welcome) in [("notes.txt", true), ("bad.drfm", true), ("gone.wav", false)] {
        let file = at(name);
        let mut drag = Drag::files(&hand, &[&file]);
        assert_eq!(drag.over((450, 300)), welcome, "{name}");
        player.play(host, 0.5);
        keep(&screen, &format!("hovering-{name}"));
        if welcome {
            assert!(drag.drop(), "{name}");
            player.play(host, 1.0);
            keep(&screen, &format!("dropped-{name}"));
            assert!(alarmed(&screen), "{name}: the sentence is red");
            hand.click((32, 586), player, host);
            assert!(!alarmed(&screen), "{name}: taken back");
        } else {
            drag.leave();
        }
        assert_eq!(host.value("Model"), 0.0, "{name}");
    }
    let mut text = Drag::something(&hand, "text/plain");
    assert!(!text.over((450, 300)), "text is no file");
    text.leave();

    // A model plays.
    let model = at("my flute.drfm");
    let mut drag = Drag::files(&hand, &[&model]);
    assert!(drag.over((100, 50)));
    player.play(host, 0.5);
    keep(&screen, "hovering-model");
    assert!(drag.drop());
    player.play(host, 1.0);
    keep(&screen, "dropped-model");
    assert_eq!(host.value("Model"), host.params["Model"].max);

    // A recording and a folder become takes, in the panel that opens by itself, and are trained on.
    let folder = at("more takes");
    let mut drag = Drag::files(&hand, &[&take, &folder]);
    assert!(drag.over((450, 300)) && drag.drop());
    player.play(host, 1.0);
    keep(&screen, "dropped-takes");
    hand.click((307, 419), player, host);
    player.play(host, 0.5);
    keep(&screen, "dropped-trains");
    assert!(trains(), "there are takes");
    let mut drag = Drag::files(&hand, &[&take]);
    assert!(drag.over((450, 300)) && drag.drop());
    player.play(host, 0.5);
    keep(&screen, "dropped-too-late");
    assert!(alarmed(&screen), "the takes in use stay as they are");
    cancel(&hand, player, host);
    assert!(!trains(), "Cancel ends it");
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
    // The corner; the outer window stays as it is, so the rest of the picture is cut off.
    let hand = Hand::new(&screen);
    hand.drag((893, 593), (990, 680), &mut player, &mut host);
    let (width, height) = size(&mut host);
    println!("by the corner: {width} x {height}");
    assert!(width > 950 && height > 650, "the window follows it");
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
        assert_eq!(
            host.value("Bypass"),
            1.0,
            "{name}: the button is where it is seen"
        );
        close(&mut host);
    }
}

// The window asks for pictures all the time, but must not do so before it is on the screen: baseview on X11 would wait for
// the first one for ever.
#[test]
fn a_host_takes_its_time_and_hides_it() {
    if !has_display() {
        return;
    }
    let mut host = Host::new(48_000.0, 2);
    let mut player = Player::new();
    let size = open_scaled(&mut host, 1.0);
    let screen = Screen::open((size.0 as u16, size.1 as u16));
    player.play(&mut host, 0.5);
    attach(&mut host, &screen);
    for round in ["late", "again"] {
        player.play(&mut host, 1.0);
        keep(&screen, round);
        let first = screen.picture();
        let output = count(&first, [0x3D, 0xD6, 0xB5]);
        assert!(output > 1000, "{round}: {output}");
        player.play(&mut host, 0.5);
        assert!(first != screen.picture(), "{round}: it moves");
        show(&mut host, false);
        player.play(&mut host, 0.3);
        let hidden = screen.picture();
        player.play(&mut host, 0.3);
        assert!(hidden == screen.picture(), "{round}: hidden");
        show(&mut host, true);
    }
    close(&mut host);
}

/// Threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

// The host may unload the plugin's code next, or end itself.
#[test]
fn nothing_of_a_closed_editor_runs() {
    if !has_display() {
        return;
    }
    let screen = Screen::open((900, 600));
    let mut host = Host::new(48_000.0, 2);
    let mut player = Player::new();
    player.play(&mut host, 0.5);
    let before = threads();
    for _ in 0..10 {
        open(&mut host, &screen);
        player.play(&mut host, 0.2);
        assert!(threads() > before, "it has a thread of its own");
        close(&mut host);
        assert_eq!(threads(), before);
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
    println!(
        "processor of a host that stands still: editor open {opened:.1} %, closed {closed:.1} %"
    );
    assert!(closed < 3.0, "{closed} %");
}
