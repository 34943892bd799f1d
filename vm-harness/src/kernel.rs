//! Which kernel modules go into the guest: those named here and what they depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::suite::Suite;

/// Loaded by the initramfs of both tiers, in this order.
pub const FAST: &[&str] = &[
    // libcrc32c asks the crypto layer for it by name, which modules.dep does not show.
    "crc32c_generic",
    "virtio_pci",
    "virtio_console",
    "virtio_rng",
    "9pnet_virtio",
    "9p",
    "loop",
    "dm-mod",
    "dm-thin-pool",
    "dm-snapshot",
    "dm-flakey",
    "dm-delay",
    "dm-log-writes",
];

/// Loaded by the initramfs of the full tier besides.
pub const FULL: &[&str] = &["virtio_blk", "ext4", "overlay"];

/// Kept on the disk of the full tier, where udev, modprobe or the kernel load them on demand.
const ON_DISK: &[&str] = &[
    "brd",
    "configfs",
    "crc32c-intel",
    "dm-cache",
    "dm-cache-smq",
    "dm-crypt",
    "dm-era",
    "dm-integrity",
    "dm-mirror",
    "dm-multipath",
    "dm-raid",
    "dm-round-robin",
    "dm-service-time",
    "dm-writecache",
    "dm-zero",
    "dummy",
    "fuse",
    "iscsi_target_mod",
    "iscsi_tcp",
    "nbd",
    "null_blk",
    "raid0",
    "raid1",
    "raid10",
    "raid456",
    "sch_netem",
    "sch_prio",
    "scsi_debug",
    "sd_mod",
    "sg",
    "sha3_generic",
    "target_core_file",
    "target_core_iblock",
    "target_core_mod",
    "tcm_loop",
    "veth",
    "xfs",
    "zram",
];

/// Every module that a guest of that release keeps.
pub fn all(suite: Suite) -> Vec<&'static str> {
    [FAST, FULL, ON_DISK, suite.own_modules()].concat()
}

/// The dependency table that depmod wrote, by canonical module name.
pub struct Dependencies {
    paths: BTreeMap<String, (String, Vec<String>)>,
    builtin: BTreeSet<String>,
}

impl Dependencies {
    /// Reads `modules.dep` and `modules.builtin` of a module folder (`/lib/modules/<release>`).
    pub fn read(folder: &Path) -> Result<Self> {
        let file = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Self::parse(&file("modules.dep")?, &file("modules.builtin")?)
    }

    fn parse(dep: &str, builtin: &str) -> Result<Self> {
        let mut paths = BTreeMap::new();
        for line in dep.lines() {
            let (path, needs) =
                line.split_once(':').with_context(|| format!("modules.dep: no colon in {line:?}"))?;
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            paths.insert(canonical(path), (path.to_owned(), needs));
        }
        Ok(Dependencies { paths, builtin: builtin.lines().map(canonical).collect() })
    }

    /// Files of the named modules and of all they need, dependencies first, relative to the module folder.
    pub fn closure(&self, names: &[&str]) -> Result<Vec<String>> {
        let mut order: Vec<String> = Vec::new();
        for name in names {
            let key = canonical(name);
            if self.builtin.contains(&key) {
                continue;
            }
            let Some((path, needs)) = self.paths.get(&key) else {
                bail!("the kernel package has no module {name}");
            };
            // modules.dep lists all needs of a module, the deepest last.
            for file in needs.iter().rev().chain(std::iter::once(path)) {
                if !order.contains(file) {
                    order.push(file.clone());
                }
            }
        }
        Ok(order)
    }
}

/// `kernel/drivers/md/dm-mod.ko` and `dm_mod` are the same module.
fn canonical(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    name.split(".ko").next().unwrap_or(name).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::Dependencies;

    const DEP: &str = "kernel/md/dm-thin-pool.ko: kernel/md/dm-bufio.ko kernel/md/dm-mod.ko\n\
                       kernel/md/dm-bufio.ko: kernel/md/dm-mod.ko\nkernel/md/dm-mod.ko:\n";

    #[test]
    fn needs_come_before_those_who_need_them() {
        let table = Dependencies::parse(DEP, "kernel/lib/crc32.ko\n").unwrap();
        let files = table.closure(&["crc32", "dm_thin_pool", "dm-bufio"]).unwrap();
        assert_eq!(files, ["kernel/md/dm-mod.ko", "kernel/md/dm-bufio.ko", "kernel/md/dm-thin-pool.ko"]);
    }

    #[test]
    fn an_unknown_module_is_named() {
        let table = Dependencies::parse(DEP, "").unwrap();
        assert!(table.closure(&["dm-vdo"]).unwrap_err().to_string().contains("dm-vdo"));
    }
}
