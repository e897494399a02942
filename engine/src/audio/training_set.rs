//! audio/training_set
