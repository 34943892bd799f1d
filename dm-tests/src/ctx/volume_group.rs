//! Volume groups and pools, made by lvm2 as its users make them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Ctx;

impl Ctx {
    /// A fresh volume group called [`Ctx::vg`], one physical volume for each size in bytes. Returns its name.
    pub fn volume_group(&self, sizes: &[u64], sector: u32) -> Result<&'static str> {
        let mut disks = Vec::new();
        for &bytes in sizes {
            disks.push(self.disk_with_sectors(bytes, sector)?.name());
        }
        self.ok(&format!("vgcreate --yes {} {}", self.vg(), disks.join(" ")))?;
        self.wait_for_autoactivation()?;
        Ok(self.vg())
    }

    /// A udev rule of lvm2 activates a new group on its own, some time after vgcreate; a case must not race
    /// with it. The rule first makes a file. No file within the limit means that there is no such rule, and
    /// nothing to wait for.
    fn wait_for_autoactivation(&self) -> Result<()> {
        let file = Path::new("/run/lvm/vgs_online").join(self.vg());
        let deadline = Instant::now() + Duration::from_secs(5);
        while !file.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.ok("udevadm settle")?;
        Ok(())
    }

    /// A fresh volume group of 2 GiB with the thin pool `data` of 1 GiB. Returns the group's name.
    pub fn pool(&self) -> Result<&'static str> {
        let vg = self.volume_group(&[2 << 30], 512)?;
        self.ok(&format!("lvcreate --yes -L 1G -n data {vg}"))?;
        // lvm2 warns that the content is lost.
        self.ok(&format!("lvconvert --yes --type thin-pool {vg}/data"))?;
        Ok(vg)
    }
}
