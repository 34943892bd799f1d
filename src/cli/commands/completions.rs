//! `thinvol completions`: scripts for shells.

use std::io::{self, Write};

use clap::{Args, Command};
use clap_complete::Shell;

use crate::errors::CliError;
use base::error_kind::ErrorKind;

const HELP: &str = "\
Examples:
  thinvol completions bash > /usr/share/bash-completion/completions/thinvol
  thinvol completions zsh > /usr/local/share/zsh/site-functions/_thinvol
  source <(thinvol completions bash)";

/// Print a completion script for a shell
///
/// Prints a completion script for a shell. The scripts for bash, fish and zsh also complete the names of
/// storages, volumes and snapshots; names that only root can read are completed for root.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// How the script's function starts.
const START: &str = "_thinvol() {\n";

/// In bash, asks for names before anything else. Bash takes `:` and `@` for ends of words, the command does not: the
/// words are made from the line again, and what bash takes for words before the last is cut off the answers.
const BASH: &str = r#"    local line="${COMP_LINE:0:COMP_POINT}"
    local word="${line##*[[:space:]]}"
    local -a words names
    read -ra words <<< "$line"
    [[ -n "$word" ]] || words+=("")
    mapfile -t names < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
    if [[ ${#names[@]} -gt 0 ]]; then
        local known="${word%"$2"}"
        COMPREPLY=("${names[@]#"$known"}")
        [[ "${names[0]}" != *[:/@] ]] || compopt -o nospace 2>/dev/null
        return 0
    fi
"#;

/// The same in zsh, whose words are the command's.
const ZSH: &str = r#"    local -a names
    names=(${(f)"$("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( ${#names} )); then
        compadd -S '' -a names
        return
    fi
"#;

/// In fish, names are offered beside what the script offers.
const FISH: &str = r#"
complete -c thinvol -f -a '(thinvol complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
"#;

/// A script that asks the command for names, where the shell is one of those for which that is written.
fn with_names(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => script.replacen(START, &format!("{START}{BASH}"), 1),
        Shell::Zsh => script.replacen(START, &format!("{START}{ZSH}"), 1),
        Shell::Fish => format!("{script}{FISH}"),
        _ => script.to_owned(),
    }
}

impl CompletionsArgs {
    /// Prints the script for a command of that definition.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn run(&self, mut definition: Command) -> Result<(), CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut definition, "thinvol", &mut script);
        let script = with_names(self.shell, &String::from_utf8_lossy(&script));
        match io::stdout().write_all(script.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CliError::new(ErrorKind::Refused, "the script cannot be written to standard output")
                    .caused_by(Some(&error)))
            }
            _ => Ok(()),
        }
    }
}
