//! The `nonlin` command.

fn main() {}
