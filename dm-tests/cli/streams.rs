//! Standard output and error: who reads them, and whether colours belong there.

use std::fs::OpenOptions;
use std::process::Stdio;

use crate::terminal::{run, text, thinvol};

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for arguments in [&["completions", "bash"][..], &["--help"], &["path", "pve/a"], &["--version"]] {
        let mut child = thinvol(arguments).spawn().expect("the command was built");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("the command ends");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has /dev/full");
    let output =
        thinvol(&["path", "pve/a"]).stdout(Stdio::from(full)).output().expect("the command was built");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr)
            .starts_with("error: the answer cannot be written to standard output\ncaused by: ")
    );
}

#[test]
fn colours_are_for_terminals_and_can_be_refused() {
    let coloured = |variables: &[(&str, &str)]| {
        let output = thinvol(&["free", "x"]).envs(variables.iter().copied()).output().expect("it was built");
        text(&output.stderr).contains('\u{1b}')
    };
    assert!(!coloured(&[]));
    assert!(coloured(&[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}

#[test]
fn versions_are_facts() {
    let output = run(&["--version"], "");
    assert_eq!(text(&output.stdout), format!("thinvol {}\n", env!("CARGO_PKG_VERSION")));
    let output = run(&["--version", "--json"], "");
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(facts["version"], env!("CARGO_PKG_VERSION"));
    assert!(facts["udev"].is_boolean() && facts["target"].is_string());
}

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

#[test]
fn bash_completes_the_storages_of_the_configuration() {
    let program = env!("CARGO_BIN_EXE_thinvol");
    let script = r#"source <("$1" completions bash)
        PROGRAM="$1 --config $2"
        COMP_LINE="$PROGRAM set " COMP_POINT=$((${#PROGRAM} + 5))
        _thinvol thinvol "" "set"; echo "${COMPREPLY[*]}"
        COMP_LINE="$PROGRAM list loc" COMP_POINT=$((${#PROGRAM} + 9))
        _thinvol thinvol "loc" "list"; echo "${COMPREPLY[*]}""#;
    let config = crate::terminal::repository().join("dm-tests/cli/storage.cfg");
    let output = std::process::Command::new("bash")
        .args(["-c", script, "bash", program])
        .arg(config)
        .env("PATH", "/usr/bin:/bin")
        .output()
        .expect("bash is there");
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout), "elsewhere files local local-lvm off san\nlocal local-lvm\n");
}
