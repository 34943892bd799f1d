//! The disk image and kernel of the guest, built once for each recipe and each set of package versions, and kept in the
//! cache. The archive is asked for the versions once a day; if it cannot be reached, the image of the last answer is
//! used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

use crate::progress::step;
use crate::workspace::Workspace;
use crate::{apt, rootfs};

/// How long an answer of the archive is used.
const ANSWER_LIFETIME: Duration = Duration::from_hours(24);

/// The files that the image depends on: their hash is a part of its name, with the packages' versions.
const RECIPE: &[&str] = &[
    include_str!("apt.rs"),
    include_str!("image.rs"),
    include_str!("kernel.rs"),
    include_str!("packages.rs"),
    include_str!("rootfs.rs"),
    include_str!("suite.rs"),
];

/// A built image.
pub struct Image {
    folder: PathBuf,
}

impl Image {
    /// The kernel.
    pub fn vmlinuz(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// The ext4 image of the root file system; never written to.
    pub fn disk(&self) -> PathBuf {
        self.folder.join("root.ext4")
    }

    /// The modules of the guest (`<here>/<release>/kernel/...`).
    pub fn modules(&self) -> PathBuf {
        self.folder.join("modules")
    }

    /// The busybox of the initramfs.
    pub fn busybox(&self) -> PathBuf {
        self.folder.join("busybox")
    }

    /// The image of the current recipe and of the current packages, built if the cache has none.
    pub fn get(workspace: &Workspace) -> Result<Self> {
        let name = format!("{}-{:016x}", workspace.suite.codename(), fnv1a(RECIPE));
        let answer = workspace.cache.join(format!("{name}.packages"));
        let of =
            |text: &str| Image { folder: workspace.cache.join(format!("{name}-{:016x}", fnv1a(&[text]))) };
        if let Some(image) = fresh(&answer).map(|text| of(&text)).filter(|image| image.folder.is_dir()) {
            return Ok(image);
        }
        // Another run may be building the same image: wait for it rather than build it twice.
        let lock = fs::File::create(workspace.cache.join("lock"))?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
        let text = match fresh(&answer) {
            Some(text) => text,
            None => ask(workspace, &answer)?,
        };
        let image = of(&text);
        if !image.folder.is_dir() {
            image.build(workspace)?;
        }
        Ok(image)
    }

    fn build(&self, workspace: &Workspace) -> Result<()> {
        let work = workspace.cache.join("building");
        fs::remove_dir_all(&work).ok();
        let result = work.join("image");
        fs::create_dir_all(&result)?;
        let files = step(workspace, "download the guest's Debian packages", |log| {
            apt::download(workspace.suite, &work.join("apt"), log)
        })?;
        let root = work.join("root");
        step(workspace, "unpack them", |log| {
            rootfs::build(&root, &files, log)?;
            rootfs::take_kernel(workspace.suite, &root, &result.join("vmlinuz"), log)
        })?;
        step(workspace, "make the disk image", |log| {
            fs::copy(root.join("bin/busybox"), result.join("busybox"))
                .context("no busybox in the packages")?;
            log.run(Command::new("cp").arg("-a").arg(root.join("lib/modules")).arg(result.join("modules")))?;
            log.run(&mut mke2fs(&root, &result.join("root.ext4")))
        })?;
        fs::rename(&result, &self.folder)?;
        fs::remove_dir_all(&work)?;
        Ok(())
    }
}

/// The archive's last answer, unless it is too old.
fn fresh(answer: &Path) -> Option<String> {
    let age = fs::metadata(answer).and_then(|found| found.modified()).ok()?.elapsed().ok()?;
    (age < ANSWER_LIFETIME).then(|| fs::read_to_string(answer).ok()).flatten()
}

/// Asks the archive for the guest's packages of today, and keeps the answer.
fn ask(workspace: &Workspace, answer: &Path) -> Result<String> {
    let folder = workspace.cache.join("asking");
    fs::remove_dir_all(&folder).ok();
    let asked = step(workspace, "look for newer packages of the guest", |log| {
        Ok(apt::current(workspace.suite, &folder, log))
    })?;
    fs::remove_dir_all(&folder).ok();
    match (asked, fs::read_to_string(answer)) {
        (Ok(files), _) => {
            let text = files.join("\n") + "\n";
            fs::write(answer, &text)?;
            Ok(text)
        }
        (Err(error), Ok(known)) => {
            println!("the guest has the packages of an earlier day: {error:#}");
            Ok(known)
        }
        (Err(error), Err(_)) => Err(error.context("cannot find out which packages the guest is made of")),
    }
}

/// Without a journal: the image is only ever mounted read-only.
fn mke2fs(root: &Path, image: &Path) -> Command {
    let mut command = Command::new("/sbin/mke2fs");
    command.args(["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "root_owner=0:0", "-d"]);
    command.arg(root).arg(image).arg("1G");
    command
}

/// FNV-1a, which is sufficient to distinguish recipes.
fn fnv1a(texts: &[&str]) -> u64 {
    texts.iter().flat_map(|text| text.bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::fnv1a;

    #[test]
    fn the_published_vector_of_fnv1a_holds() {
        assert_eq!(fnv1a(&["foo", "bar"]), 0x8594_4171_f739_67e8);
    }
}
