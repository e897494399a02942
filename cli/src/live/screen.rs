//! The screen in the terminal: meters, spectra, numbers, messages and keys, in whatever room there is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use drfm_engine::audio::analyser::noise_levels_db;
use ratatui::DefaultTerminal;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::canvas::{Canvas, Line as Stroke};

use super::listener::{POINTS, View};
use super::quiet::Quiet;
use super::session::{Face, Key};
use super::shared::Shared;
use super::status::{Event, Status, way};
use crate::report;

/// Between two pictures.
const EVERY: Duration = Duration::from_millis(66);
/// Lowest and highest level of meters and spectra in dB.
const METER_DB: (f32, f32) = (-60.0, 0.0);
const SPECTRUM_DB: (f64, f64) = (-110.0, -10.0);
/// Messages kept.
const MESSAGES: usize = 50;

/// Draws on the terminal until it is dropped.
pub struct Screen {
    terminal: DefaultTerminal,
    picture: Picture,
    last: Instant,
    _quiet: Quiet,
    /// What is to be said when the screen is gone.
    farewell: Vec<String>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// If it cannot be drawn on.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminal: ratatui::try_init()?,
            picture: Picture::default(),
            last: Instant::now(),
            _quiet: Quiet::new(),
            farewell: Vec::new(),
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = ratatui::try_restore();
        for line in &self.farewell {
            let _ = report::print(&format!("{line}\n"));
        }
    }
}

impl Face for Screen {
    fn event(&mut self, event: &Event) {
        if matches!(
            event,
            Event::Stopped(_) | Event::RecordingEnded(_) | Event::Recorded(_) | Event::Gap(..)
        ) {
            self.farewell.push(event.line());
        }
        if !matches!(event, Event::Started(_)) {
            self.picture.say(event.line(), event.is_trouble());
        }
    }

    fn show(&mut self, status: &Status, view: &View, shared: &Shared) {
        if self.last.elapsed() < EVERY {
            return;
        }
        self.last = Instant::now();
        let noise = shared.present.read();
        let noise = noise.as_ref().and_then(|n| n.first());
        self.picture.noise_db = noise
            .map(|n| noise_levels_db(n, POINTS))
            .unwrap_or_default();
        let picture = &self.picture;
        // A terminal that has gone away is no reason to stop the sound.
        let _ = self
            .terminal
            .draw(|frame| picture.draw(frame, status, view));
    }

    fn keys(&mut self) -> Vec<Key> {
        let mut keys = Vec::new();
        while matches!(event::poll(Duration::ZERO), Ok(true)) {
            let Ok(event::Event::Key(key)) = event::read() else {
                continue;
            };
            keys.extend(meaning(key));
        }
        keys
    }
}

/// What a key on the keyboard asks for.
#[must_use]
pub fn meaning(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Key::Quit);
    }
    Some(match key.code {
        KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
        KeyCode::Char('b') => Key::Bypass,
        KeyCode::Char('r') => Key::Residual,
        KeyCode::Char('l') => Key::Learn,
        KeyCode::Char('f') => Key::Forget,
        KeyCode::Char('m') => Key::Mode,
        KeyCode::Char('n') => Key::Model,
        KeyCode::Char('c') => Key::Record,
        KeyCode::Char('+' | '=') | KeyCode::Up => Key::Amount(2),
        KeyCode::Char('-') | KeyCode::Down => Key::Amount(-2),
        _ => return None,
    })
}

/// What is drawn beside status and view.
#[derive(Default)]
struct Picture {
    noise_db: Vec<f32>,
    messages: VecDeque<(String, bool)>,
}

impl Picture {
    fn say(&mut self, text: String, trouble: bool) {
        self.messages.push_back((text, trouble));
        if self.messages.len() > MESSAGES {
            self.messages.pop_front();
        }
    }

