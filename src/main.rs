//! The `thinvol` command.

fn main() {}
