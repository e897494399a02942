//! What is in the window.

use std::sync::Arc;
use std::time::Instant;

use egui::{Rect, Sense, Stroke, Ui, pos2, vec2};
use nice_plug::context::gui::GuiContext;

use super::bar::Bar;
use super::controls::Controls;
use super::drops::{self, Drops};
use super::learn::LearnPanel;
use super::meter::Meter;
use super::model_menu::Wish;
use super::spectrum::Spectrum;
use super::{status, theme};
use crate::params::DrfmParams;
use crate::shared::Shared;
use crate::state::WINDOW_LIMITS;
use crate::window::Content;

/// Heights in points.
const BAR: f32 = 48.0;
const CONTROLS: f32 = 184.0;
const STATUS: f32 = 28.0;
/// Gap between things, and width of a meter, in points.
const GAP: f32 = 10.0;
const METER: f32 = 30.0;

/// The window's content.
pub struct App {
    shared: Arc<Shared>,
    params: Arc<DrfmParams>,
    host: GuiContext,
    bar: Bar,
    controls: Controls,
    learn: LearnPanel,
    spectrum: Spectrum,
    input: Meter,
    output: Meter,
    drops: Drops,
    last: Instant,
}

impl App {
    /// Nothing shown yet.
    #[must_use]
    pub fn new(shared: &Arc<Shared>, params: &Arc<DrfmParams>, host: GuiContext) -> Self {
        Self {
            shared: Arc::clone(shared),
            params: Arc::clone(params),
            host,
            bar: Bar::default(),
            controls: Controls::default(),
            learn: LearnPanel::default(),
            spectrum: Spectrum::default(),
            input: Meter::default(),
            output: Meter::default(),
            drops: Drops::default(),
            last: Instant::now(),
        }
    }

    fn follow(&mut self) {
        let seconds = self.last.elapsed().as_secs_f32();
        self.last = Instant::now();
        self.input.hear(self.shared.meters.input.take(), seconds);
        self.output.hear(self.shared.meters.output.take(), seconds);
        let learn = &mut self.learn;
        self.spectrum.follow(&self.shared, |samples, rate_hz| {
            learn.hear(samples, rate_hz)
        });
    }

    /// Takes in what was dropped onto the window.
    fn receive(&mut self, ui: &Ui) {
        let dropped = drops::dropped(ui);
        if dropped.is_empty() {
            return;
        }
        let shared = &self.shared;
        let sorted = drops::sort(dropped);
        if !sorted.takes.is_empty() {
            self.learn.open = true;
            drops::add_takes(shared, sorted.takes);
        }
        if let Some(model) = sorted.model {
            self.controls.load_model(shared, model);
        }
        if let Some(text) = sorted.complaint {
            shared.complain_text(text);
        }
    }
}

/// A corner to drag, for hosts whose windows have no edges.
fn resize_corner(ui: &Ui, whole: Rect) {
    let rect = Rect::from_min_max(whole.max - vec2(18.0, 18.0), whole.max);
    let response = ui
        .interact(rect, ui.scope_id().with("corner"), Sense::drag())
        .on_hover_cursor(egui::CursorIcon::ResizeNwSe);
    let colour = if response.hovered() || response.dragged() {
        theme::TEXT
    } else {
        theme::DIM
    };
    for reach in [5.0, 9.0, 13.0] {
        let ends = [
            rect.max - vec2(reach + 2.0, 3.0),
            rect.max - vec2(3.0, reach + 2.0),
        ];
        ui.painter().line_segment(ends, Stroke::new(1.0, colour));
    }
    if response.dragged()
        && let Some(at) = response.interact_pointer_pos()
    {
        let ((w0, h0), (w1, h1)) = WINDOW_LIMITS;
        let size = (at - whole.min)
            .max(vec2(w0 as f32, h0 as f32))
            .min(vec2(w1 as f32, h1 as f32));
        ui.send_viewport_cmd(egui::ViewportCommand::InnerSize(size));
    }
}

impl Content for App {
    fn start(&mut self, context: &egui::Context) {
        theme::apply(context);
    }

    fn draw(&mut self, ui: &mut Ui) {
        self.follow();
        let host = self.host.clone();
        let setter = host.param_setter();
        let whole = ui.ctx().content_rect();
        ui.painter().rect_filled(whole, 0.0, theme::BACKGROUND);
        let (shared, params) = (Arc::clone(&self.shared), Arc::clone(&self.params));
        let bar = Rect::from_min_size(whole.min, vec2(whole.width(), BAR));
        let status = Rect::from_min_max(pos2(whole.min.x, whole.max.y - STATUS), whole.max);
        let controls = Rect::from_min_max(
            pos2(whole.min.x + GAP, status.min.y - CONTROLS),
            pos2(whole.max.x - GAP, status.min.y),
        );
        let middle = Rect::from_min_max(
            pos2(whole.min.x + GAP, bar.max.y + GAP),
            pos2(whole.max.x - GAP, controls.min.y - GAP),
        );
        let meter =
            |left: f32| Rect::from_min_size(pos2(left, middle.min.y), vec2(METER, middle.height()));
        let channels = shared.setup().map_or(2, |s| s.channels);
        self.input.show(ui, meter(middle.min.x), "In", channels);
        self.output
            .show(ui, meter(middle.max.x - METER), "Out", channels);
        let display = middle.shrink2(vec2(METER + GAP, 0.0));
        self.spectrum.show(ui, display);
        self.receive(ui);
        let wish = self.controls.show(ui, controls, &shared, &params, &setter);
        if wish == Wish::Train {
            self.learn.open = true;
        }
        status::show(ui, status, &shared, &params);
        resize_corner(ui, whole);
        self.bar.show(ui, bar, &shared, &params, &setter);
        self.learn.show(ui, &shared, &params, &setter);
        self.drops.show(ui, whole);
    }
}