    fn draw(&self, frame: &mut Frame, status: &Status, view: &View) {
        let area = frame.area();
        if area.height < 12 || area.width < 50 {
            self.draw_small(frame, area, status);
            return;
        }
        let meters = if status.plan.channels > 1 { 4 } else { 2 };
        let messages = if area.height >= 20 { 3 } else { 1 };
        let [title, metered, spectrum, scale, numbers, said, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(meters),
            Constraint::Min(3),
            Constraint::Length(1),
            Constraint::Length(3),
            Constraint::Length(messages),
            Constraint::Length(1),
        ])
        .areas(area);
        frame.render_widget(self.title(status), title);
        draw_meters(frame, metered, status);
        self.draw_spectrum(frame, spectrum, view);
        draw_scale(frame, scale);
        let lines = number_lines(status);
        for (line, row) in lines.into_iter().zip(numbers.rows()) {
            frame.render_widget(line, row);
        }
        self.draw_messages(frame, said);
        frame.render_widget(key_line(area.width), keys);
    }

    /// The most important lines, as many as there are rows.
    fn draw_small(&self, frame: &mut Frame, area: Rect, status: &Status) {
        let top = |x: [f32; 2]| x[0].max(x[1]).max(-99.0);
        let mut lines = Vec::new();
        if let Some(away) = status.away_seconds {
            lines.push(Line::styled(
                format!("no card for {away:.0} s"),
                Style::new().fg(Color::Red),
            ));
        }
        lines.push(Line::from(format!(
            "in{:4.0} out{:4.0} dB",
            top(status.input_db),
            top(status.output_db)
        )));
        lines.push(Line::from(format!(
            "{} {}{}",
            status.mode.name(),
            status.output_name(),
            if status.recording.is_some() {
                " REC"
            } else {
                ""
            }
        )));
        lines.push(Line::from(format!(
            "{} {:.0}% gaps {}",
            latency_words(status),
            100.0 * status.cpu,
            status.underruns
        )));
        if let Some((text, trouble)) = self.messages.back() {
            lines.push(message_line(text, *trouble));
        }
        lines.push(Line::styled(
            "q b r l m n c + -",
            Style::new().fg(Color::DarkGray),
        ));
        for (line, row) in lines.into_iter().zip(area.rows()) {
            frame.render_widget(line, row);
        }
    }

    fn title(&self, status: &Status) -> Line<'static> {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let mut spans = vec![Span::styled("DRFM live  ", bold)];
        spans.push(match status.away_seconds {
            None => Span::raw(way(&status.plan)),
            Some(away) => Span::styled(
                format!("waiting for the sound card for {away:.0} s"),
                Style::new().fg(Color::Red),
            ),
        });
        Line::from(spans)
    }

    fn draw_spectrum(&self, frame: &mut Frame, area: Rect, view: &View) {
        let curves = [
            (&view.input_db, Color::DarkGray),
            (&self.noise_db, Color::Yellow),
            (&view.output_db, Color::Green),
        ];
        let canvas = Canvas::default()
            .marker(Marker::Braille)
            .x_bounds([0.0, 1.0])
            .y_bounds([SPECTRUM_DB.0, SPECTRUM_DB.1])
            .paint(|context| {
                for (levels, color) in curves {
                    let last = levels.len().saturating_sub(1).max(1) as f64;
                    let at = |i: usize, db: f32| {
                        (
                            i as f64 / last,
                            f64::from(db).clamp(SPECTRUM_DB.0, SPECTRUM_DB.1),
                        )
                    };
                    for (i, pair) in levels.windows(2).enumerate() {
                        let ((x1, y1), (x2, y2)) = (at(i, pair[0]), at(i + 1, pair[1]));
                        if y1 > SPECTRUM_DB.0 || y2 > SPECTRUM_DB.0 {
                            context.draw(&Stroke::new(x1, y1, x2, y2, color));
                        }
                    }
                    context.layer();
                }
            });
        frame.render_widget(canvas, area);
    }

    fn draw_messages(&self, frame: &mut Frame, area: Rect) {
        let rows = area.rows().collect::<Vec<_>>();
        let from = self.messages.len().saturating_sub(rows.len());
        for ((text, trouble), row) in self.messages.iter().skip(from).zip(rows) {
            frame.render_widget(message_line(text, *trouble), row);
        }
    }
}

fn message_line(text: &str, trouble: bool) -> Line<'static> {
    let color = if trouble { Color::Red } else { Color::Cyan };
    Line::styled(text.to_owned(), Style::new().fg(color))
}

fn latency_words(status: &Status) -> String {
    status.total_ms.map_or_else(
        || format!("{:.1}ms+card", status.engine_ms),
        |x| format!("{x:.1}ms"),
    )
}

