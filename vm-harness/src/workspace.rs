//! Where things are kept.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The folders the harness works in.
pub struct Workspace {
    /// The source tree.
    pub root: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
    /// Built images; may be shared between source trees by `THINVOL_VM_CACHE`.
    pub cache: PathBuf,
}

impl Workspace {
    /// Finds the folders and creates those of the harness.
    pub fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the harness was built outside the workspace")?
            .to_path_buf();
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let cache =
            std::env::var_os("THINVOL_VM_CACHE").map_or_else(|| target.join("vm/cache"), PathBuf::from);
        let workspace = Workspace { root, target, cache };
        for folder in [&workspace.cache, &workspace.logs(), &workspace.shared_out()] {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        workspace.forget_dead_runs();
        Ok(workspace)
    }

    /// Removes the folders of runs that were killed before they could.
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

    /// Cargo at work on this source tree. Set for the harness by cargo when run through it, RUSTFLAGS would only cause
    /// rebuilds.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).env_remove("RUSTFLAGS");
        command
    }

    /// Cargo compiling and running tests, always of the same packages in the same profile, so that nothing is compiled
    /// twice. It is the machine's profile: the tests that explore crashes are several times faster than unoptimised.
    pub fn cargo_test(&self) -> Command {
        let mut command = self.cargo();
        command.args(["test", "--locked", "--workspace", "--exclude", "dm-benches", "--profile", "guest"]);
        command
    }
}

/// A folder that lives as long as its guest.
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
