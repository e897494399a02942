//! Where the experiments run: data, models that several figures share, and how long each took.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use drfm_engine::audio::trainer::Progress;
use drfm_engine::image::ImageSet;
use drfm_engine::image::model::ImageModel;
use drfm_engine::image::source::Query;
use drfm_engine::image::training::{ImageTraining, train};
use drfm_engine::model::ModelKind;
use drfm_engine::paper::audio::Heard;
use drfm_engine::paper::images::{self, Method, Shown, Sizes};
use drfm_engine::train::adam_run::NoCheckpoints;
use serde_json::json;

use super::Arguments;
use crate::commands::train::checkpoint::FileCheckpoints;
use crate::commands::training::Bar;
use crate::failure::Failure;
use crate::{interrupt, report};

/// Held-out images that denoising is measured on; the paper shows the first fifteen.
pub const JUDGED: usize = 200;

/// Numbers, within the class, of the images of the training half that settings are chosen on.
const CHOSEN_ON: std::ops::Range<usize> = 3000..3200;

/// A model with what it cost.
pub struct Trained {
    /// The model.
    pub model: ImageModel,
    /// Wall time of training in seconds.
    pub seconds: f64,
}

/// Class, timesteps, kind, method and seed.
type Key = (String, usize, u8, Method, u64);

/// What was heard of an audio model, its number of features, and seconds of training.
type HeardModel = Rc<(Heard, usize, f64)>;

/// The experiments' surroundings.
pub struct Lab<'a> {
    /// The options.
    pub arguments: &'a Arguments,
    shown: BTreeMap<Key, Rc<(Shown, f64)>>,
    /// Audio models by kind and method; figures 6 and 7 share them.
    pub heard: BTreeMap<(u8, Method), HeardModel>,
}

impl<'a> Lab<'a> {
    /// An empty lab.
    pub fn new(arguments: &'a Arguments) -> Self {
        Self {
            arguments,
            shown: BTreeMap::new(),
            heard: BTreeMap::new(),
        }
    }

    /// Epochs of Adam.
    pub fn epochs(&self) -> u64 {
        if self.arguments.as_published {
            images::EPOCHS
        } else {
            self.arguments.epochs
        }
    }

    /// Sizes for K timesteps.
    pub fn sizes(&self, timesteps: usize, seed: u64) -> Sizes {
        Sizes {
            features: self.arguments.features as usize,
            timesteps,
            rows: self.arguments.rows as usize,
            epochs: self.epochs(),
            batch: images::TRAIN,
            seed,
        }
    }

    /// The methods each kind is trained by, as the options say.
    pub fn methods(&self) -> Vec<(ModelKind, Method)> {
        let mut all = vec![
            (ModelKind::Drfm, Method::ClosedForm),
            (ModelKind::Nn, Method::Adam),
            (ModelKind::Rf, Method::ClosedForm),
        ];
        if self.arguments.adam || self.arguments.as_published {
            all.extend([
                (ModelKind::Drfm, Method::Adam),
                (ModelKind::Rf, Method::Adam),
            ]);
        }
        all
    }

    /// Images of the training half, not those trained on, to choose settings on.
    pub fn chosen_on(&self, class: &str) -> Result<ImageSet, Failure> {
        let images = self.read("train", class, CHOSEN_ON.end)?;
        Ok(images.part(CHOSEN_ON))
    }

    fn read(&self, half: &str, class: &str, count: usize) -> Result<ImageSet, Failure> {
        let query = Query {
            paths: vec![self.fashion(half)],
            class: Some(class.parse()?),
            ..Query::default()
        };
        query.read(Some(count)).map_err(Failure::from)
    }

    /// The first images of a class: those trained on, and those held out (of the test half).
    pub fn class(&self, class: &str) -> Result<(ImageSet, ImageSet), Failure> {
        let train = self.read("train", class, images::TRAIN)?;
        Ok((train, self.read("t10k", class, JUDGED)?))
    }

    /// The image file of a half (train or t10k), plain if it is there, else packed.
    pub fn fashion(&self, half: &str) -> PathBuf {
        let folder = self.arguments.data.join("fashion-mnist");
        let plain = folder.join(format!("{half}-images-idx3-ubyte"));
        if plain.exists() {
            plain
        } else {
            folder.join(format!("{half}-images-idx3-ubyte.gz"))
        }
    }

    /// Trains on some images.
    pub fn train(
        &self,
        name: &str,
        training: &ImageTraining,
        images: &ImageSet,
    ) -> Result<Trained, Failure> {
        eprintln!("training {name}");
        let mut bar = Bar::new(true);
        let mut tell = |event: &_| {
            bar.tell(&Progress {
                step: name,
                position: (1, 1),
                event,
            })
        };
        let started = Instant::now();
        let is_adam = matches!(
            training.trainer,
            drfm_engine::image::training::ImageTrainer::Adam(_)
        );
        let model = if self.arguments.as_published && is_adam {
            let path = self.path(&format!("{}.run", name.replace([' ', ','], "-")));
            let about = json!({ "options": training });
            let mut kept = FileCheckpoints::open(Some(&path), &about, images::EPOCHS)?;
            train(training, images, &mut kept, &mut tell).map_err(|e| {
                let failure = Failure::from(e);
                if matches!(failure, Failure::Interrupted) {
                    kept.tell_stopped();
                }
                failure
            })?
        } else {
            train(training, images, &mut NoCheckpoints, &mut tell)?
        };
        drop(bar);
        interrupt::check()?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(Trained { model, seconds })
    }

    /// What a figure shows of a model; trained once for all figures.
    pub fn shown(
        &mut self,
        class: &str,
        timesteps: usize,
        kind: ModelKind,
        method: Method,
        seed: u64,
    ) -> Result<Rc<(Shown, f64)>, Failure> {
        let key = (class.to_owned(), timesteps, kind as u8, method, seed);
        if let Some(found) = self.shown.get(&key) {
            return Ok(Rc::clone(found));
        }
        let (train, held_out) = self.class(class)?;
        let training = images::training(kind, method, &self.sizes(timesteps, seed))?;
        let name = format!("{class}, K {timesteps}, {}", name_of(kind, method));
        let trained = self.train(&name, &training, &train)?;
        let shown = images::show(&trained.model, &train, &held_out, JUDGED, seed)?;
        let shown = Rc::new((shown, trained.seconds));
        self.shown.insert(key, Rc::clone(&shown));
        Ok(shown)
    }

    /// A file in the output folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.arguments.output.join(name)
    }

    /// Writes a table beside a picture, as text and JSON, and prints it.
    pub fn tell(&self, name: &str, text: &str, value: &serde_json::Value) -> Result<(), Failure> {
        report::write_file(&self.path(&format!("{name}.txt")), text.as_bytes())?;
        let json = format!("{value:#}\n");
        report::write_file(&self.path(&format!("{name}.json")), json.as_bytes())?;
        report::print(&format!("{text}\n"))
    }
}

/// "DRFM, closed form".
pub fn name_of(kind: ModelKind, method: Method) -> String {
    let kind = match kind {
        ModelKind::Drfm => "DRFM",
        ModelKind::Rf => "RF",
        ModelKind::Nn => "NN",
    };
    let method = match method {
        Method::ClosedForm => "closed form",
        Method::Tiles => "tiles",
        Method::Adam => "Adam",
    };
    format!("{kind}, {method}")
}
