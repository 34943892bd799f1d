//! `docs/cli.md` is the help of every command, one after another.

use clap::CommandFactory;
use cli::args::Cli;

use crate::golden;
use crate::terminal::{repository, run, text};

const START: &str = "\
# The command line

What `thinvol --help` and the help of each command say: addresses, options, examples, JSON forms, exit codes.
This page is made from them by a test (`THINVOL_BLESS=1 cargo test --test cli`); to change it, change `src/cli`.
";

/// The words that lead to each command, the program itself first.
fn commands() -> Vec<Vec<String>> {
    fn below(command: &clap::Command, words: &[String], found: &mut Vec<Vec<String>>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
            let words = [words, &[sub.get_name().to_owned()]].concat();
            found.push(words.clone());
            below(sub, &words, found);
        }
    }
    let mut found = vec![vec![]];
    below(&Cli::command(), &[], &mut found);
    found
}

#[test]
fn the_reference_is_what_help_says() {
    let mut page = START.to_owned();
    for words in commands() {
        let title = [&["thinvol".to_owned()], words.as_slice()].concat().join(" ");
        let arguments: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let output = run(&arguments, "");
        assert!(output.status.success() && output.stderr.is_empty(), "{title}");
        let help: Vec<&str> = text(&output.stdout).trim_end().lines().map(str::trim_end).collect();
        page.push_str(&format!("\n## {title}\n\n```text\n{}\n```\n", help.join("\n")));
    }
    golden::check(&repository().join("docs/cli.md"), &page).unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn every_command_has_examples_and_says_what_its_json_is() {
    let no_json = ["thinvol", "completions", "scan", "iscsi", "pool", "supervise", "monitor"];
    for words in commands() {
        let arguments: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let output = run(&arguments, "");
        let help = text(&output.stdout);
        let name = words.last().map_or("thinvol", String::as_str);
        assert!(help.lines().all(|line| line.chars().count() <= 120), "{name}: a line is too long");
        if !no_json.contains(&name) {
            assert!(help.contains("\nJSON:\n"), "{name}");
        }
        if !["thinvol", "scan", "iscsi", "pool"].contains(&name) {
            let examples = help.lines().filter(|line| line.trim_start().starts_with("thinvol ")).count();
            assert!(examples >= 2, "{name} has {examples} examples");
        }
    }
}

#[test]
fn the_definition_of_the_arguments_is_sound() {
    Cli::command().debug_assert();
}
