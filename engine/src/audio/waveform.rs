//! audio/waveform
