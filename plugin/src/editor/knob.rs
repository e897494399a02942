//! A knob for a float parameter: drag it (with Shift for fine steps), turn the wheel, use the arrow keys, double-click
//! to reset it, click its value to type one.

use egui::{Align2, Color32, Key, Pos2, Response, Sense, Shape, Stroke, Ui, Vec2, vec2};
use nice_plug::prelude::{FloatParam, Param, ParamSetter};

use super::theme;

/// Pixels of dragging for the whole range.
const DRAG_PIXELS: f32 = 220.0;
/// How much slower it is with Shift.
const FINE: f32 = 0.1;
/// Angles of the ends, clockwise from the right, in radians.
const START: f32 = 0.75 * std::f32::consts::PI;
const SWEEP: f32 = 1.5 * std::f32::consts::PI;

/// How a knob looks.
#[derive(Clone, Copy)]
pub struct Knob<'a> {
    /// What stands above it.
    pub label: &'a str,
    /// Diameter in points.
    pub diameter: f32,
    /// Colour of the ring.
    pub colour: Color32,
    /// What it does, for those who wait over it.
    pub help: &'a str,
    /// The ring starts in the middle instead of on the left.
    pub from_middle: bool,
}

impl Knob<'_> {
    /// Draws it and follows the player.
    pub fn show(self, ui: &mut Ui, param: &FloatParam, setter: &ParamSetter<'_>) -> Response {
        ui.vertical_centered(|ui| {
            ui.spacing_mut().item_spacing.y = 3.0;
            ui.colored_label(theme::DIM, self.label);
            let size = Vec2::splat(self.diameter);
            let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
            let id = ui.scope_id().with(("knob", param.name()));
            let response = ui.interact(rect, id, Sense::click_and_drag());
            self.follow(ui, &response, param, setter);
            self.paint(ui, &response, param);
            response.widget_info(|| {
                egui::WidgetInfo::slider(true, f64::from(param.value()), self.label)
            });
            let help = format!("{}\nDouble-click: reset. Shift: fine.", self.help);
            let response = response.on_hover_text(help);
            value_field(ui, param, setter);
            response
        })
        .inner
    }

    fn follow(self, ui: &Ui, response: &Response, param: &FloatParam, setter: &ParamSetter<'_>) {
        if response.drag_started() || response.clicked() {
            response.request_focus();
        }
        if response.double_clicked() {
            set(param, setter, param.default_normalized_value());
            return;
        }
        // Where the drag is, finer than the parameter's steps.
        let place = response.id.with("place");
        let fine = |ui: &Ui| {
            if ui.input(|i| i.modifiers.shift) {
                FINE
            } else {
                1.0
            }
        };
        if response.drag_started() {
            setter.begin_set_parameter(param);
            let now = param.unmodulated_normalized_value();
            ui.data_mut(|d| d.insert_temp(place, now));
        }
        if response.dragged() {
            let delta = response.drag_delta();
            let change = (delta.x - delta.y) / DRAG_PIXELS * fine(ui);
            let value = ui.data(|d| d.get_temp::<f32>(place));
            let value = (value.unwrap_or_default() + change).clamp(0.0, 1.0);
            ui.data_mut(|d| d.insert_temp(place, value));
            setter.set_parameter_normalized(param, value);
        }
        if response.drag_stopped() {
            setter.end_set_parameter(param);
        }
        let mut steps = 0.0;
        if response.hovered() {
            steps += ui.input(|i| i.smooth_scroll_delta().y) / 20.0;
        }
        if response.has_focus() {
            ui.memory_mut(|m| {
                let filter = egui::EventFilter {
                    vertical_arrows: true,
                    horizontal_arrows: true,
                    ..Default::default()
                };
                m.set_focus_lock_filter(response.id, filter);
            });
            let count = |key| ui.input(|i| i.num_presses(key)) as f32;
            steps += count(Key::ArrowUp) + count(Key::ArrowRight);
            steps -= count(Key::ArrowDown) + count(Key::ArrowLeft);
            steps += 10.0 * (count(Key::PageUp) - count(Key::PageDown));
        }
        if steps != 0.0 {
            let now = param.unmodulated_normalized_value();
            set(
                param,
                setter,
                (now + 0.01 * steps * fine(ui)).clamp(0.0, 1.0),
            );
        }
    }

    fn paint(self, ui: &Ui, response: &Response, param: &FloatParam) {
        let painter = ui.painter();
        let rect = response.rect;
        let centre = rect.center();
        let radius = 0.5 * rect.width() - 4.0;
        let width = (0.09 * self.diameter).clamp(3.5, 8.0);
        let value = param.unmodulated_normalized_value();
        let from = if self.from_middle { 0.5 } else { 0.0 };
        let arc = |from: f32, to: f32, colour| {
            let points = 48;
            let points: Vec<Pos2> = (0..=points)
                .map(|i| {
                    let share = from + (to - from) * i as f32 / points as f32;
                    on_circle(centre, radius, share)
                })
                .collect();
            Shape::line(points, Stroke::new(width, colour))
        };
        painter.add(arc(0.0, 1.0, theme::WELL));
        if (value - from).abs() > 1e-3 {
            painter.add(arc(from, value, self.colour));
        }
        let body = radius - 0.9 * width;
        let fill = if response.hovered() || response.dragged() {
            theme::CONTROL_HOVER
        } else {
            theme::CONTROL
        };
        painter.circle_filled(
            centre + vec2(0.0, 2.0),
            body,
            theme::faint(Color32::BLACK, 0.35),
        );
        painter.circle_filled(centre, body, fill);
        painter.circle_stroke(
            centre,
            body,
            Stroke::new(1.0, theme::faint(Color32::WHITE, 0.06)),
        );
        if response.has_focus() {
            let ring = Stroke::new(1.5, theme::faint(self.colour, 0.6));
            painter.circle_stroke(centre, body + 1.0, ring);
        }
        let pointer = [
            on_circle(centre, 0.45 * body, value),
            on_circle(centre, 0.85 * body, value),
        ];
        painter.line_segment(pointer, Stroke::new(0.35 * width + 1.0, theme::TEXT));
    }
}

