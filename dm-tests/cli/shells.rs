//! Completion, tried in the shells themselves. A shell that is not installed is left out, which is said, unless
//! `THINVOL_NEED_SHELLS` is set, as `vm-harness/run test` sets it.

use std::path::Path;
use std::process::{Command, Output};

use crate::terminal::{repository, run, text};

const NEED: &str = "THINVOL_NEED_SHELLS";

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(&["completions", shell], "");
        let script = text(&output.stdout);
        for word in ["delete-snapshot", "deactivate", "lvmthin", "--dry-run", "--json"] {
            assert!(script.contains(word.trim_start_matches("--")), "{shell}: {word}");
        }
    }
}

#[test]
fn scripts_for_shells_ask_for_names() {
    for shell in ["bash", "fish", "zsh"] {
        let output = run(&["completions", shell], "");
        assert_eq!(text(&output.stdout).matches(" complete -- ").count(), 1, "{shell}");
    }
}

/// Runs a script in a shell that finds the command; `None` if there is no such shell.
fn shell(program: &str, options: &[&str], script: &str, home: &Path) -> Option<Output> {
    let folder = Path::new(env!("CARGO_BIN_EXE_thinvol")).parent().expect("a program is in a folder");
    let output = Command::new(program)
        .args(options)
        .args(["-c", script])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .env("HOME", home)
        .env("TERM", "dumb")
        .current_dir(repository())
        .output();
    match output {
        Ok(output) => Some(output),
        Err(error) => {
            assert!(
                std::env::var_os(NEED).is_none(),
                "{NEED} is set, and {program} cannot be started: {error}"
            );
            eprintln!("left out: {program} cannot be started: {error}");
            None
        }
    }
}

/// What a script printed, if it had nothing to complain about.
fn printed(output: &Output) -> &str {
    assert!(output.status.success() && output.stderr.is_empty(), "{:?}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn bash_completes_the_storages_of_the_configuration() {
    let program = env!("CARGO_BIN_EXE_thinvol");
    let script = r#"source <("$1" completions bash)
        PROGRAM="$1 --config $2"
        COMP_LINE="$PROGRAM set " COMP_POINT=$((${#PROGRAM} + 5))
        _thinvol thinvol "" "set"; echo "${COMPREPLY[*]}"
        COMP_LINE="$PROGRAM list loc" COMP_POINT=$((${#PROGRAM} + 9))
        _thinvol thinvol "loc" "list"; echo "${COMPREPLY[*]}""#;
    let config = repository().join("dm-tests/cli/storage.cfg");
    let output = Command::new("bash")
        .args(["-c", script, "bash", program])
        .arg(config)
        .env("PATH", "/usr/bin:/bin")
        .output()
        .expect("bash is there");
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout), "elsewhere files local local-lvm off san\nlocal local-lvm\n");
}

/// fish says itself what it would offer.
#[test]
fn fish_completes_storages_and_commands() {
    let home = tempfile::tempdir().expect("a folder");
    let script = r#"thinvol completions fish | source
        complete -C "thinvol --config dm-tests/cli/storage.cfg set "; echo
        complete -C "thinvol --config dm-tests/cli/storage.cfg list loc"; echo
        complete -C "thinvol iscsi disc""#;
    let Some(output) = shell("fish", &["--no-config"], script, home.path()) else { return };
    let [storages, beginning, commands] =
        printed(&output).split("\n\n").collect::<Vec<_>>().try_into().expect("three answers");
    assert_eq!(storages, "elsewhere\nfiles\nlocal\nlocal-lvm\noff\nsan");
    assert_eq!(beginning, "local\nlocal-lvm");
    assert!(commands.starts_with("discover\t"), "{commands}");
}

/// zsh in a terminal of its own, where keys are typed: the line, a tab, and a key that tells what the line is then.
#[test]
fn zsh_completes_storages_and_commands() {
    const SCRIPT: &str = r#"
        zmodload zsh/zpty
        typed() {
            zpty shell zsh -f -i
            zpty -w shell "autoload -U compinit && compinit -D -u; source <(thinvol completions zsh)"
            zpty -w shell "tell() { print -r -- \$BUFFER >$HOME/new && mv $HOME/new $HOME/line }"
            zpty -w shell "zle -N tell; bindkey '^X' tell"
            zpty -w -n shell "$1"$'\t\x18'
            repeat 600; do
                [[ -e $HOME/line ]] && break
                zpty -r -t shell >/dev/null
                sleep 0.05
            done
            zpty -d shell
            cat $HOME/line; rm -f $HOME/line
        }
        typed "thinvol --config dm-tests/cli/storage.cfg set elsew"
        typed "thinvol --config dm-tests/cli/storage.cfg list loc"
        typed "thinvol iscsi disc""#;
    let home = tempfile::tempdir().expect("a folder");
    let Some(output) = shell("zsh", &["-f"], SCRIPT, home.path()) else { return };
    let lines: Vec<&str> = printed(&output).lines().map(str::trim_end).collect();
    let configured = |line: &str| format!("thinvol --config dm-tests/cli/storage.cfg {line}");
    assert_eq!(lines, [&configured("set elsewhere"), &configured("list local"), "thinvol iscsi discover"]);
}
