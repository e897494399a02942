//! Training by gradient descent: Algorithm 1 with Adam (Kingma and Ba 2015).
//!
//! The paper's own method, the only one for the NN baseline, and the yardstick for the closed form. The loss of a
//! minibatch is the mean over its rows of `|target - p(x_k, k)|^2` (Algorithm 1, line 7).

use std::io::{Read, Write};

use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};

use super::adam_step::{Moments, Rates, Workspace};
use super::batch::Batch;
use super::codec::{Reader, Writer};
use super::error::TrainError;
use super::params::{Control, Observer, TrainEvent, require};
use crate::model::baselines::random_feature_model;
use crate::model::features::MAX_WEIGHTS;
use crate::model::{Drfm, ModelKind, RandomFeatures};
use crate::rng::StableRng;

const KIND: &str = "checkpoint";
const MAGIC: [u8; 8] = *b"DRFMADAM";
const VERSION: u32 = 1;
const MAX_HEADER: usize = 1 << 16;
/// Stream of the seed that initial parameters come from; minibatches use the number of their step.
const INITIAL_STREAM: u64 = u64::MAX;

/// Parameters of a training run by Adam.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamParams {
    /// Which parameters are trained.
    pub kind: ModelKind,
    /// Steps in all, at least 1.
    pub steps: u64,
    /// Rows of a minibatch, 1 to 65536; drawn with replacement.
    pub batch: usize,
    /// Step size, above 0.
    pub learning_rate: f32,
    /// Decay of the mean of the gradients, 0 up to but excluding 1.
    pub beta1: f32,
    /// Decay of the mean of their squares, 0 up to but excluding 1.
    pub beta2: f32,
    /// Keeps the division finite, above 0.
    pub epsilon: f32,
    /// Seed of initial parameters and minibatches.
    pub seed: u64,
    /// Steps between two events, at least 1.
    pub report_every: u64,
}

impl Default for AdamParams {
    fn default() -> Self {
        Self {
            kind: ModelKind::Drfm,
            steps: 30_000,
            batch: 128,
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            seed: 0,
            report_every: 100,
        }
    }
}

impl AdamParams {
    /// Checks the parameters; [`AdamState`] calls it.
    ///
    /// # Errors
    /// [`TrainError::Parameter`] naming the first one that is out of range.
    pub fn check(&self) -> Result<(), TrainError> {
        let decays = "use a number from 0 up to but excluding 1";
        let positive = |x: f32| x.is_finite() && x > 0.0;
        require(self.steps > 0, "steps", self.steps, "use at least 1")?;
        require(
            (1..=65_536).contains(&self.batch),
            "batch",
            self.batch,
            "use 1 to 65536 rows",
        )?;
        require(
            positive(self.learning_rate),
            "learning_rate",
            self.learning_rate,
            "use a number above 0, such as 0.001",
        )?;
        require(
            (0.0..1.0).contains(&self.beta1),
            "beta1",
            self.beta1,
            decays,
        )?;
        require(
            (0.0..1.0).contains(&self.beta2),
            "beta2",
            self.beta2,
            decays,
        )?;
        require(
            positive(self.epsilon),
            "epsilon",
            self.epsilon,
            "use a number above 0, such as 1e-8",
        )?;
        require(
            self.report_every > 0,
            "report_every",
            self.report_every,
            "use at least 1",
        )
    }
}

/// Where minibatches come from.
pub trait Minibatches: Sync {
    /// Inputs and outputs per row, and timesteps.
    fn shape(&self) -> (usize, usize, usize);

    /// Number of rows, or of images that rows are made of; 0 if there is nothing to train on.
    fn count(&self) -> usize;

    /// Fills a minibatch: inputs and targets row after row, and of each row the index of its timestep, from 0.
    fn draw(&self, rng: &mut StableRng, x: &mut [f32], target: &mut [f32], level: &mut [usize]);
}

/// Rows held in memory, drawn with replacement.
impl Minibatches for Batch {
    fn shape(&self) -> (usize, usize, usize) {
        (self.d_in(), self.d_out(), self.timesteps())
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn draw(&self, rng: &mut StableRng, x: &mut [f32], target: &mut [f32], level: &mut [usize]) {
        let rows = x
            .chunks_exact_mut(self.d_in().max(1))
            .zip(target.chunks_exact_mut(self.d_out().max(1)));
        for ((x, target), level) in rows.zip(level) {
            let row = rng.below(self.len());
            x.copy_from_slice(self.x_row(row));
            target.copy_from_slice(self.target_row(row));
            *level = usize::from(self.timestep()[row]) - 1;
        }
    }
}

/// A training run: parameters, moments and position. Written and read back, it goes on with the same bits.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamState {
    params: AdamParams,
    model: Drfm,
    step: u64,
    /// Of theta2, theta1, W and b; empty for what is not trained.
    moments: [Moments; 4],
}

