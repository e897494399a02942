//! A row of choices of which one is on.

use egui::{Align2, Color32, CornerRadius, Rect, Sense, Stroke, StrokeKind, Ui, vec2};
use nice_plug::prelude::{BoolParam, Enum, EnumParam, Param, ParamSetter};

use super::theme;
use crate::presets::set;

/// Height of a row in points.
pub const HEIGHT: f32 = 30.0;

/// A choice: its value, what stands on it, and what it does.
pub type Choice<'a, T> = (T, &'a str, &'a str);

/// The choices of an enum parameter.
pub fn segments<T: Enum + PartialEq + Copy + 'static>(
    ui: &mut Ui,
    param: &EnumParam<T>,
    setter: &ParamSetter<'_>,
    choices: &[Choice<'_, T>],
    colour: Color32,
) {
    let texts: Vec<(&str, &str)> = choices.iter().map(|(_, l, h)| (*l, *h)).collect();
    let on = choices.iter().position(|(v, _, _)| *v == param.value());
    if let Some((value, _, _)) =
        row(ui, param.name(), &texts, on, colour).and_then(|i| choices.get(i))
    {
        set(param, setter, *value);
    }
}

/// A switch with a text for each side, off first.
pub fn switch(
    ui: &mut Ui,
    param: &BoolParam,
    setter: &ParamSetter<'_>,
    sides: [(&str, &str); 2],
    colour: Color32,
) {
    let on = usize::from(param.value());
    if let Some(i) = row(ui, param.name(), &sides, Some(on), colour) {
        set(param, setter, i == 1);
    }
}

/// Draws a row; returns the choice that was clicked and is not on.
fn row(
    ui: &mut Ui,
    name: &str,
    texts: &[(&str, &str)],
    on: Option<usize>,
    colour: Color32,
) -> Option<usize> {
    let width = ui.available_width();
    let (rect, _) = ui.allocate_exact_size(vec2(width, HEIGHT), Sense::hover());
    ui.painter().rect_filled(rect, 6.0, theme::WELL);
    let each = width / texts.len().max(1) as f32;
    let radius = CornerRadius::same(5);
    let mut clicked = None;
    for (i, (label, help)) in texts.iter().enumerate() {
        let corner = rect.min + vec2(i as f32 * each, 0.0);
        let place = Rect::from_min_size(corner, vec2(each, HEIGHT)).shrink(2.0);
        let id = ui.scope_id().with((name, i));
        let response = ui.interact(place, id, Sense::click());
        let is_on = on == Some(i);
        let painter = ui.painter();
        let edge = |width, colour| {
            painter.rect_stroke(
                place,
                radius,
                Stroke::new(width, colour),
                StrokeKind::Inside,
            );
        };
        if is_on {
            painter.rect_filled(place, radius, theme::faint(colour, 0.22));
            edge(1.0, theme::faint(colour, 0.7));
        } else if response.hovered() {
            painter.rect_filled(place, radius, theme::CONTROL);
        }
        if response.has_focus() {
            edge(1.5, theme::TEXT);
        }
        painter.text(
            place.center(),
            Align2::CENTER_CENTER,
            label,
            theme::font(13.0),
            if is_on { theme::TEXT } else { theme::DIM },
        );
        response.widget_info(|| {
            egui::WidgetInfo::selected(egui::Role::RadioButton, true, is_on, *label)
        });
        if response.on_hover_text(*help).clicked() && !is_on {
            clicked = Some(i);
        }
    }
    clicked
}
