//! The folders of the harness.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::suite::Suite;

/// The crates of the product, below `src/`.
const CRATES: [&str; 8] = [
    "thinvol-base",
    "thinvol-sys",
    "thinvol-dm",
    "thinvol-lvm2",
    "thinvol-iscsi",
    "thinvol-config",
    "thinvol-thin",
    "thinvol-cli",
];

/// The folders the harness works in.
pub struct Workspace {
    /// The release of Debian that guests are made of.
    pub suite: Suite,
    /// The source tree.
    pub root: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
    /// Built images; may be shared between source trees by `THINVOL_VM_CACHE`.
    pub cache: PathBuf,
}

impl Workspace {
    /// Finds the folders and creates those of the harness. The source tree is where this program was started, as
    /// `vm-harness/run` does: it may have been built in another tree, of which the target folder is a copy.
    pub fn find(suite: Suite) -> Result<Self> {
        let root = std::env::current_dir().context("the source tree is gone")?;
        ensure!(root.join("vm-harness/run").is_file(), "start the harness by 'vm-harness/run'");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let cache =
            std::env::var_os("THINVOL_VM_CACHE").map_or_else(|| target.join("vm/cache"), PathBuf::from);
        let workspace = Workspace { suite, root, target, cache };
        for folder in [&workspace.cache, &workspace.logs(), &workspace.shared_out()] {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        workspace.forget_dead_runs();
        Ok(workspace)
    }

    /// The same for guests of another release.
    pub fn of(&self, suite: Suite) -> Self {
        Workspace { suite, root: self.root.clone(), target: self.target.clone(), cache: self.cache.clone() }
    }

    /// Removes the folders that killed runs have left.
    fn forget_dead_runs(&self) {
        for entry in std::fs::read_dir(self.target.join("vm/run")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let pid = name.split('-').next().unwrap_or_default();
            if !Path::new("/proc").join(pid).exists() {
                // Best effort: it is only space.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Logs of steps and consoles of guests.
    pub fn logs(&self) -> PathBuf {
        self.target.join("vm/logs")
    }

    /// The folder guests see as /out, writable.
    pub fn shared_out(&self) -> PathBuf {
        self.target.join("vm/out")
    }

    /// A file of the harness's own source folder.
    pub fn harness_file(&self, name: &str) -> PathBuf {
        self.root.join("vm-harness").join(name)
    }

    /// A folder for one run of one guest, removed when the value is dropped.
    pub fn run_folder(&self) -> Result<RunFolder> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = self.target.join(format!("vm/run/{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(RunFolder { path })
    }

    /// A cargo command for this source tree. RUSTFLAGS is removed: cargo sets it for the harness, and it would cause
    /// rebuilds.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).env_remove("RUSTFLAGS");
        command
    }

    /// A cargo command that runs tests in the machine's profile: crates that both need are compiled once.
    fn cargo_test(&self) -> Command {
        let mut command = self.cargo();
        command.args(["test", "--locked", "--profile", "guest"]);
        command
    }

    /// The tests outside of the libraries, and the program that they run. They explore crashes, which needs an
    /// optimised library.
    pub fn integration_tests(&self) -> Command {
        let mut command = self.cargo_test();
        command.args(["--workspace", "--exclude", "dm-benches"]);
        command
    }

    /// All tests. Those inside the libraries take seconds in any profile, but minutes to optimise.
    pub fn all_tests(&self) -> [Command; 4] {
        let [mut outside, mut inside, mut of_tests, mut example] =
            [self.integration_tests(), self.cargo_test(), self.cargo_test(), self.cargo_test()];
        outside.args(["--bins", "--test", "*"]);
        inside.args(["--lib", "--package", "vm-harness"]);
        for name in CRATES {
            inside.args([
                "--package",
                name,
                "--config",
                &format!("profile.guest.package.{name}.opt-level=0"),
            ]);
        }
        of_tests.args(["--package", "dm-tests", "--lib"]);
        example.args(["--package", "dm-tests", "--doc"]);
        [outside, inside, of_tests, example]
    }
}

/// A folder that is removed with its guest.
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // It holds only copies; what remains is removed with the target folder.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
