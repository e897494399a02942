//! audio/stft
