//! The `thinvol` command.

mod udev_events;

/// Enough for the texts of a group with thousands of volumes.
const KEPT_BYTES: u32 = 32 << 20;

fn main() -> std::process::ExitCode {
    sys::memory::keep_freed(KEPT_BYTES);
    cli::run::run(std::env::args_os(), Some(udev_events::subscribe))
}