/// The text part of a checkpoint.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    params: AdamParams,
    step: u64,
    d_in: usize,
    d_out: usize,
    timesteps: usize,
    n_features: usize,
}

impl AdamState {
    /// A fresh run: theta1 from N(0, 1) (0 for RF), theta2 uniform in +-1/sqrt(N).
    ///
    /// # Errors
    /// If a parameter is out of range, or `timesteps` or `d_out` is 0.
    pub fn new(
        features: RandomFeatures,
        timesteps: usize,
        d_out: usize,
        params: AdamParams,
    ) -> Result<Self, TrainError> {
        let mut rng = StableRng::new(params.seed, INITIAL_STREAM);
        let mut model = Drfm::initial(features, timesteps, d_out, &mut rng)?;
        if params.kind == ModelKind::Rf {
            model =
                random_feature_model(model.features().clone(), timesteps, model.theta2().clone())?;
        }
        Self::from_model(model, params)
    }

    /// A run that starts from a model, for example to refine a closed-form one.
    ///
    /// # Errors
    /// If a parameter is out of range.
    pub fn from_model(model: Drfm, params: AdamParams) -> Result<Self, TrainError> {
        params.check()?;
        let moments = trained_sizes(&model, params.kind).map(|size| Moments {
            first: vec![0.0; size],
            second: vec![0.0; size],
        });
        Ok(Self {
            params,
            model,
            step: 0,
            moments,
        })
    }

    /// The model as it is now.
    #[must_use]
    pub fn model(&self) -> &Drfm {
        &self.model
    }

    /// The model, without its run.
    #[must_use]
    pub fn into_model(self) -> Drfm {
        self.model
    }

    /// Steps done.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The parameters of the run.
    #[must_use]
    pub fn params(&self) -> &AdamParams {
        &self.params
    }

    /// Changes the number of steps, to train a finished run further.
    pub fn set_steps(&mut self, steps: u64) {
        self.params.steps = steps.max(1);
    }

