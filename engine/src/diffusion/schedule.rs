//! diffusion/schedule
