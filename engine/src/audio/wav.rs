//! audio/wav
