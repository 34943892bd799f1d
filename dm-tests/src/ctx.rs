//! What a case works with: commands that must succeed, disks, a volume group with a pool, and checks by lvm2.

mod command;
mod conf;
mod disks;
pub mod iscsid;
pub mod lio;
mod oracle;
mod pool_metadata;
pub mod relay;
mod storages;
mod terminal;
mod volume_group;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use command::Ran;
pub use conf::Conf;
pub use disks::Disk;
pub use storages::Storages;

/// The environment variable that is set for a case that runs on a host, not in a guest.
pub const HOST_VARIABLE: &str = "THINVOL_TEST_HOST";

/// The volume group of cases on a host: a name that nobody else uses.
pub const HOST_VG: &str = "thinvoltest";

/// The context of one case.
pub struct Ctx {
    dir: PathBuf,
    on_host: bool,
}

impl Ctx {
    /// A context whose files live in `dir`, which is created.
    pub fn new(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Ctx { dir: dir.to_path_buf(), on_host: std::env::var_os(HOST_VARIABLE).is_some() })
    }

    /// A folder for the files of this case; in a guest it is in memory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether this runs on the kernel of a host.
    pub fn on_host(&self) -> bool {
        self.on_host
    }

    /// The volume group that cases use: `pve`, as on a Proxmox VE host, or on a host a name that nobody else uses.
    pub fn vg(&self) -> &'static str {
        if self.on_host { HOST_VG } else { "pve" }
    }

    /// `/dev/<vg>/<lv>`.
    pub fn dev(&self, vg: &str, lv: &str) -> PathBuf {
        Path::new("/dev").join(vg).join(lv)
    }
}
