//! The `thinvol` command.

mod udev_events;

fn main() -> std::process::ExitCode {
    cli::run::run(std::env::args_os(), Some(udev_events::subscribe))
}
