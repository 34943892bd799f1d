//! Builds and boots the virtual machine in which thinvol is tested.

fn main() {}
