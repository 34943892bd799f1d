//! `thinvol completions`: scripts for shells.

use std::io::{self, Write};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::errors::{CliError, Code};

const HELP: &str = "\
Examples:
  thinvol completions bash > /usr/share/bash-completion/completions/thinvol
  thinvol completions zsh > /usr/local/share/zsh/site-functions/_thinvol
  source <(thinvol completions bash)";

/// Prints a completion script for a shell on standard output.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

impl CompletionsArgs {
    /// Prints the script.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn run(&self) -> Result<(), CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "thinvol", &mut script);
        match io::stdout().write_all(&script) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CliError::new(Code::Refused, "the script cannot be written to standard output")
                    .caused_by(Some(&error)))
            }
            _ => Ok(()),
        }
    }
}
