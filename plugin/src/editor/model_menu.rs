//! The list of models, and where the player's own come from.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use egui::Ui;
use nice_plug::prelude::ParamSetter;

use super::{paths, theme};
use crate::dialogs;
use crate::params::{DrfmParams, ModelChoice};
use crate::presets::set;
use crate::shared::Shared;

/// The models that come with the plugin, and what they are for.
const EMBEDDED: [(ModelChoice, &str, &str); 3] = [
    (ModelChoice::Guitar, "Guitar", "Steel, nylon and electric"),
    (ModelChoice::Flute, "Flute", "And other soft winds"),
    (ModelChoice::General, "General", "When in doubt"),
];

/// What the menu remembers.
#[derive(Default)]
pub struct ModelMenu {
    path: String,
    /// A model was loaded and is to be chosen.
    loaded: Arc<AtomicBool>,
}

/// What the player wants beyond choosing a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Nothing,
    /// To train one.
    Train,
}

impl ModelMenu {
    /// Loads a model in the background, and chooses it when it is there.
    pub fn load(&self, shared: &Arc<Shared>, path: PathBuf) {
        let loaded = Arc::clone(&self.loaded);
        dialogs::load_model_from(shared, path, move || loaded.store(true, Ordering::Release));
    }

    /// Draws it.
    pub fn show(
        &mut self,
        ui: &mut Ui,
        shared: &Arc<Shared>,
        params: &DrfmParams,
        setter: &ParamSetter<'_>,
    ) -> Wish {
        if self.loaded.swap(false, Ordering::AcqRel) {
            set(&params.model, setter, ModelChoice::File);
        }
        let own = shared.file_model().map(|m| m.name);
        let present = match params.model.value() {
            ModelChoice::File => own.clone().unwrap_or_else(|| "Own model".to_owned()),
            choice => EMBEDDED
                .iter()
                .find(|(c, _, _)| *c == choice)
                .map_or_else(String::new, |(_, name, _)| (*name).to_owned()),
        };
        let mut wish = Wish::Nothing;
        let width = ui.available_width();
        egui::ComboBox::from_id_salt("model")
            .selected_text(egui::RichText::new(present).size(14.0).color(theme::TEXT))
            .width(width)
            .truncate()
            .height(360.0)
            .close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside)
            .show_ui(ui, |ui| wish = self.list(ui, shared, params, setter, own))
            .response
            .on_hover_text("The instrument the denoiser knows");
        wish
    }

    fn list(
        &mut self,
        ui: &mut Ui,
        shared: &Arc<Shared>,
        params: &DrfmParams,
        setter: &ParamSetter<'_>,
        own: Option<String>,
    ) -> Wish {
        ui.set_min_width(250.0);
        let mut wish = Wish::Nothing;
        let present = params.model.value();
        for (choice, name, about) in EMBEDDED {
            let label = ui.selectable_label(present == choice, name);
            if label.on_hover_text(about).clicked() {
                set(&params.model, setter, choice);
                ui.close();
            }
        }
        if let Some(own) = own {
            let label = ui.selectable_label(present == ModelChoice::File, own);
            if label
                .on_hover_text("Your own; it is saved in the session")
                .clicked()
            {
                set(&params.model, setter, ModelChoice::File);
                ui.close();
            }
        }
        ui.separator();
        if ui.button("Load a model file\u{2026}").clicked() {
            let loaded = Arc::clone(&self.loaded);
            dialogs::open_model(shared, move || loaded.store(true, Ordering::Release));
            ui.close();
        }
        let field = egui::TextEdit::singleline(&mut self.path)
            .hint_text("or type or paste its path, Enter")
            .desired_width(230.0);
        let response = ui.add(field);
        if response.lost_focus()
            && ui.input(|i| i.key_pressed(egui::Key::Enter))
            && let Some(path) = paths::from_text(&self.path).into_iter().next()
        {
            // What is wrong with it is said with the path; the field is free for the next.
            self.path.clear();
            self.load(shared, path);
            ui.close();
        }
        if shared.file_model().is_some() && ui.button("Save the own model\u{2026}").clicked() {
            dialogs::save_model(shared);
            ui.close();
        }
        ui.separator();
        if ui
            .button("Learn my instrument\u{2026}")
            .on_hover_text("Train a model on clean takes of your own playing")
            .clicked()
        {
            wish = Wish::Train;
            ui.close();
        }
        wish
    }
}
