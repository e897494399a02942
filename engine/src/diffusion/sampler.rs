//! diffusion/sampler
