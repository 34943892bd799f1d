//! The disk image and kernel of the guest, built once for each recipe and kept in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

use crate::progress::step;
use crate::workspace::Workspace;
use crate::{apt, rootfs};

/// Whatever changes the image is hashed into its name. Package versions are not part of it: they are those of
/// the day it was built, listed in its `packages.txt`; remove the folder to have newer ones.
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

    /// The image of the current recipe, built if the cache has none.
    pub fn get(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.cache.join(format!("{}-{:016x}", workspace.suite.codename(), fnv1a(RECIPE)));
        let image = Image { folder };
        if image.folder.is_dir() {
            return Ok(image);
        }
        // Another run may be building the same image: wait for it rather than build it twice.
        let lock = fs::File::create(workspace.cache.join("lock"))?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
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
            rootfs::take_kernel(&root, &result.join("vmlinuz"), log)
        })?;
        step(workspace, "make the disk image", |log| {
            fs::copy(root.join("bin/busybox"), result.join("busybox"))
                .context("no busybox in the packages")?;
            log.run(Command::new("cp").arg("-a").arg(root.join("lib/modules")).arg(result.join("modules")))?;
            let names: Vec<_> = files.iter().filter_map(|file| file.file_name()?.to_str()).collect();
            fs::write(result.join("packages.txt"), names.join("\n") + "\n")?;
            log.run(&mut mke2fs(&root, &result.join("root.ext4")))
        })?;
        fs::rename(&result, &self.folder)?;
        fs::remove_dir_all(&work)?;
        Ok(())
    }
}

/// Without a journal: the image is only ever mounted read-only.
fn mke2fs(root: &Path, image: &Path) -> Command {
    let mut command = Command::new("/sbin/mke2fs");
    command.args(["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "root_owner=0:0", "-d"]);
    command.arg(root).arg(image).arg("1G");
    command
}

/// FNV-1a, enough to tell recipes apart.
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
