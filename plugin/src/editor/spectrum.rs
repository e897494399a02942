//! Input, output and noise over frequency, and what is taken away.

use drfm_engine::audio::analyser::{Analyser, axis_hz, axis_position, noise_levels_db};
use drfm_engine::audio::delay::DelayLine;
use egui::{Align2, Color32, Mesh, Pos2, Rect, Sense, Shape, Stroke, Ui, pos2, vec2};

use super::theme;
use crate::shared::Shared;

/// Points of a curve.
const POINTS: usize = 260;
/// Levels shown, in dB.
const TOP_DB: f32 = 0.0;
const BOTTOM_DB: f32 = -120.0;
/// Below this there is nothing to reduce.
const HEARD_DB: f32 = -118.0;
/// Share of the distance to a new reduction that is gone in a frame.
const REDUCTION_SMOOTHING: f32 = 0.25;
/// Frequencies with a line, and those with a name.
const LINES_HZ: [f32; 28] = [
    20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0,
    700.0, 800.0, 900.0, 1e3, 2e3, 3e3, 4e3, 5e3, 6e3, 7e3, 8e3, 9e3, 1e4, 2e4,
];
const NAMES: [(f32, &str); 9] = [
    (50.0, "50"),
    (100.0, "100"),
    (200.0, "200"),
    (500.0, "500"),
    (1e3, "1 kHz"),
    (2e3, "2k"),
    (5e3, "5k"),
    (1e4, "10k"),
    (1.8e4, "18k"),
];

/// What the display knows.
pub struct Spectrum {
    rate_hz: u32,
    latency: usize,
    analysers: Option<(Analyser, Analyser)>,
    /// Brings the input to where the output is.
    delay: DelayLine,
    input: Vec<f32>,
    output: Vec<f32>,
    delayed: Vec<f32>,
    noise_version: usize,
    noise_db: Vec<f32>,
    reduction_db: Vec<f32>,
}

impl Default for Spectrum {
    fn default() -> Self {
        Self {
            rate_hz: 0,
            latency: 0,
            analysers: None,
            delay: DelayLine::new(0),
            input: Vec::new(),
            output: Vec::new(),
            delayed: Vec::new(),
            noise_version: usize::MAX,
            noise_db: Vec::new(),
            reduction_db: vec![0.0; POINTS],
        }
    }
}

impl Spectrum {
    /// Takes in what was played since the last frame. `each` sees the input before it is drawn.
    pub fn follow(&mut self, shared: &Shared, each: impl FnOnce(&[f32], u32)) {
        let Some(setup) = shared.setup() else {
            return;
        };
        let latency = shared.latency_samples() as usize;
        if self.rate_hz != setup.rate_hz || self.latency != latency || self.analysers.is_none() {
            self.rate_hz = setup.rate_hz;
            self.latency = latency;
            self.delay = DelayLine::new(latency);
            let new = || Analyser::new(setup.rate_hz, POINTS);
            self.analysers = Some((new(), new()));
        }
        self.input.clear();
        self.output.clear();
        shared.scope.drain(&mut self.input, &mut self.output);
        each(&self.input, setup.rate_hz);
        self.delayed.clear();
        self.delayed.resize(self.input.len(), 0.0);
        self.delay.process(&self.input, &mut self.delayed);
        if let Some((input, output)) = &mut self.analysers {
            input.push(&self.delayed);
            output.push(&self.output);
            let levels = input.levels_db().iter().zip(output.levels_db());
            for (reduction, (i, o)) in self.reduction_db.iter_mut().zip(levels) {
                let now = if *i > HEARD_DB { (o - i).min(0.0) } else { 0.0 };
                *reduction += REDUCTION_SMOOTHING * (now - *reduction);
            }
        }
        let version = shared.present_board.version();
        if version != self.noise_version {
            self.noise_version = version;
            if let Some(spectrum) = shared
                .present_board
                .read()
                .and_then(|s| s.into_iter().next())
            {
                self.noise_db = noise_levels_db(&spectrum, POINTS);
            }
        }
    }

    /// Mean reduction over the display, in dB.
    #[must_use]
    pub fn mean_reduction_db(&self) -> f32 {
        self.reduction_db.iter().sum::<f32>() / POINTS as f32
    }

