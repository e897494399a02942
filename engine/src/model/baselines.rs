//! model/baselines
