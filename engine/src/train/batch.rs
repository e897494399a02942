//! What a trainer sees: rows of (x_k, k, target), and where they come from.

use super::error::TrainError;

/// Training rows: inputs `x_k`, timesteps `k`, and the target to predict.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    d_in: usize,
    d_out: usize,
    timesteps: usize,
    x: Vec<f32>,
    timestep: Vec<u16>,
    target: Vec<f32>,
}

impl Batch {
    /// An empty batch for rows of `d_in` inputs, `d_out` targets and timesteps 1 to `timesteps`.
    #[must_use]
    pub fn new(d_in: usize, d_out: usize, timesteps: usize) -> Self {
        Self {
            d_in,
            d_out,
            timesteps,
            x: Vec::new(),
            timestep: Vec::new(),
            target: Vec::new(),
        }
    }

    /// An empty batch of the shape of `set`.
    #[must_use]
    pub fn for_set(set: &dyn TrainingSet) -> Self {
        Self::new(set.d_in(), set.d_out(), set.timesteps())
    }

    /// Adds one row: `x` (d_in values), `k` (1 to K) and `target` (d_out values).
    ///
    /// # Errors
    /// If a length or the timestep is wrong, or a value is not finite; the batch is unchanged then.
    pub fn push(&mut self, x: &[f32], k: usize, target: &[f32]) -> Result<(), TrainError> {
        let refuse = |reason| {
            Err(TrainError::Row {
                row: self.timestep.len(),
                reason,
            })
        };
        if x.len() != self.d_in {
            return refuse("wrong number of inputs");
        }
        if target.len() != self.d_out {
            return refuse("wrong number of targets");
        }
        let Some(k) = u16::try_from(k)
            .ok()
            .filter(|k| (1..=self.timesteps).contains(&usize::from(*k)))
        else {
            return refuse("timestep outside the schedule");
        };
        if !x.iter().chain(target).all(|v| v.is_finite()) {
            return refuse("a value is not finite");
        }
        self.x.extend_from_slice(x);
        self.timestep.push(k);
        self.target.extend_from_slice(target);
        Ok(())
    }

    /// Removes all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.x.clear();
        self.timestep.clear();
        self.target.clear();
    }

    /// Adds all rows of a batch of the same shape.
    ///
    /// # Errors
    /// [`TrainError::Mismatch`] if the shapes differ.
    pub fn append(&mut self, other: &Self) -> Result<(), TrainError> {
        let shape = |b: &Self| (b.d_in, b.d_out, b.timesteps);
        if shape(self) != shape(other) {
            return Err(TrainError::Mismatch {
                what: "the batch shape (inputs, outputs, timesteps)",
                found: format!("{:?}", shape(other)),
                expected: format!("{:?}", shape(self)),
            });
        }
        self.x.extend_from_slice(&other.x);
        self.timestep.extend_from_slice(&other.timestep);
        self.target.extend_from_slice(&other.target);
        Ok(())
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timestep.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timestep.is_empty()
    }

    /// Inputs per row.
    #[must_use]
    pub fn d_in(&self) -> usize {
        self.d_in
    }

    /// Targets per row.
    #[must_use]
    pub fn d_out(&self) -> usize {
        self.d_out
    }

    /// Number of timesteps K.
    #[must_use]
    pub fn timesteps(&self) -> usize {
        self.timesteps
    }

    /// All inputs, row after row.
    #[must_use]
    pub fn x(&self) -> &[f32] {
        &self.x
    }

    /// The timestep (1 to K) of each row.
    #[must_use]
    pub fn timestep(&self) -> &[u16] {
        &self.timestep
    }

    /// All targets, row after row.
    #[must_use]
    pub fn target(&self) -> &[f32] {
        &self.target
    }

    /// Inputs of row `i`.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn x_row(&self, i: usize) -> &[f32] {
        &self.x[i * self.d_in..(i + 1) * self.d_in]
    }

    /// Targets of row `i`.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn target_row(&self, i: usize) -> &[f32] {
        &self.target[i * self.d_out..(i + 1) * self.d_out]
    }
}

/// Where training rows come from: audio excerpts, images, memory.
///
/// A part is a piece that is cheap to hold in memory, for example one excerpt of one file; a few thousand rows make
/// the statistics fast. Reading a part twice gives the same rows.
pub trait TrainingSet: Sync {
    /// Inputs per row.
    fn d_in(&self) -> usize;

    /// Targets per row.
    fn d_out(&self) -> usize;

    /// Number of timesteps K.
    fn timesteps(&self) -> usize;

    /// Number of parts.
    fn parts(&self) -> usize;

    /// Whether `part` is set aside for validation. The split is by file: excerpts of one file stay on one side.
    fn is_validation(&self, part: usize) -> bool;