    /// Draws it.
    pub fn show(&self, ui: &mut Ui, rect: Rect) {
        let response = ui.interact(rect, ui.scope_id().with("spectrum"), Sense::hover());
        let painter = ui.painter().with_clip_rect(rect);
        painter.rect_filled(rect, 8.0, theme::WELL);
        let plot = Plot { rect };
        plot.grid(&painter);
        if let Some((input, output)) = &self.analysers {
            plot.fill(&painter, input.levels_db(), theme::INPUT, 0.30, 0.05);
            plot.line(
                &painter,
                input.levels_db(),
                Stroke::new(1.0, theme::faint(theme::INPUT, 0.9)),
            );
            plot.fill(&painter, output.levels_db(), theme::OUTPUT, 0.40, 0.06);
            plot.line(
                &painter,
                output.levels_db(),
                Stroke::new(1.8, theme::OUTPUT),
            );
            plot.hang(&painter, &smooth(&self.reduction_db));
        }
        if !self.noise_db.is_empty() {
            plot.line(&painter, &self.noise_db, Stroke::new(1.8, theme::NOISE));
        }
        plot.legend(&painter);
        self.readout(&painter, rect);
        if let Some(at) = response.hover_pos() {
            self.read_off(&painter, &plot, at);
        }
        ui.painter().rect_stroke(
            rect,
            8.0,
            Stroke::new(1.0, theme::LINE),
            egui::StrokeKind::Inside,
        );
    }

    fn readout(&self, painter: &egui::Painter, rect: Rect) {
        let place = Rect::from_min_size(rect.right_top() + vec2(-112.0, 10.0), vec2(102.0, 50.0));
        painter.rect_filled(place, 6.0, theme::faint(theme::PANEL, 0.88));
        let text = format!("\u{2212}{:.0} dB", self.mean_reduction_db().abs());
        painter.text(
            place.center_top() + vec2(0.0, 5.0),
            Align2::CENTER_TOP,
            text,
            theme::font(23.0),
            theme::REDUCTION,
        );
        painter.text(
            place.center_bottom() + vec2(0.0, -4.0),
            Align2::CENTER_BOTTOM,
            "mean reduction",
            theme::font(10.5),
            theme::DIM,
        );
    }

    fn read_off(&self, painter: &egui::Painter, plot: &Plot, at: Pos2) {
        let x = (at.x - plot.rect.min.x) / plot.rect.width();
        let hz = axis_hz(x);
        let point = (x * (POINTS - 1) as f32).round() as usize;
        let faint = Stroke::new(1.0, theme::faint(theme::TEXT, 0.25));
        painter.vline(at.x, plot.rect.y_range(), faint);
        let frequency = if hz < 1000.0 {
            format!("{hz:.0} Hz")
        } else {
            format!("{:.2} kHz", hz / 1000.0)
        };
        let level = |levels: &[f32]| {
            levels
                .get(point)
                .map_or(String::from("-"), |db| format!("{db:.0} dB"))
        };
        let (input, output) = self
            .analysers
            .as_ref()
            .map_or((&[][..], &[][..]), |(i, o)| (i.levels_db(), o.levels_db()));
        let text = format!(
            "{frequency}\nin {}\nout {}\nnoise {}",
            level(input),
            level(output),
            level(&self.noise_db)
        );
        let right = at.x < plot.rect.center().x;
        let (anchor, offset) = if right {
            (Align2::LEFT_TOP, vec2(12.0, 8.0))
        } else {
            (Align2::RIGHT_TOP, vec2(-12.0, 8.0))
        };
        let galley = painter.layout_no_wrap(text, theme::font(12.0), theme::TEXT);
        let place = anchor.anchor_size(at + offset, galley.size());
        painter.rect_filled(place.expand(6.0), 5.0, theme::faint(theme::PANEL, 0.92));
        painter.galley(place.min, galley, theme::TEXT);
    }
}

/// Mean over neighbouring points: single bins of noise come and go.
fn smooth(values: &[f32]) -> Vec<f32> {
    const HALF: usize = 4;
    (0..values.len())
        .map(|i| {
            let from = i.saturating_sub(HALF);
            let near = values.get(from..(i + HALF + 1).min(values.len()));
            let near = near.unwrap_or_default();
            near.iter().sum::<f32>() / near.len().max(1) as f32
        })
        .collect()
}

struct Plot {
    rect: Rect,
}

impl Plot {
    fn x(&self, share: f32) -> f32 {
        self.rect.min.x + share * self.rect.width()
    }

