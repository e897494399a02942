//! train/closed_form
