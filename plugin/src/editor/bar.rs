//! The bar on top: name, presets, A/B, bypass.

use std::sync::Arc;

use egui::{Align, Layout, Rect, RichText, Ui, UiBuilder, vec2};
use nice_plug::prelude::ParamSetter;

use super::ab::Ab;
use super::theme;
use crate::params::DrfmParams;
use crate::presets::{self, Preset, set};
use crate::shared::Shared;

/// What the bar remembers.
pub struct Bar {
    factory: Vec<Preset>,
    user: Vec<Preset>,
    /// The preset chosen last.
    chosen: Option<Preset>,
    name: String,
    ab: Ab,
}

impl Default for Bar {
    fn default() -> Self {
        let mut bar = Self {
            factory: presets::factory(),
            user: Vec::new(),
            chosen: None,
            name: String::new(),
            ab: Ab::default(),
        };
        bar.read_user();
        bar
    }
}

impl Bar {
    fn read_user(&mut self) {
        self.user = presets::folder().map_or_else(|_| Vec::new(), |f| presets::in_folder(&f));
    }

    /// Draws it.
    pub fn show(
        &mut self,
        ui: &mut Ui,
        rect: Rect,
        shared: &Arc<Shared>,
        params: &DrfmParams,
        setter: &ParamSetter<'_>,
    ) {
        ui.painter().rect_filled(rect, 0.0, theme::PANEL);
        let line = egui::Stroke::new(1.0, theme::LINE);
        ui.painter().hline(rect.x_range(), rect.max.y, line);
        let inside = UiBuilder::new()
            .max_rect(rect.shrink2(vec2(16.0, 0.0)))
            .layout(Layout::left_to_right(Align::Center));
        ui.scope_builder(inside, |ui| {
            ui.label(
                RichText::new("DRFM")
                    .size(20.0)
                    .strong()
                    .color(theme::OUTPUT),
            );
            ui.label(RichText::new("Denoiser").size(20.0).color(theme::TEXT));
            ui.add_space(22.0);
            self.presets(ui, shared, params, setter);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                self.switches(ui, shared, params, setter);
            });
        });
    }

    fn presets(
        &mut self,
        ui: &mut Ui,
        shared: &Shared,
        params: &DrfmParams,
        setter: &ParamSetter<'_>,
    ) {
        let all: Vec<Preset> = self.factory.iter().chain(&self.user).cloned().collect();
        let at = self
            .chosen
            .as_ref()
            .and_then(|c| all.iter().position(|p| p == c));
        let step = |by: usize| {
            let next = at.map_or(0, |at| (at + by) % all.len().max(1));
            all.get(next).cloned()
        };
        let mut wanted = None;
        if ui.button("<").on_hover_text("Preset before").clicked() {
            wanted = step(all.len().saturating_sub(1));
        }
        let name = match &self.chosen {
            Some(chosen) if chosen.is_set(params) => chosen.name.clone(),
            Some(chosen) => format!("{} *", chosen.name),
            None => "Presets".to_owned(),
        };
        egui::ComboBox::from_id_salt("presets")
            .selected_text(name)
            .width(210.0)
            .truncate()
            .height(400.0)
            .close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside)
            .show_ui(ui, |ui| {
                ui.set_min_width(260.0);
                if let Some(preset) = self.list(ui, shared, params) {
                    wanted = Some(preset);
                }
            });
        if ui.button(">").on_hover_text("Next preset").clicked() {
            wanted = step(1);
        }
        if let Some(preset) = wanted {
            preset.apply(params, setter);
            self.chosen = Some(preset);
        }
    }

    fn list(&mut self, ui: &mut Ui, shared: &Shared, params: &DrfmParams) -> Option<Preset> {
        let mut wanted = None;
        let mut unwanted = None;
        let present = self.chosen.clone();
        let lists = [
            ("Factory", &self.factory, false),
            ("Yours", &self.user, true),
        ];
        for (title, presets, own) in lists {
            if presets.is_empty() {
                continue;
            }
            ui.label(RichText::new(title).size(11.0).color(theme::DIM));
            for preset in presets {
                let on = present.as_ref() == Some(preset);
                let label = ui
                    .horizontal(|ui| {
                        let label = ui.selectable_label(on, &preset.name);
                        if own {
                            let delete = ui.small_button("\u{00D7}").on_hover_text("Delete it");
                            if delete.clicked() {
                                unwanted = Some(preset.clone());
                            }
                        }
                        label
                    })
                    .inner;
                let label = if preset.about.is_empty() {
                    label
                } else {
                    label.on_hover_text(&preset.about)
                };
                if label.clicked() {
                    wanted = Some(preset.clone());
                    ui.close();
                }
            }
        }
        if let Some(preset) = unwanted {
            self.delete(&preset, shared);
        }
        ui.separator();
        let field = egui::TextEdit::singleline(&mut self.name)
            .hint_text("Save these settings as \u{2026}, Enter")
            .desired_width(240.0);
        let response = ui.add(field);
        if response.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter)) {
            let preset = Preset::of(params, self.name.trim());
            match presets::folder().and_then(|f| presets::save(&preset, &f)) {
                Ok(path) => {
                    shared.say(format!("Saved {}", path.display()));
                    self.name.clear();
                    self.read_user();
                    self.chosen = Some(preset);
                    ui.close();
                }
                Err(error) => shared.complain(&error),
            }
        }
        wanted
    }

    fn delete(&mut self, preset: &Preset, shared: &Shared) {
        match presets::folder().and_then(|f| presets::delete(preset, &f)) {
            Ok(()) => shared.say(format!("Deleted the preset {}", preset.name)),
            Err(error) => shared.complain(&error),
        }
        if self.chosen.as_ref() == Some(preset) {
            self.chosen = None;
        }
        self.read_user();
    }

    fn switches(
        &mut self,
        ui: &mut Ui,
        shared: &Shared,
        params: &DrfmParams,
        setter: &ParamSetter<'_>,
    ) {
        let bypassed = params.bypass.value();
        let text = RichText::new(if bypassed { "Bypassed" } else { "Bypass" });
        let (text, fill) = if bypassed {
            (text.color(theme::BACKGROUND).strong(), theme::NOISE)
        } else {
            (text.color(theme::TEXT), theme::CONTROL)
        };
        let button = egui::Button::new(text)
            .fill(fill)
            .min_size(vec2(86.0, 28.0));
        if ui
            .add(button)
            .on_hover_text("The input, as late as the output, so nothing jumps")
            .clicked()
        {
            set(&params.bypass, setter, !bypassed);
        }
        ui.add_space(8.0);
        let copy = ui
            .button("Copy")
            .on_hover_text("Make the other side like this one");
        if copy.clicked() {
            self.ab.copy(shared, params);
        }
        let b = self.ab.side() == "B";
        for (name, on) in [("B", b), ("A", !b)] {
            let text = RichText::new(name).color(if on { theme::TEXT } else { theme::DIM });
            let fill = if on {
                theme::faint(theme::OUTPUT, 0.25)
            } else {
                theme::WELL
            };
            let button = egui::Button::new(text)
                .fill(fill)
                .min_size(vec2(28.0, 28.0));
            let response = ui.add(button).on_hover_text("Compare two settings");
            if response.clicked() && !on {
                self.ab.switch(shared, params, setter);
            }
        }
    }
}