    fn y(&self, db: f32) -> f32 {
        egui::remap_clamp(db, BOTTOM_DB..=TOP_DB, self.rect.y_range().flipped())
    }

    fn points<'a>(&'a self, levels: &'a [f32]) -> impl Iterator<Item = Pos2> + 'a {
        let last = levels.len().saturating_sub(1).max(1) as f32;
        levels
            .iter()
            .enumerate()
            .map(move |(i, db)| pos2(self.x(i as f32 / last), self.y(*db)))
    }

    fn grid(&self, painter: &egui::Painter) {
        for hz in LINES_HZ {
            let x = self.x(axis_position(hz));
            let strong = [100.0, 1e3, 1e4].contains(&hz);
            let opacity = if strong { 0.10 } else { 0.045 };
            let stroke = Stroke::new(1.0, theme::faint(Color32::WHITE, opacity));
            painter.vline(x, self.rect.y_range(), stroke);
        }
        for step in 1..6 {
            let db = TOP_DB - 20.0 * step as f32;
            let y = self.y(db);
            let stroke = Stroke::new(1.0, theme::faint(Color32::WHITE, 0.05));
            painter.hline(self.rect.x_range(), y, stroke);
            painter.text(
                pos2(self.rect.min.x + 6.0, y - 1.0),
                Align2::LEFT_BOTTOM,
                format!("{db:.0}"),
                theme::font(10.0),
                theme::faint(theme::DIM, 0.8),
            );
        }
        for (hz, name) in NAMES {
            painter.text(
                pos2(self.x(axis_position(hz)), self.rect.max.y - 4.0),
                Align2::CENTER_BOTTOM,
                name,
                theme::font(10.0),
                theme::faint(theme::DIM, 0.9),
            );
        }
    }

    fn line(&self, painter: &egui::Painter, levels: &[f32], stroke: Stroke) {
        painter.add(Shape::line(self.points(levels).collect(), stroke));
    }

    /// Fills from a curve down to the bottom, fading out.
    fn fill(&self, painter: &egui::Painter, levels: &[f32], colour: Color32, top: f32, low: f32) {
        let bottom = self.rect.max.y;
        self.strip(painter, levels, |p| {
            (
                (p, theme::faint(colour, top)),
                (pos2(p.x, bottom), theme::faint(colour, low)),
            )
        });
    }

    /// What is taken away hangs from the top.
    fn hang(&self, painter: &egui::Painter, reduction_db: &[f32]) {
        let top = self.rect.min.y;
        self.strip(painter, reduction_db, |p| {
            (
                (pos2(p.x, top), theme::faint(theme::REDUCTION, 0.30)),
                (p, theme::faint(theme::REDUCTION, 0.07)),
            )
        });
        let stroke = Stroke::new(1.2, theme::faint(theme::REDUCTION, 0.7));
        self.line(painter, reduction_db, stroke);
    }

    fn strip(
        &self,
        painter: &egui::Painter,
        levels: &[f32],
        ends: impl Fn(Pos2) -> ((Pos2, Color32), (Pos2, Color32)),
    ) {
        let mut mesh = Mesh::default();
        for (i, p) in self.points(levels).enumerate() {
            let ((a, a_colour), (b, b_colour)) = ends(p);
            mesh.colored_vertex(a, a_colour);
            mesh.colored_vertex(b, b_colour);
            if i > 0 {
                let n = 2 * i as u32;
                mesh.add_triangle(n - 2, n - 1, n);
                mesh.add_triangle(n - 1, n, n + 1);
            }
        }
        painter.add(Shape::mesh(mesh));
    }

    fn legend(&self, painter: &egui::Painter) {
        let place = Rect::from_min_size(self.rect.min + vec2(34.0, 8.0), vec2(272.0, 22.0));
        painter.rect_filled(place, 5.0, theme::faint(theme::PANEL, 0.85));
        let mut at = place.left_center() + vec2(12.0, 0.0);
        for (name, colour) in [
            ("Input", theme::INPUT),
            ("Output", theme::OUTPUT),
            ("Noise", theme::NOISE),
            ("Reduction", theme::REDUCTION),
        ] {
            painter.circle_filled(at, 4.0, colour);
            let text = painter.text(
                at + vec2(9.0, 0.0),
                Align2::LEFT_CENTER,
                name,
                theme::font(11.5),
                theme::DIM,
            );
            at.x = text.max.x + 18.0;
        }
    }
}
