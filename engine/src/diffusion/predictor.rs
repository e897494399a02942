//! diffusion/predictor
