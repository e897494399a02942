//! The window.

use std::sync::Arc;

use crate::params::DrfmParams;
use crate::shared::Shared;

/// None yet.
pub type DrfmEditor = ();

/// None yet.
#[must_use]
pub const fn create(_shared: &Arc<Shared>, _params: &Arc<DrfmParams>) -> Option<DrfmEditor> {
    None
}
