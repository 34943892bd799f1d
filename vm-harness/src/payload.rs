//! What is built from this source tree and handed to the guest: thinvol, the test agent, scripts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::progress::step;
use crate::shipped;
use crate::workspace::Workspace;

/// What a guest is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// The program alone, quick to build: the demo, a shell.
    Program,
    /// The program alone, as it is shipped.
    Shipped,
    /// The program that the tests of the command line run, and the cases.
    Cases,
    /// The program as it is shipped, and what measures it.
    Bench,
}

impl Contents {
    fn profile(self) -> &'static str {
        match self {
            Contents::Program | Contents::Cases => GUEST,
            Contents::Shipped | Contents::Bench => "release",
        }
    }

    fn has_cases(self) -> bool {
        matches!(self, Contents::Cases | Contents::Bench)
    }
}

/// The Cargo profile that is quick to build and not hopelessly slow under emulation.
const GUEST: &str = "guest";

/// The program that has the cases.
const CASES: &str = "dm-tests";

/// The built binaries.
pub struct Payload {
    folder: PathBuf,
    binaries: Vec<&'static str>,
    more: Vec<PathBuf>,
}

impl Payload {
    /// Builds everything a guest needs: what takes orders in it, thinvol, and the cases, the first and the last linked
    /// statically. Copies are kept: the next tests that are compiled take the places of these binaries.
    pub fn build(workspace: &Workspace, contents: Contents) -> Result<Self> {
        let mut payload = Payload {
            folder: workspace.target.join("vm/payload"),
            binaries: vec!["guest-agent", "thinvol"],
            more: Vec::new(),
        };
        fs::create_dir_all(&payload.folder)?;
        let profile = contents.profile();
        step(workspace, &format!("build thinvol ({profile})"), |log| match contents {
            // The one that the tests of the command line run: it is compiled already, where those have run. Its
            // crates export the doubles too, and are else the same.
            Contents::Cases => log.run(workspace.integration_tests().args(["--no-run", "--test", "cli"])),
            Contents::Program => log.run(&mut cargo("build", workspace, "thinvol", profile)),
            Contents::Shipped | Contents::Bench => {
                let mut build = cargo("build", workspace, "thinvol", profile);
                // As a whole, which is not done bit by bit, whatever who calls this has set for other builds.
                build.env("CARGO_INCREMENTAL", "0");
                log.run(build.env("CARGO_ENCODED_RUSTFLAGS", shipped::flags(workspace)?))
            }
        })?;
        let program = workspace.target.join(profile).join("thinvol");
        if matches!(contents, Contents::Shipped | Contents::Bench) {
            shipped::check(workspace, &program)?;
        }
        copy(&program, &payload.folder.join("thinvol"))?;
        payload.link(workspace, "vm-harness", "guest-agent")?;
        if contents.has_cases() {
            payload.link(workspace, "dm-tests", CASES)?;
            payload.binaries.push(CASES);
        }
        Ok(payload)
    }

    /// Links a program statically, from what the tests have been compiled with.
    fn link(&self, workspace: &Workspace, package: &str, name: &str) -> Result<()> {
        step(workspace, &format!("link {name}"), |log| {
            let mut command = cargo("rustc", workspace, package, GUEST);
            // For the last link alone.
            log.run(command.args(["--bin", name, "--", "-C", "target-feature=+crt-static"]))
        })?;
        copy(&workspace.target.join(GUEST).join(name), &self.folder.join(name))
    }

    /// What takes orders in the guest.
    pub fn agent(&self) -> PathBuf {
        self.folder.join("guest-agent")
    }

    /// The static `dm-tests`, which is a `thinvol` without udev too, under that name.
    pub fn cases(&self) -> Option<PathBuf> {
        self.binaries.contains(&CASES).then(|| self.folder.join(CASES))
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        self.folder.join("thinvol")
    }

    /// Also these files.
    pub fn add(&mut self, files: Vec<PathBuf>) {
        self.more.extend(files);
    }

    /// Puts binaries and scripts where the guest finds them as /payload.
    pub fn stage(&self, workspace: &Workspace, folder: &Path) -> Result<()> {
        for binary in &self.binaries {
            copy(&self.folder.join(binary), &folder.join(binary))?;
        }
        for file in &self.more {
            copy(file, &folder.join(file.file_name().context("a file without a name")?))?;
        }
        for script in ["init", "shell", "pool"] {
            copy(&workspace.harness_file("guest").join(script), &folder.join(script))?;
        }
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display())).map(drop)
}

fn cargo(verb: &str, workspace: &Workspace, package: &str, profile: &str) -> Command {
    let mut command = workspace.cargo();
    command.args([verb, "--locked", "--package", package, "--profile", profile]);
    command
}
