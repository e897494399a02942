//! Training: closed form and Adam.
pub mod batch;
pub mod stats;
pub mod closed_form;
pub mod adam;
pub mod params;
