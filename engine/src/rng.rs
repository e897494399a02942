//! Random numbers that never change.
