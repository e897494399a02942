//! audio/kernel