    /// Trains until all steps are done or the observer stops; a stopped run is valid and can go
    /// on later, also from its checkpoint, with the same bits. The minibatch of a step depends on the seed and the
    /// number of the step only.
    ///
    /// # Errors
    /// [`TrainError::NoData`], [`TrainError::Mismatch`] if the rows do not fit the model, [`TrainError::Diverged`].
    pub fn train(
        &mut self,
        data: &dyn Minibatches,
        observer: Observer<'_>,
    ) -> Result<Control, TrainError> {
        let found = data.shape();
        let expected = (
            self.model.d_in(),
            self.model.d_out(),
            self.model.timesteps(),
        );
        if found != expected {
            return Err(TrainError::Mismatch {
                what: "the batch shape (inputs, outputs, timesteps)",
                found: format!("{found:?}"),
                expected: format!("{expected:?}"),
            });
        }
        if data.count() == 0 {
            return Err(TrainError::NoData);
        }
        let mut work = Workspace::new(&self.model, &self.params);
        let (mut sum, mut count) = (0.0, 0.0);
        while self.step < self.params.steps {
            work.choose(data, self.params.seed, self.step);
            sum += work.forward(&self.model);
            count += 1.0;
            self.step += 1;
            let rates = Rates::at(&self.params, self.step);
            work.backward(&mut self.model, &mut self.moments, rates);
            if self.step.is_multiple_of(self.params.report_every) || self.step == self.params.steps
            {
                let loss: f64 = sum / (count * self.model.d_out() as f64);
                if !loss.is_finite() {
                    return Err(TrainError::Diverged(self.step));
                }
                (sum, count) = (0.0, 0.0);
                let event = TrainEvent::Step {
                    step: self.step,
                    steps: self.params.steps,
                    loss,
                };
                if observer(&event) == Control::Stop {
                    return Ok(Control::Stop);
                }
            }
        }
        Ok(Control::Continue)
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write_to(&self, out: impl Write) -> Result<(), TrainError> {
        let mut writer = Writer::new(out, MAGIC, VERSION)?;
        let header = Header {
            params: self.params.clone(),
            step: self.step,
            d_in: self.model.d_in(),
            d_out: self.model.d_out(),
            timesteps: self.model.timesteps(),
            n_features: self.model.n_features(),
        };
        writer.text(&serde_json::to_string(&header).map_err(std::io::Error::from)?)?;
        writer.checksum()?;
        let features = self.model.features();
        for array in [features.weights(), self.model.theta1(), self.model.theta2()] {
            writer.f32s(array.as_standard_layout().as_slice().unwrap_or_default())?;
        }
        writer.f32s(features.bias().as_slice().unwrap_or_default())?;
        for moments in &self.moments {
            writer.f32s(&moments.first)?;
            writer.f32s(&moments.second)?;
        }
        writer.finish()
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// If it is damaged, cut short, too large, or of another kind or version.
    pub fn read_from(input: impl Read) -> Result<Self, TrainError> {
        let mut reader = Reader::new(input, KIND, MAGIC, VERSION)?;
        let header = reader.text(MAX_HEADER)?;
        reader.checksum()?;
        let h: Header = serde_json::from_str(&header)
            .map_err(|e| reader.error(format!("its header cannot be read ({e})")))?;
        let mut array = |rows: usize, columns: usize| {
            let count = rows.checked_mul(columns).filter(|n| *n <= MAX_WEIGHTS);
            let count = count.ok_or_else(|| reader.error("its model is too large"))?;
            let values = reader.f32s(count)?;
            Array2::from_shape_vec((rows, columns), values)
                .map_err(|_| reader.error("its model has an impossible shape"))
        };
        let weights = array(h.d_in, h.n_features)?;
        let theta1 = array(h.timesteps, h.n_features)?;
        let theta2 = array(h.n_features, h.d_out)?;
        let bias = array(1, h.n_features)?.remove_axis(Axis(0));
        let features = RandomFeatures::from_parts(weights, bias)?;
        let mut state = Self::from_model(Drfm::new(features, theta1, theta2)?, h.params)?;
        state.step = h.step;
        for moments in &mut state.moments {
            moments.first = reader.f32s(moments.first.len())?;
            moments.second = reader.f32s(moments.second.len())?;
        }
        reader.finish()?;
        Ok(state)
    }
}

/// Numbers of trained values of theta2, theta1, W and b.
fn trained_sizes(model: &Drfm, kind: ModelKind) -> [usize; 4] {
    let features = model.features();
    let (gates, all) = (kind != ModelKind::Rf, kind == ModelKind::Nn);
    let if_trained = |trained: bool, size: usize| if trained { size } else { 0 };
    [
        model.theta2().len(),
        if_trained(gates, model.theta1().len()),
        if_trained(all, features.weights().len()),
        if_trained(all, features.bias().len()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FeatureDraw;
    use crate::train::closed_form::{ClosedFormParams, TimestepWeights, solve};
    use crate::train::{Fold, Stats};

    fn data(rows: usize, seed: u64) -> Batch {
        let mut rng = StableRng::new(seed, 0);
        let mut batch = Batch::new(3, 2, 4);
        for _ in 0..rows {
            let x: Vec<f32> = (0..3).map(|_| rng.normal() as f32).collect();
            let k = 1 + rng.below(4);
            let target = [x[0] * k as f32 * 0.3, (x[1] + x[2]).sin()];
            batch.push(&x, k, &target).unwrap();
        }
        batch
    }

    fn features(n: usize) -> RandomFeatures {
        RandomFeatures::draw(&FeatureDraw::gaussian(3, n, 2, 0.8)).unwrap()
    }

    fn state(kind: ModelKind, n: usize, steps: u64) -> AdamState {
        let params = AdamParams {
            kind,
            steps,
            batch: 16,
            learning_rate: 1e-2,
            seed: 4,
            report_every: 10,
            ..AdamParams::default()
        };
        AdamState::new(features(n), 4, 2, params).unwrap()
    }

    fn run(state: &mut AdamState, data: &Batch) -> f64 {
        let mut last = f64::NAN;
        let mut see = |e: &TrainEvent| {
            if let TrainEvent::Step { loss, .. } = e {
                last = *loss;
            }
            Control::Continue
        };
        state.train(data, &mut see).unwrap();
        last
    }

    /// All parameters of a model in double precision: W, b, theta1, theta2.
    fn parameters(model: &Drfm) -> [Vec<f64>; 4] {
        let wide = |a: &Array2<f32>| a.iter().map(|v| f64::from(*v)).collect();
        let bias = model.features().bias().iter().map(|v| f64::from(*v));
        [
            wide(model.features().weights()),
            bias.collect(),
            wide(model.theta1()),
            wide(model.theta2()),
        ]
    }

    #[test]
    fn only_what_belongs_to_the_kind_is_trained() {
        let data = data(200, 1);
        for (kind, changes) in [
            (ModelKind::Rf, [false, false, false, true]),
            (ModelKind::Drfm, [false, false, true, true]),
            (ModelKind::Nn, [true, true, true, true]),
        ] {
            let mut state = state(kind, 20, 100);
            let before = parameters(&state.model);
            run(&mut state, &data);
            let after = parameters(&state.model);
            for (i, change) in changes.iter().enumerate() {
                assert_eq!(before[i] != after[i], *change, "{kind:?} {i}");
            }
            if kind == ModelKind::Rf {
                assert!(after[2].iter().all(|t| *t == 0.0));
            }
        }
    }

    #[test]
    fn an_interrupted_run_ends_with_the_same_bits() {
        let data = data(200, 1);
        for kind in [ModelKind::Drfm, ModelKind::Rf, ModelKind::Nn] {
            let mut whole = state(kind, 10, 60);
            run(&mut whole, &data);
            let mut first = state(kind, 10, 60);
            let mut events = 0;
            let stopped = first.train(&data, &mut |_| {
                events += 1;
                if events == 3 {
                    Control::Stop
                } else {
                    Control::Continue
                }
            });
            assert_eq!((stopped.unwrap(), first.step()), (Control::Stop, 30));
            let mut file = Vec::new();
            first.write_to(&mut file).unwrap();
            let mut second = AdamState::read_from(&file[..]).unwrap();
            assert_eq!(first, second);
            run(&mut second, &data);
            assert_eq!(second, whole);
        }
    }

    #[test]
    fn damaged_checkpoints_are_errors() {
        let mut state = state(ModelKind::Nn, 4, 5);
        run(&mut state, &data(20, 1));
        let mut file = Vec::new();
        state.write_to(&mut file).unwrap();
        for at in 0..file.len() {
            assert!(AdamState::read_from(&file[..at]).is_err());
            let mut bad = file.clone();
            bad[at] ^= 1 << (at % 8);
            assert!(AdamState::read_from(&bad[..]).is_err(), "{at}");
        }
    }

    #[test]
    fn adam_approaches_the_closed_form() {
        let data = data(300, 1);
        let draw = FeatureDraw::gaussian(3, 12, 2, 0.8);
        let mut stats = Stats::new(draw, 2, 4).unwrap();
        stats.accumulate(&data, Fold::Train).unwrap();
        for kind in [ModelKind::Rf, ModelKind::Drfm] {
            let params = ClosedFormParams {
                kind,
                rounds: 200,
                ridge_grid: vec![1e-9],
                weights: TimestepWeights::PerRow,
            };
            let (_, report) = solve(&stats, &params, &mut |_| Control::Continue).unwrap();
            let mut state = state(kind, 12, 8000);
            state.params.batch = 64;
            state.params.report_every = 1000;
            state.params.learning_rate = 5e-3;
            let adam = run(&mut state, &data);
            println!("{kind:?}: closed form {:.5}, Adam {adam:.5}", report.loss);
            assert!(adam < 1.15 * report.loss + 1e-3);
            if kind == ModelKind::Rf {
                assert!(adam > 0.97 * report.loss);
            }
        }
    }

    #[test]
    fn what_cannot_be_trained_is_refused() {
        let data = data(20, 1);
        for change in [
            (|p| p.steps = 0) as fn(&mut AdamParams),
            |p| p.batch = 0,
            |p| p.learning_rate = f32::NAN,
            |p| p.beta1 = 1.0,
            |p| p.beta2 = -0.1,
            |p| p.epsilon = 0.0,
            |p| p.report_every = 0,
        ] {
            let mut params = AdamParams::default();
            change(&mut params);
            assert!(AdamState::new(features(4), 4, 2, params).is_err());
        }
        let mut state = state(ModelKind::Nn, 4, 50);
        let go = &mut |_: &TrainEvent| Control::Continue;
        assert!(state.train(&Batch::new(3, 2, 4), go).is_err());
        assert!(state.train(&Batch::new(3, 2, 5), go).is_err());
        state.params.learning_rate = 1e30;
        assert!(matches!(
            state.train(&data, go),
            Err(TrainError::Diverged(_))
        ));
    }
}
