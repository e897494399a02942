//! Training: closed form and Adam.
pub mod adam;
pub mod batch;
pub mod closed_form;
pub mod params;
pub mod stats;