    /// Adds the rows of `part` (from 0) to `out`. Called from several threads at once.
    ///
    /// # Errors
    /// If the part cannot be read.
    fn read_part(&self, part: usize, out: &mut Batch) -> Result<(), TrainError>;
}

/// Reads all rows of one fold into memory, part after part: what Adam trains on.
///
/// # Errors
/// What reading a part gives.
pub fn read_fold(set: &dyn TrainingSet, fold: Fold) -> Result<Batch, TrainError> {
    let mut all = Batch::for_set(set);
    for part in (0..set.parts()).filter(|part| Fold::of_part(set, *part) == fold) {
        set.read_part(part, &mut all)?;
    }
    Ok(all)
}

/// The two sides of the validation split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fold {
    /// What the equations are solved for.
    Train,
    /// What the ridge is chosen with.
    Validation,
}

impl Fold {
    /// The side a part of a training set is on.
    pub(crate) fn of_part(set: &dyn TrainingSet, part: usize) -> Self {
        if set.is_validation(part) {
            Self::Validation
        } else {
            Self::Train
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Train => 0,
            Self::Validation => 1,
        }
    }
}

/// A training set held in memory; each batch is one part.
#[derive(Clone, Debug)]
pub struct MemorySet {
    shape: Batch,
    parts: Vec<(Batch, bool)>,
}

impl MemorySet {
    /// An empty set for rows of `d_in` inputs, `d_out` targets and timesteps 1 to `timesteps`.
    #[must_use]
    pub fn new(d_in: usize, d_out: usize, timesteps: usize) -> Self {
        Self {
            shape: Batch::new(d_in, d_out, timesteps),
            parts: Vec::new(),
        }
    }

    /// Adds a part.
    ///
    /// # Errors
    /// [`TrainError::Mismatch`] if its shape is another.
    pub fn push(&mut self, part: Batch, validation: bool) -> Result<(), TrainError> {
        self.shape.clone().append(&part)?;
        self.parts.push((part, validation));
        Ok(())
    }
}

impl TrainingSet for MemorySet {
    fn d_in(&self) -> usize {
        self.shape.d_in
    }

    fn d_out(&self) -> usize {
        self.shape.d_out
    }

    fn timesteps(&self) -> usize {
        self.shape.timesteps
    }

    fn parts(&self) -> usize {
        self.parts.len()
    }

    fn is_validation(&self, part: usize) -> bool {
        self.parts.get(part).is_some_and(|(_, v)| *v)
    }

    fn read_part(&self, part: usize, out: &mut Batch) -> Result<(), TrainError> {
        match self.parts.get(part) {
            Some((batch, _)) => out.append(batch),
            None => Err(TrainError::Mismatch {
                what: "the part",
                found: part.to_string(),
                expected: format!("below {}", self.parts.len()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_checked() {
        let mut b = Batch::new(2, 1, 3);
        assert!(b.push(&[1.0, 2.0], 3, &[4.0]).is_ok());
        assert!(b.push(&[1.0], 3, &[4.0]).is_err());
        assert!(b.push(&[1.0, 2.0], 3, &[]).is_err());
        assert!(b.push(&[1.0, 2.0], 0, &[4.0]).is_err());
        assert!(b.push(&[1.0, 2.0], 4, &[4.0]).is_err());
        assert!(b.push(&[1.0, f32::NAN], 1, &[4.0]).is_err());
        assert!(b.push(&[1.0, 2.0], 1, &[f32::INFINITY]).is_err());
        assert_eq!(
            (b.len(), b.x_row(0), b.target_row(0)),
            (1, &[1.0, 2.0][..], &[4.0][..])
        );
        assert!(b.append(&Batch::new(2, 2, 3)).is_err());
        let copy = b.clone();
        b.append(&copy).unwrap();
        assert_eq!((b.len(), b.timestep()), (2, &[3, 3][..]));
    }

    #[test]
    fn memory_sets_give_their_parts() {
        let mut part = Batch::new(1, 1, 1);
        part.push(&[1.0], 1, &[2.0]).unwrap();
        let mut set = MemorySet::new(1, 1, 1);
        set.push(part.clone(), false).unwrap();
        set.push(part.clone(), true).unwrap();
        assert!(set.push(Batch::new(1, 2, 1), false).is_err());
        let mut out = Batch::for_set(&set);
        set.read_part(1, &mut out).unwrap();
        assert_eq!(out, part);
        assert!(set.read_part(2, &mut out).is_err());
        assert_eq!(read_fold(&set, Fold::Train).unwrap(), part);
        assert_eq!(Fold::of_part(&set, 1), Fold::Validation);
        assert!(set.is_validation(1) && !set.is_validation(0) && !set.is_validation(9));
    }
}
