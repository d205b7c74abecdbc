//! Portent
fn main() {}
