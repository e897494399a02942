//! One line that says what the plugin is doing.

use egui::{Align, Layout, Rect, Ui, UiBuilder, vec2};

use super::theme;
use crate::params::{DrfmParams, ModelChoice, NoiseChoice};
use crate::shared::{NoiseInUse, Shared};

/// The line.
#[must_use]
pub fn line(shared: &Shared, params: &DrfmParams) -> String {
    let Some(setup) = shared.setup() else {
        return "Waiting for the host to start the audio".to_owned();
    };
    let (model, mode) = shared
        .playing()
        .unwrap_or_else(|| (String::from("no model"), setup.mode));
    let noise = match (shared.noise_in_use(), params.noise_source.value()) {
        (NoiseInUse::Listening, _) => "listening for the noise",
        (NoiseInUse::Tracked, NoiseChoice::Learned) => "nothing learned yet: tracking the noise",
        (NoiseInUse::Tracked, NoiseChoice::Frozen) => "about to freeze the noise",
        (NoiseInUse::Tracked, NoiseChoice::Adaptive) => "noise tracked",
        (NoiseInUse::Learned, _) => "noise learned",
        (NoiseInUse::Frozen, _) => "noise frozen",
    };
    let latency_ms = 1000.0 * f64::from(shared.latency_samples()) / f64::from(setup.rate_hz.max(1));
    let mut line = format!(
        "Model {model}  \u{2022}  {}  \u{2022}  {noise}  \u{2022}  {latency_ms:.1} ms latency  \u{2022}  CPU {:.0} %",
        mode.name(),
        100.0 * shared.cpu_share()
    );
    if params.model.value() == ModelChoice::File && shared.file_model().is_none() {
        line.push_str("  \u{2022}  no own model yet: general plays");
    }
    if shared.restart_pending() {
        line.push_str("  \u{2022}  mode changes when the host restarts the audio (stop and play)");
    }
    if params.bypass.value() {
        line = format!("Bypassed  \u{2022}  {line}");
    }
    line
}

/// Draws it, or the message that is more important.
pub fn show(ui: &mut Ui, rect: Rect, shared: &Shared, params: &DrfmParams) {
    let inside = UiBuilder::new()
        .max_rect(rect.shrink2(vec2(14.0, 0.0)))
        .layout(Layout::left_to_right(Align::Center));
    ui.scope_builder(inside, |ui| {
        if let Some(notice) = shared.notice() {
            let colour = if notice.is_error {
                theme::ALARM
            } else {
                theme::OUTPUT
            };
            ui.spacing_mut().button_padding = vec2(8.0, 2.0);
            if ui.small_button("OK").clicked() {
                shared.clear_notice();
            }
            ui.add(egui::Label::new(egui::RichText::new(notice.text).color(colour)).truncate());
            return;
        }
        let text = egui::RichText::new(line(shared, params)).color(theme::DIM);
        ui.add(egui::Label::new(text.size(12.0)).truncate());
    });
}
