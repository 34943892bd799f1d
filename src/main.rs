//! The `thinvol` command.

fn main() -> std::process::ExitCode {
    thinvol::cli::run::run(std::env::args_os())
}
