//! The panel "Learn my instrument".

use std::sync::Arc;

use drfm_engine::audio::trainer::SpectralTraining;
use egui::{ProgressBar, RichText, Ui};
use nice_plug::prelude::ParamSetter;

use super::{paths, theme};
use crate::dialogs;
use crate::params::{DrfmParams, ModelChoice};
use crate::presets::set;
use crate::shared::Shared;
use crate::training::{self, ADVISED_SECONDS, MOST_RECORDED_SECONDS, Phase, Take, TakeSource};

/// What the panel remembers.
#[derive(Default)]
pub struct LearnPanel {
    /// Whether it is open.
    pub open: bool,
    recording: Option<(u32, Vec<f32>)>,
    recorded: usize,
    /// Path being typed.
    path: String,
}

impl LearnPanel {
    /// Takes in what is played, for a recording.
    pub fn hear(&mut self, samples: &[f32], rate_hz: u32) {
        if let Some((rate, recording)) = &mut self.recording {
            if *rate != rate_hz {
                // Two rates cannot be one recording.
                recording.clear();
                *rate = rate_hz;
            }
            let most = (MOST_RECORDED_SECONDS * rate_hz as f32) as usize;
            let room = most.saturating_sub(recording.len()).min(samples.len());
            recording.extend(samples.iter().take(room));
        }
    }

    /// Draws it, if it is open.
    pub fn show(
        &mut self,
        ui: &Ui,
        shared: &Arc<Shared>,
        params: &DrfmParams,
        setter: &ParamSetter<'_>,
    ) {
        if shared.training.take_finished() {
            set(&params.model, setter, ModelChoice::File);
        }
        let mut open = self.open;
        egui::Window::new("Learn my instrument")
            .open(&mut open)
            .collapsible(false)
            .resizable(false)
            .default_width(420.0)
            .anchor(egui::Align2::CENTER_CENTER, egui::Vec2::ZERO)
            .show(ui.ctx(), |ui| self.content(ui, shared));
        self.open = open;
        if !open && self.recording.is_some() {
            self.stop_recording(shared);
        }
    }

    fn content(&mut self, ui: &mut Ui, shared: &Arc<Shared>) {
        ui.label(
            RichText::new(
                "Give the denoiser clean, dry takes of your own instrument: a few minutes, the quieter the room the \
                 better. It learns from them on this computer, and plays through what it has learned.",
            )
            .color(theme::DIM),
        );
        ui.add_space(4.0);
        let running = shared.training.is_running();
        ui.add_enabled_ui(!running, |ui| self.takes(ui, shared));
        ui.separator();
        match shared.training.phase() {
            Phase::Running(text) => {
                ui.label(text);
                let progress = shared.training.progress();
                ui.add(
                    ProgressBar::new(progress)
                        .show_percentage()
                        .fill(theme::OUTPUT),
                );
                if ui.button("Cancel").clicked() {
                    shared.training.cancel();
                }
                return;
            }
            Phase::Failed(text) => {
                ui.colored_label(theme::ALARM, text);
            }
            Phase::Done(text) => {
                ui.colored_label(theme::OUTPUT, text);
                if ui.button("Save the model\u{2026}").clicked() {
                    dialogs::save_model(shared);
                }
            }
            Phase::Idle => {}
        }
        let ready = !running && self.recording.is_none() && !shared.training.names().is_empty();
        let train = egui::Button::new(RichText::new("Train").strong().color(theme::BACKGROUND))
            .fill(theme::OUTPUT)
            .min_size(egui::vec2(120.0, 30.0));
        if ui.add_enabled(ready, train).clicked() {
            training::start(shared, SpectralTraining::default());
        }
    }

    fn takes(&mut self, ui: &mut Ui, shared: &Arc<Shared>) {
        ui.horizontal(|ui| {
            if ui.button("Add recordings\u{2026}").clicked() {
                let theirs = Arc::clone(shared);
                dialogs::open_takes(shared, move |paths| theirs.training.add_files(paths));
            }
            let text = match &self.recording {
                None => "Record a take".to_owned(),
                Some((rate, samples)) => {
                    format!(
                        "Stop ({:.0} s)",
                        samples.len() as f32 / (*rate).max(1) as f32
                    )
                }
            };
            let text = if self.recording.is_some() {
                RichText::new(text).color(theme::ALARM)
            } else {
                RichText::new(text)
            };
            let button = ui.button(text).on_hover_text(
                "Records what comes into the plugin while the host plays or monitors",
            );
            if button.clicked() {
                if self.recording.is_some() {
                    self.stop_recording(shared);
                } else if let Some(setup) = shared.setup() {
                    self.recording = Some((setup.rate_hz, Vec::new()));
                }
            }
        });
        let field = egui::TextEdit::singleline(&mut self.path)
            .hint_text("or type or paste the path of a recording or a folder, Enter")
            .desired_width(f32::INFINITY);
        let typed = ui.add(field);
        if typed.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter)) {
            self.add_typed(shared);
        }
        let names = shared.training.names();
        if names.is_empty() {
            let advice = format!(
                "No takes yet: drop some here. {ADVISED_SECONDS:.0} s in all is a sensible minimum."
            );
            ui.colored_label(theme::DIM, advice);
        }
        egui::ScrollArea::vertical()
            .max_height(140.0)
            .show(ui, |ui| {
                for (i, name) in names.iter().enumerate() {
                    ui.horizontal(|ui| {
                        if ui
                            .small_button("\u{00D7}")
                            .on_hover_text("Leave it out")
                            .clicked()
                        {
                            shared.training.remove(i);
                        }
                        ui.label(name);
                    });
                }
            });
    }

    fn add_typed(&mut self, shared: &Shared) {
        let files = paths::sound_files(paths::from_text(&self.path));
        if let Some(missing) = files.iter().find(|p| !p.is_file()) {
            shared.complain_text(format!("There is no file {}", missing.display()));
        } else if files.is_empty() {
            shared.complain_text("There is no recording in that folder".to_owned());
        } else {
            shared.training.add_files(files);
            self.path.clear();
        }
    }

    fn stop_recording(&mut self, shared: &Shared) {
        let Some((rate_hz, samples)) = self.recording.take() else {
            return;
        };
        if samples.is_empty() {
            shared.complain_text(
                "Nothing was recorded: start the host's playback or monitoring first".to_owned(),
            );
            return;
        }
        self.recorded += 1;
        let seconds = samples.len() as f32 / rate_hz.max(1) as f32;
        shared.training.add(Take {
            name: format!("Recording {} ({seconds:.0} s)", self.recorded),
            source: TakeSource::Recording(rate_hz, samples.into()),
        });
    }
}