fn draw_meters(frame: &mut Frame, area: Rect, status: &Status) {
    let sides: &[&str] = if status.plan.channels > 1 {
        &["L", "R"]
    } else {
        &[" "]
    };
    let both = [("in ", status.input_db), ("out", status.output_db)];
    let meters = both.iter().flat_map(|(name, levels)| {
        sides
            .iter()
            .zip(levels)
            .map(move |(s, db)| (*name, *s, *db))
    });
    for ((name, side, db), row) in meters.zip(area.rows()) {
        let room = usize::from(row.width.saturating_sub(18));
        let share = ((db - METER_DB.0) / (METER_DB.1 - METER_DB.0)).clamp(0.0, 1.0);
        let full = (share * room as f32).round() as usize;
        let color = if db >= -0.1 {
            Color::Red
        } else if db > -9.0 {
            Color::Yellow
        } else {
            Color::Green
        };
        frame.render_widget(
            Line::from(vec![
                Span::raw(format!("{name} {side} ")),
                Span::styled("█".repeat(full), Style::new().fg(color)),
                Span::styled("░".repeat(room - full), Style::new().fg(Color::DarkGray)),
                Span::raw(format!(" {:6.1} dB", db.max(-99.0))),
            ]),
            row,
        );
    }
}

fn draw_scale(frame: &mut Frame, area: Rect) {
    use drfm_engine::audio::analyser::axis_position;
    let width = usize::from(area.width);
    let mut text = vec![' '; width];
    for (hz, label) in [(100.0, "100"), (1000.0, "1k"), (10_000.0, "10k Hz")] {
        let at = (axis_position(hz) * width as f32) as usize;
        for (i, c) in label.chars().enumerate() {
            if let Some(place) = text.get_mut(at + i) {
                *place = c;
            }
        }
    }
    let dim = Style::new().fg(Color::DarkGray);
    let legend = |text: &'static str, color| Span::styled(text, Style::new().fg(color));
    frame.render_widget(
        Line::styled(text.into_iter().collect::<String>(), dim),
        area,
    );
    let legend = Line::from(vec![
        legend("in ", Color::DarkGray),
        legend("noise ", Color::Yellow),
        legend("out", Color::Green),
    ]);
    let room = Rect {
        width: area.width.min(12),
        ..area
    };
    frame.render_widget(legend, room);
}

fn number_lines(status: &Status) -> [Line<'static>; 3] {
    let strong = Style::new().add_modifier(Modifier::BOLD);
    let latency = status.total_ms.map_or_else(
        || format!("{:.1} ms + sound card", status.engine_ms),
        |x| format!("{x:.1} ms (denoiser {:.1})", status.engine_ms),
    );
    let first = Line::from(vec![
        Span::raw("reduced "),
        Span::styled(format!("{:.1} dB", status.reduction_db), strong),
        Span::raw("  latency "),
        Span::styled(latency, strong),
        Span::raw("  cpu "),
        Span::styled(format!("{:.0} %", 100.0 * status.cpu), strong),
        Span::raw(format!(
            "  buffer {}/{}",
            status.buffer_frames.0, status.buffer_frames.1
        )),
    ]);
    let bad = |n: u64| {
        if n > 0 {
            Style::new().fg(Color::Red)
        } else {
            Style::new()
        }
    };
    let mut second = Vec::new();
    for (name, n) in [
        ("gaps ", status.underruns),
        ("  dropped ", status.drops),
        ("  late ", status.late),
        ("  xruns ", status.xruns),
        ("  clipped ", status.clipped),
    ] {
        second.push(Span::raw(name));
        second.push(Span::styled(n.to_string(), bad(n)));
    }
    if !status.plan.one_clock && status.plan.output.is_some() {
        second.push(Span::raw(format!("  drift {:.0} ppm", status.drift_ppm)));
    }
    let heard = match status.output_name() {
        "cleaned" => Style::new().fg(Color::Green),
        _ => Style::new().fg(Color::Black).bg(Color::Yellow),
    };
    let mut third = vec![
        Span::styled(status.output_name(), heard),
        Span::raw(format!(
            "  model {}  mode {}  amount {}  noise {}",
            status.model,
            status.mode.name(),
            status.amount(),
            status.noise_words()
        )),
    ];
    if let Some((_, seconds)) = &status.recording {
        third.push(Span::styled(
            format!("  REC {}", report::duration(*seconds)),
            Style::new().fg(Color::Red),
        ));
    }
    [first, Line::from(second), Line::from(third)]
}