fn on_circle(centre: Pos2, radius: f32, share: f32) -> Pos2 {
    centre + radius * Vec2::angled(START + SWEEP * share)
}

fn set(param: &FloatParam, setter: &ParamSetter<'_>, normalized: f32) {
    setter.begin_set_parameter(param);
    setter.set_parameter_normalized(param, normalized);
    setter.end_set_parameter(param);
}

/// The value as text; a click turns it into a field to type in.
fn value_field(ui: &mut Ui, param: &FloatParam, setter: &ParamSetter<'_>) {
    let id = ui.scope_id().with(("value", param.name()));
    let text = param.to_string();
    let width = 78.0;
    let edited = ui.data(|d| d.get_temp::<Option<String>>(id)).flatten();
    let (rect, _) = ui.allocate_exact_size(vec2(width, 22.0), Sense::hover());
    let Some(mut edited) = edited else {
        let response = ui
            .interact(rect, id.with("open"), Sense::click())
            .on_hover_text("Click to type a value");
        if response.hovered() || response.has_focus() {
            ui.painter().rect_filled(rect, 4.0, theme::WELL);
        }
        ui.painter().text(
            rect.center(),
            Align2::CENTER_CENTER,
            &text,
            theme::font(14.0),
            theme::TEXT,
        );
        let typed = response.has_focus() && ui.input(|i| i.key_pressed(Key::Enter));
        if response.clicked() || typed {
            ui.data_mut(|d| d.insert_temp(id, Some(String::new())));
        }
        return;
    };
    // Empty, so that what is typed replaces the value; left empty it stays.
    let field = egui::TextEdit::singleline(&mut edited)
        .hint_text(text)
        .align(egui::Align2::CENTER_CENTER)
        .desired_width(width);
    let response = ui.put(rect, field);
    let finished = response.lost_focus();
    if !finished {
        response.request_focus();
    }
    let escaped = ui.input(|i| i.key_pressed(Key::Escape));
    if finished
        && !escaped
        && let Some(value) = param.string_to_normalized_value(&edited)
    {
        set(param, setter, value);
    }
    let next = (!finished).then_some(edited);
    ui.data_mut(|d| d.insert_temp(id, next));
}
