//! The agent that the harness starts in its virtual machine; linked statically, for there may be no libraries.

use std::process::ExitCode;

fn main() -> ExitCode {
    match vm_harness::agent::serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}
