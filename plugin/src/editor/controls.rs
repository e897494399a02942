//! The controls below the display.

use std::path::PathBuf;
use std::sync::Arc;

use egui::{Align, Layout, Rect, RichText, Ui, UiBuilder, pos2, vec2};
use nice_plug::prelude::ParamSetter;

use super::knob::Knob;
use super::model_menu::{ModelMenu, Wish};
use super::segments::{HEIGHT, segments, switch};
use super::theme;
use crate::params::{DrfmParams, ModeChoice, NoiseChoice, OutputChoice};
use crate::presets::set;
use crate::shared::Shared;

/// Seconds of noise that the Learn button listens to.
const LEARN_SECONDS: f32 = 3.0;

/// What the controls remember.
#[derive(Default)]
pub struct Controls {
    models: ModelMenu,
    /// The Learn button was pressed here, so it is released here.
    learning: bool,
}

impl Controls {
    /// Loads a model in the background, and chooses it when it is there.
    pub fn load_model(&self, shared: &Arc<Shared>, path: PathBuf) {
        self.models.load(shared, path);
    }

    /// Draws them.
    pub fn show(
        &mut self,
        ui: &mut Ui,
        rect: Rect,
        shared: &Arc<Shared>,
        params: &DrfmParams,
        setter: &ParamSetter<'_>,
    ) -> Wish {
        let mut wish = Wish::Nothing;
        let gap = 10.0;
        let middle = 170.0;
        let side = 0.5 * (rect.width() - middle - 2.0 * gap);
        let left = Rect::from_min_size(rect.min, vec2(side, rect.height()));
        let centre = Rect::from_min_size(
            pos2(left.max.x + gap, rect.min.y),
            vec2(middle, rect.height()),
        );
        let right = Rect::from_min_size(
            pos2(centre.max.x + gap, rect.min.y),
            vec2(side, rect.height()),
        );
        panel(ui, left, |ui| {
            wish = self.sound(ui, shared, params, setter);
        });
        panel(ui, centre, |ui| {
            let knob = Knob {
                label: "Amount",
                diameter: 116.0,
                colour: theme::OUTPUT,
                help: "How far the noise is taken down. 100 dB takes all of it; 12 to 30 dB sounds most natural.",
                from_middle: false,
            };
            knob.show(ui, &params.amount_db, setter);
        });
        panel(ui, right, |ui| {
            if output(ui, params, setter) {
                wish = Wish::Train;
            }
        });
        wish
    }

    fn sound(
        &mut self,
        ui: &mut Ui,
        shared: &Arc<Shared>,
        params: &DrfmParams,
        setter: &ParamSetter<'_>,
    ) -> Wish {
        row_label(ui, "Model");
        let wish = self.models.show(ui, shared, params, setter);
        row_label(ui, "Mode");
        segments(
            ui,
            &params.mode,
            setter,
            &[
                (
                    ModeChoice::Best,
                    "Best",
                    "416 ms. For recorded tracks: the host makes up for the delay.",
                ),
                (
                    ModeChoice::Balanced,
                    "Balanced",
                    "128 ms. Nearly as good, a third of the load.",
                ),
                (
                    ModeChoice::Live,
                    "Live",
                    "11 ms. For a microphone on stage.",
                ),
                (
                    ModeChoice::Instant,
                    "Instant",
                    "3 ms. For monitoring yourself.",
                ),
            ],
            theme::OUTPUT,
        );
        row_label(ui, "Noise");
        ui.horizontal(|ui| {
            let learn = (0.26 * ui.available_width()).clamp(60.0, 104.0);
            let width = ui.available_width() - learn - ui.spacing().item_spacing.x;
            ui.allocate_ui(vec2(width, HEIGHT), |ui| {
                segments(
                    ui,
                    &params.noise_source,
                    setter,
                    &[
                        (
                            NoiseChoice::Adaptive,
                            "Adaptive",
                            "Finds the noise while you play.",
                        ),
                        (
                            NoiseChoice::Learned,
                            "Learned",
                            "What the Learn button heard: the best you can give it.",
                        ),
                        (
                            NoiseChoice::Frozen,
                            "Frozen",
                            "Keeps the noise found so far.",
                        ),
                    ],
                    theme::NOISE,
                );
            });
            self.learn_button(ui, shared, params, setter, learn);
        });
        wish
    }

