//! Classical denoisers: what every claim is measured against.
