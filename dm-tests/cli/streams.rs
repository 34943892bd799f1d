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
