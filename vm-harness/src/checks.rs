//! The checks that need no machine: format, lints, documentation, unit tests, licences.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::deny;
use crate::image::Image;
use crate::perl;
use crate::progress::step;
use crate::workspace::Workspace;

/// Only one cargo at a time can compile. The other tests are started this long after the slowest ones, so that they are
/// compiled while those run.
const HEAD_START: Duration = Duration::from_secs(2);

/// Runs all checks, and builds the machine's image meanwhile. Returns what could not be checked here, in words.
pub fn run(workspace: &Workspace) -> Result<Option<&'static str>> {
    step(workspace, "cargo fmt --check", |log| log.run(workspace.cargo().args(["fmt", "--check"])))?;
    let [outside, inside, of_tests, example] = workspace.all_tests();
    let panicked = || Err(anyhow!("a thread of the harness panicked"));
    let (long, rest, plugins) = std::thread::scope(|scope| {
        let long = scope.spawn(|| test(workspace, "cargo test", [outside]));
        // It waits more than it works.
        let plugins = scope.spawn(|| perl::run(workspace));
        // What goes wrong with it is said when it is needed.
        scope.spawn(|| Image::get(workspace).map(drop));
        std::thread::sleep(HEAD_START);
        let rest = test(workspace, "cargo test --lib", [inside, of_tests, example])
            .and_then(|closing| clippy(workspace).map(|()| closing))
            .and_then(|closing| documentation(workspace).map(|()| closing));
        let [long, plugins] = [long, plugins].map(|thread| thread.join().unwrap_or_else(|_| panicked()));
        (long, rest, plugins)
    });
    println!("{}\n{}\n{}", long?, rest?, plugins?);
    deny::run(workspace)
}

fn clippy(workspace: &Workspace) -> Result<()> {
    step(workspace, "cargo clippy", |log| {
        let mut clippy = workspace.cargo();
        clippy.args(["clippy", "--locked", "--workspace", "--profile", "guest", "--all-targets"]);
        log.run(clippy.args(["--", "-D", "warnings"]))
    })
}

/// Builds the documentation of the source, private items included: broken links are errors.
fn documentation(workspace: &Workspace) -> Result<()> {
    step(workspace, "cargo doc", |log| {
        let mut doc = workspace.cargo();
        doc.args(["doc", "--locked", "--workspace", "--profile", "guest", "--no-deps"]);
        log.run(doc.arg("--document-private-items").env("RUSTDOCFLAGS", "-D warnings"))
    })
}

/// Runs tests; returns their closing lines.
fn test<const N: usize>(workspace: &Workspace, name: &str, commands: [Command; N]) -> Result<String> {
    step(workspace, name, |log| {
        for mut test in commands {
            // `run` has unpacked tgtd and installed the shells: the tests that need them may not be skipped here.
            log.run(test.env("THINVOL_NEED_TGTD", "1").env("THINVOL_NEED_SHELLS", "1"))?;
        }
        Ok(closing_lines(&String::from_utf8_lossy(&std::fs::read(log.path())?)))
    })
}

/// The name of each test binary with its closing line.
fn closing_lines(log: &str) -> String {
    let wanted = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("Running ") || line.starts_with("Doc-tests ") || line.starts_with("test result: ")
    };
    log.lines().filter(wanted).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::closing_lines;

    #[test]
    fn closing_lines_are_those_of_the_runners() {
        let log =
            "   Running unittests src/lib.rs\nrunning 1 test\ntest a ... ok\ntest result: ok. 1 passed\n";
        assert_eq!(closing_lines(log), "   Running unittests src/lib.rs\ntest result: ok. 1 passed");
    }
}
