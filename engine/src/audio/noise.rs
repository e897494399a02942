//! audio/noise
