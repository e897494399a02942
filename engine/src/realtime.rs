//! What an audio thread needs beside the denoiser: ways to show what it does without waiting, and quick arithmetic.
pub mod denormals;
pub mod meters;
pub mod noise_board;
