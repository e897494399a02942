//! audio/step
