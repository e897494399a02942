//! The `drfm` command.
fn main() {}
