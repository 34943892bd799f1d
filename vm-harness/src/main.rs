//! Builds and boots the virtual machine in which thinvol is shown, tested and measured.

mod accel;
mod actions;
mod apt;
mod args;
mod boots;
mod cases;
mod checks;
mod cpio;
mod cuts;
mod deny;
mod guest;
mod image;
mod initramfs;
mod kernel;
mod kvm;
mod on_host;
mod other_release;
mod package;
mod packages;
mod payload;
mod perl;
mod progress;
mod qemu;
mod rootfs;
mod rotation;
mod script;
mod shipped;
mod suite;
mod tier;
mod transcript;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match actions::run(args::Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("caused by: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}
