//! Runs the command in an environment of its own: no terminal, no variables but those given, 100 columns.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The command, ready to be run.
pub fn thinvol(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thinvol"));
    command.args(arguments).env_clear().env("COLUMNS", "100").current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = thinvol(arguments).stdin(Stdio::piped()).spawn().expect("the command was built");
    // The command may end without reading its input.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("the command ends")
}

/// What a stream of the command holds.
pub fn text(stream: &[u8]) -> &str {
    std::str::from_utf8(stream).expect("the command prints UTF-8")
}

/// The top of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
