//! Answers in JSON have the form that help gives for them.

use clap::CommandFactory;
use cli::args::Cli;

use crate::json_form::{Form, of_help};
use crate::terminal::{repository, run, text};

/// The help of a command, named by its words.
fn help(words: &[&str]) -> String {
    text(&run(&[words, &["--help"]].concat(), "").stdout).to_owned()
}

fn form(words: &[&str], title: &str) -> Form {
    let form = of_help(&help(words), title).unwrap_or_else(|| panic!("{words:?} has no '{title}'"));
    form.unwrap_or_else(|error| panic!("{words:?} '{title}': {error}"))
}

#[test]
fn every_form_in_help_can_be_read() {
    fn below(command: &clap::Command, words: &[&str]) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let words = [words, &[sub.get_name()]].concat();
            let help = sub.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            if let Some(Err(error)) = of_help(&help, "JSON") {
                panic!("{words:?}: {error}");
            }
            below(sub, &words);
        }
    }
    below(&Cli::command(), &[]);
}

#[test]
fn answers_have_the_form_that_help_gives() {
    let config = repository().join("dm-tests/cli/storage.cfg").display().to_string();
    let over = |words: &str| -> serde_json::Value {
        let arguments: Vec<&str> = words.split(' ').chain(["--json", "--config", &config]).collect();
        let output = run(&arguments, "");
        assert!(output.status.success(), "{words}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{words}: {error}"))
    };
    for (command, arguments) in [
        ("path", "local-lvm:vm-100-disk-0"),
        ("add", "--dry-run lvmthin new --vgname pve --thinpool data --disable"),
        ("set", "--dry-run local-lvm --nodes a"),
        ("set", "--dry-run local-lvm"),
        ("remove", "--dry-run local-lvm"),
    ] {
        let answer = over(&format!("{command} {arguments}"));
        assert_eq!(form(&[command], "JSON").check_document(&answer), Ok(()), "{command} {arguments}");
    }
    assert_eq!(form(&[], "JSON of --version").check_document(&over("--version")), Ok(()));
}

#[test]
fn errors_have_the_form_that_help_gives() {
    let form = form(&[], "JSON of errors");
    for arguments in [&["free", "--json", "x"][..], &["snapshott", "--json"], &["--json"]] {
        let output = run(arguments, "");
        let answer: serde_json::Value = serde_json::from_slice(&output.stderr).expect("it is JSON");
        assert_eq!(form.check_document(&answer), Ok(()), "{arguments:?}");
    }
}
