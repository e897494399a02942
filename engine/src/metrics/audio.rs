//! metrics/audio
