//! What is built from this source tree and handed to the guest: thinvol, the test agent, scripts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::progress::step;
use crate::workspace::Workspace;

/// The target triple; naming it keeps crt-static away from build scripts and procedural macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";

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
    static_folder: PathBuf,
    dynamic_folder: PathBuf,
}

impl Payload {
    /// Builds everything a guest needs: the agent and a thinvol without udev, both static, and the thinvol
    /// that is shipped.
    pub fn build(workspace: &Workspace, profile: Profile) -> Result<Self> {
        let payload = Payload {
            static_folder: workspace.target.join(TARGET).join(Profile::Guest.name()),
            dynamic_folder: workspace.target.join(profile.name()),
        };
        step(workspace, "build the agent and a static thinvol", |log| {
            let mut command = cargo_build(workspace, Profile::Guest);
            command.args(["--no-default-features", "--target", TARGET, "--package", "dm-tests"]);
            // Not optimised: what it does is to wait for others, and it is compiled in half the time.
            command.args(["--config", "profile.guest.opt-level=0"]);
            log.run(command.env("RUSTFLAGS", "-C target-feature=+crt-static"))
        })?;
        step(workspace, "build thinvol", |log| match profile {
            Profile::Release => log.run(&mut cargo_build(workspace, profile)),
            // The one that the tests of the command line run: it is compiled already, where those have run. Its
            // library exports the doubles too, and is else the same.
            Profile::Guest => log.run(workspace.cargo_test().args(["--no-run", "--test", "cli"])),
        })?;
        Ok(payload)
    }

    /// The static `dm-tests`.
    pub fn agent(&self) -> PathBuf {
        self.static_folder.join("dm-tests")
    }

    /// The static `thinvol`.
    pub fn static_thinvol(&self) -> PathBuf {
        self.static_folder.join("thinvol")
    }

    /// Puts binaries and scripts where the guest finds them as /payload.
    pub fn stage(&self, workspace: &Workspace, folder: &Path) -> Result<()> {
        let copy = |from: PathBuf, name: &str| {
            fs::copy(&from, folder.join(name)).with_context(|| format!("cannot copy {}", from.display()))
        };
        copy(self.agent(), "dm-tests")?;
        copy(self.dynamic_folder.join("thinvol"), "thinvol")?;
        for script in ["init", "shell", "pool"] {
            copy(workspace.harness_file("guest").join(script), script)?;
        }
        Ok(())
    }
}

fn cargo_build(workspace: &Workspace, profile: Profile) -> Command {
    let mut command = workspace.cargo();
    command.args(["build", "--locked", "--package", "thinvol", "--profile", profile.name()]);
    command
}
