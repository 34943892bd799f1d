//! What is built from this source tree and handed to the guest: thinvol, the test agent, scripts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::progress::step;
use crate::workspace::Workspace;

/// Cargo profile of the thinvol that runs in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Quick to build, not hopelessly slow under emulation.
    Guest,
    /// As shipped; what the demo shows and the bench measures.
    Release,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Profile::Guest => "guest",
            Profile::Release => "release",
        }
    }
}

/// The built binaries.
pub struct Payload {
    folder: PathBuf,
}

impl Payload {
    /// Builds everything a guest needs: the agent, which is linked statically, and the thinvol that is shipped. Copies
    /// are kept: the next tests that are compiled take the places of these binaries.
    pub fn build(workspace: &Workspace, profile: Profile) -> Result<Self> {
        let payload = Payload { folder: workspace.target.join("vm/payload") };
        fs::create_dir_all(&payload.folder)?;
        step(workspace, "build thinvol", |log| match profile {
            Profile::Release => log.run(&mut cargo("build", workspace, "thinvol", profile)),
            // The one that the tests of the command line run: it is compiled already, where those have run. Its
            // library exports the doubles too, and is else the same.
            Profile::Guest => log.run(workspace.integration_tests().args(["--no-run", "--test", "cli"])),
        })?;
        copy(&workspace.target.join(profile.name()).join("thinvol"), &payload.folder.join("thinvol"))?;
        step(workspace, "link the agent", |log| {
            let mut command = cargo("rustc", workspace, "dm-tests", Profile::Guest);
            // For the last link alone: all that is linked together is what the tests have been compiled with.
            log.run(command.args(["--bin", "dm-tests", "--", "-C", "target-feature=+crt-static"]))
        })?;
        copy(&workspace.target.join(Profile::Guest.name()).join("dm-tests"), &payload.agent())?;
        Ok(payload)
    }

    /// The static `dm-tests`, which is a `thinvol` without udev too, under that name.
    pub fn agent(&self) -> PathBuf {
        self.folder.join("dm-tests")
    }

    /// Puts binaries and scripts where the guest finds them as /payload.
    pub fn stage(&self, workspace: &Workspace, folder: &Path) -> Result<()> {
        for binary in ["dm-tests", "thinvol"] {
            copy(&self.folder.join(binary), &folder.join(binary))?;
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

fn cargo(verb: &str, workspace: &Workspace, package: &str, profile: Profile) -> Command {
    let mut command = workspace.cargo();
    command.args([verb, "--locked", "--package", package, "--profile", profile.name()]);
    command
}