    fn learn_button(
        &mut self,
        ui: &mut Ui,
        shared: &Shared,
        params: &DrfmParams,
        setter: &ParamSetter<'_>,
        width: f32,
    ) {
        let on = params.learn.value();
        let heard = shared.learn_seconds();
        if on && self.learning && heard >= LEARN_SECONDS {
            set(&params.learn, setter, false);
            set(&params.noise_source, setter, NoiseChoice::Learned);
            self.learning = false;
        }
        let share = if on {
            (heard / LEARN_SECONDS).min(1.0)
        } else {
            0.0
        };
        let text = if on {
            format!("{:.1} s", (LEARN_SECONDS - heard).max(0.0))
        } else {
            "Learn".to_owned()
        };
        let colour = if on { theme::BACKGROUND } else { theme::TEXT };
        let fill = if on { theme::NOISE } else { theme::CONTROL };
        let button = egui::Button::new(RichText::new(text).color(colour).strong())
            .fill(fill)
            .min_size(vec2(width, HEIGHT));
        let response = ui.add(button).on_hover_text(
            "Play a stretch where only the noise is heard and press this: three seconds are enough.",
        );
        if on {
            let bar = Rect::from_min_max(
                pos2(response.rect.min.x, response.rect.max.y - 4.0),
                pos2(
                    response.rect.min.x + share * response.rect.width(),
                    response.rect.max.y,
                ),
            );
            ui.painter().rect_filled(bar, 2.0, theme::TEXT);
        }
        if response.clicked() {
            set(&params.learn, setter, !on);
            self.learning = !on;
            if on {
                set(&params.noise_source, setter, NoiseChoice::Learned);
            }
        }
    }
}

/// The right panel; true if the player wants to train.
fn output(ui: &mut Ui, params: &DrfmParams, setter: &ParamSetter<'_>) -> bool {
    let mut train = false;
    let width = ui.available_width();
    ui.with_layout(Layout::left_to_right(Align::Min), |ui| {
        ui.allocate_ui_with_layout(
            vec2(width - 110.0, ui.available_height()),
            Layout::top_down(Align::Min),
            |ui| {
                row_label(ui, "Listen to");
                segments(
                    ui,
                    &params.output,
                    setter,
                    &[
                        (
                            OutputChoice::Denoised,
                            "Denoised",
                            "The music without the noise.",
                        ),
                        (
                            OutputChoice::Removed,
                            "Removed",
                            "What is taken away: there should be no music in it.",
                        ),
                    ],
                    theme::REDUCTION,
                );
                row_label(ui, "Stereo");
                switch(
                    ui,
                    &params.stereo_link,
                    setter,
                    [
                        ("Unlinked", "Each channel by itself."),
                        (
                            "Linked",
                            "Both channels as one picture: clearer, and nothing wanders.",
                        ),
                    ],
                    theme::OUTPUT,
                );
                row_label(ui, "Your sound");
                let text = RichText::new("Learn my instrument\u{2026}");
                let button = egui::Button::new(text).min_size(vec2(ui.available_width(), HEIGHT));
                train = ui
                    .add(button)
                    .on_hover_text("Train a model on clean takes of your own playing.")
                    .clicked();
            },
        );
        let knob = Knob {
            label: "Trim",
            diameter: 64.0,
            colour: theme::TEXT,
            help: "Gain of the output.",
            from_middle: true,
        };
        ui.allocate_ui(vec2(100.0, ui.available_height()), |ui| {
            knob.show(ui, &params.output_trim_db, setter);
        });
    });
    train
}

fn row_label(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).size(11.5).color(theme::DIM));
}

fn panel(ui: &mut Ui, rect: Rect, content: impl FnOnce(&mut Ui)) {
    ui.painter().rect_filled(rect, 8.0, theme::PANEL);
    let inside = UiBuilder::new()
        .max_rect(rect.shrink2(vec2(14.0, 10.0)))
        .layout(Layout::top_down(Align::Min));
    ui.scope_builder(inside, |ui| {
        ui.spacing_mut().item_spacing.y = 4.0;
        content(ui);
    });
}