fn key_line(width: u16) -> Line<'static> {
    let text = if width >= 78 {
        "b bypass r residual l learn f forget +/- amount m mode n model c record q quit"
    } else {
        "b r l f + - m n c, q quit"
    };
    Line::styled(text, Style::new().fg(Color::DarkGray))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::live::host::{End, Plan};
    use crate::live::shared::Noise;
    use drfm_engine::audio::denoiser::Output;
    use drfm_engine::audio::model::Mode;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn status() -> Status {
        let end = End {
            id: "jack:input".into(),
            name: "JACK Input".into(),
            rate_hz: 48_000,
            channels: 2,
            is_built_in: false,
        };
        Status {
            seconds: 12.0,
            away_seconds: None,
            plan: Plan {
                host: "JACK".into(),
                input: end.clone(),
                output: Some(end),
                one_clock: true,
                channels: 2,
            },
            buffer_frames: (256, 256),
            input_db: [-12.3, -14.0],
            output_db: [-13.0, -15.0],
            reduction_db: 7.5,
            cpu: 0.11,
            load: 0.08,
            engine_ms: 10.67,
            total_ms: Some(21.3),
            underruns: 0,
            silent_frames: 0,
            drops: 0,
            dropped_frames: 0,
            late: 3,
            xruns: 0,
            clipped: 0,
            unrecorded_frames: 0,
            waiting_frames: 256,
            drift_ppm: 0.0,
            noise: Noise::Tracked,
            learn_seconds: 0.0,
            amount_db: 100.0,
            output: Output::Denoised,
            mode: Mode::Live,
            model: "guitar".into(),
            recording: Some(("a.wav".into(), 3.0)),
        }
    }

    fn drawn(width: u16, height: u16, status: &Status) -> String {
        let mut picture = Picture {
            noise_db: vec![-80.0; POINTS],
            ..Picture::default()
        };
        picture.say("JACK went away".into(), true);
        let view = View {
            input_db: (0..POINTS).map(|i| -40.0 - i as f32 * 0.3).collect(),
            output_db: (0..POINTS).map(|i| -50.0 - i as f32 * 0.3).collect(),
            recording: None,
        };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal
            .draw(|frame| picture.draw(frame, status, &view))
            .unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn everything_is_on_a_usual_screen() {
        let text = drawn(80, 24, &status());
        for part in [
            "JACK Input",
            "in  L",
            "out R",
            "-12.3 dB",
            "reduced 7.5 dB",
            "21.3 ms",
            "denoiser 10.7",
            "cpu 11 %",
            "late 3",
            "guitar",
            "mode live",
            "amount full",
            "tracked",
            "REC 0:03.0",
            "JACK went away",
            "q quit",
            "1k",
        ] {
            assert!(text.contains(part), "{part:?} is missing:\n{text}");
        }
    }

    #[test]
    fn small_and_tiny_screens_hold_what_matters() {
        let mut status = status();
        let text = drawn(20, 5, &status);
        for part in [
            "in -12 out -13 dB",
            "live cleaned REC",
            "21.3ms 11% gaps 0",
            "q b r",
        ] {
            assert!(text.contains(part), "{part:?} is missing:\n{text}");
        }
        status.away_seconds = Some(3.0);
        assert!(drawn(20, 5, &status).contains("no card for 3 s"));
        for (width, height) in [(1, 1), (50, 12), (49, 40), (300, 100), (80, 1)] {
            drawn(width, height, &status);
        }
    }

    #[test]
    fn keys_have_their_meanings() {
        let key = |c| meaning(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE));
        assert_eq!(key('b'), Some(Key::Bypass));
        assert_eq!(key('c'), Some(Key::Record));
        assert_eq!(key('-'), Some(Key::Amount(-2)));
        assert_eq!(key('z'), None);
        let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(meaning(control), Some(Key::Quit));
    }
}
