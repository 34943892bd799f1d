//! Volume groups and pools, made by lvm2 as its users make them.

use anyhow::Result;

use super::Ctx;

impl Ctx {
    /// A fresh volume group called [`Ctx::vg`], one physical volume for each size in bytes. Returns its name.
    pub fn volume_group(&self, sizes: &[u64], sector: u32) -> Result<&'static str> {
        let mut disks = Vec::new();
        for &bytes in sizes {
            disks.push(self.disk_with_sectors(bytes, sector)?.name());
        }
        // Without autoactivation: a udev rule of lvm2 would activate the group at an event of any of its disks, some
        // time after it was made or stopped, and race with the case.
        self.ok(&format!("vgcreate --yes --setautoactivation n {} {}", self.vg(), disks.join(" ")))?;
        Ok(self.vg())
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
