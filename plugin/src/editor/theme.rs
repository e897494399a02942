//! Colours and sizes, in one place.

use egui::{Color32, CornerRadius, FontFamily, FontId, Stroke, TextStyle, Visuals};

/// Behind everything.
pub const BACKGROUND: Color32 = Color32::from_rgb(0x12, 0x14, 0x18);
/// Panels.
pub const PANEL: Color32 = Color32::from_rgb(0x1A, 0x1D, 0x23);
/// Wells in panels.
pub const WELL: Color32 = Color32::from_rgb(0x0D, 0x0F, 0x12);
/// Controls at rest.
pub const CONTROL: Color32 = Color32::from_rgb(0x27, 0x2C, 0x35);
/// Controls under the pointer.
pub const CONTROL_HOVER: Color32 = Color32::from_rgb(0x33, 0x3A, 0x46);
/// Lines between things.
pub const LINE: Color32 = Color32::from_rgb(0x2C, 0x31, 0x3B);
/// Text.
pub const TEXT: Color32 = Color32::from_rgb(0xE8, 0xEB, 0xEF);
/// Text of less weight.
pub const DIM: Color32 = Color32::from_rgb(0x94, 0x9C, 0xA9);
/// What comes out, and what is on.
pub const OUTPUT: Color32 = Color32::from_rgb(0x3D, 0xD6, 0xB5);
/// What comes in.
pub const INPUT: Color32 = Color32::from_rgb(0x7A, 0x86, 0x99);
/// The noise.
pub const NOISE: Color32 = Color32::from_rgb(0xF2, 0xA6, 0x3B);
/// What is being taken away.
pub const REDUCTION: Color32 = Color32::from_rgb(0xA7, 0x8B, 0xFA);
/// Clipping and errors.
pub const ALARM: Color32 = Color32::from_rgb(0xF2, 0x5F, 0x5C);

/// A colour, see-through.
#[must_use]
pub fn faint(colour: Color32, opacity: f32) -> Color32 {
    colour.gamma_multiply(opacity)
}

/// A font of a size.
#[must_use]
pub const fn font(size: f32) -> FontId {
    FontId::new(size, FontFamily::Proportional)
}

/// Sets all of it up.
pub fn apply(context: &egui::Context) {
    let mut visuals = Visuals::dark();
    visuals.panel_fill = BACKGROUND;
    visuals.window_fill = PANEL;
    visuals.window_stroke = Stroke::new(1.0, LINE);
    visuals.extreme_bg_color = WELL;
    visuals.override_text_color = Some(TEXT);
    visuals.selection.bg_fill = faint(OUTPUT, 0.35);
    visuals.selection.stroke = Stroke::new(1.5, OUTPUT);
    let radius = CornerRadius::same(5);
    for (widget, fill) in [
        (&mut visuals.widgets.noninteractive, PANEL),
        (&mut visuals.widgets.inactive, CONTROL),
        (&mut visuals.widgets.hovered, CONTROL_HOVER),
        (&mut visuals.widgets.active, CONTROL_HOVER),
        (&mut visuals.widgets.open, CONTROL_HOVER),
    ] {
        widget.bg_fill = fill;
        widget.weak_bg_fill = fill;
        widget.corner_radius = radius;
        widget.bg_stroke = Stroke::NONE;
        widget.expansion = 0.0;
    }
    visuals.widgets.noninteractive.bg_stroke = Stroke::new(1.0, LINE);
    visuals.menu_corner_radius = CornerRadius::same(7);
    context.set_theme(egui::Theme::Dark);
    context.set_visuals(visuals);
    context.global_style_mut(|style| {
        style.text_styles = [
            (TextStyle::Small, font(11.0)),
            (TextStyle::Body, font(13.5)),
            (TextStyle::Button, font(13.5)),
            (TextStyle::Heading, font(18.0)),
            (
                TextStyle::Monospace,
                FontId::new(12.5, FontFamily::Monospace),
            ),
        ]
        .into();
        style.spacing.item_spacing = egui::vec2(8.0, 6.0);
        style.spacing.button_padding = egui::vec2(10.0, 5.0);
        style.spacing.interact_size.y = 26.0;
        style.interaction.tooltip_delay = 0.6;
        style.interaction.selectable_labels = false;
    });
}
