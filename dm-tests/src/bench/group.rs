//! The volume group that is measured in: made by lvm2, filled by thinvol.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use base::ids::VgName;
use lvm2::host::store::vg::VgStore;
use lvm2::host::store::vg_ref::VgRef;
use sys::io::direct::{Access, DirectFile};

use crate::ctx::{Ctx, Disk};

/// Volumes of one batch while filling.
const BATCH: u32 = 1000;

/// Volumes that the measured works may add beside those it was filled with.
const ROOM: u64 = 400;

/// What one volume takes of the text at most, in bytes.
const TEXT_OF_ONE: u64 = 512;

/// The group `pve` with the pool `data`, on one disk.
pub struct Group<'c> {
    ctx: &'c Ctx,
    disk: Disk,
    filled: u32,
}

impl<'c> Group<'c> {
    /// Makes it, with what is snapshot and cloned: `vm-101-disk-0` (thin id 1, active) with the snapshot `base`,
    /// `vm-101-disk-1` (thin id 2, inactive), and lvm2's own. The metadata area has so many MiB.
    pub fn make(ctx: &'c Ctx, mib: u32) -> Result<Self> {
        let disk = ctx.disk(16 << 30)?;
        ctx.ok(&format!("pvcreate --yes --metadatasize {mib}m {}", disk.name()))?;
        ctx.ok(&format!("vgcreate --yes --setautoactivation n pve {}", disk.name()))?;
        ctx.ok("lvcreate --yes --type thin-pool -L 8G --poolmetadatasize 256M -n data pve")?;
        ctx.thinvol_ok("alloc pve/data 101 vm-101-disk-0 1G")?;
        ctx.thinvol_ok("alloc --inactive pve/data 101 vm-101-disk-1 1G")?;
        ctx.thinvol_ok("snapshot pve/vm-101-disk-0@base")?;
        ctx.ok("lvcreate --yes -V 1G -T pve/data -n lvm2-origin")?;
        ctx.ok("lvcreate --yes -s -n lvm2-origin-snap pve/lvm2-origin")?;
        ctx.ok("udevadm settle")?;
        Ok(Self { ctx, disk, filled: 5 })
    }

    /// The context it was made in.
    pub fn ctx(&self) -> &Ctx {
        self.ctx
    }

    /// The kernel's name of its disk.
    pub fn kernel_name(&self) -> Result<String> {
        let name = self.disk.device().file_name().context("a device has a name")?;
        Ok(name.to_string_lossy().into_owned())
    }

    fn store(&self) -> Result<VgStore> {
        let disk = DirectFile::open(self.disk.device(), Access::ReadOnly)?;
        Ok(VgStore::open(vec![Box::new(disk)], &VgRef::Name(VgName::new("pve")?))?)
    }

    /// The number of its last commit.
    pub fn seqno(&self) -> Result<u32> {
        Ok(self.store()?.summary().seqno.0)
    }

    /// The length of its text.
    pub fn text_bytes(&self) -> Result<u64> {
        Ok(u64::try_from(self.store()?.text().len())?)
    }

    /// Adds as many inactive volumes as its metadata area takes, less some for the works; says how many there are then.
    pub fn fill_up(&mut self) -> Result<u32> {
        let limit = self.store()?.room_for(0)?.limit;
        // What one takes grows with the digits of its numbers: it is measured again with each batch.
        let mut each = TEXT_OF_ONE;
        loop {
            let before = self.text_bytes()?;
            let more = (limit.saturating_sub(before) / each).saturating_sub(ROOM).min(u64::from(BATCH));
            if more == 0 {
                return Ok(self.filled);
            }
            self.fill(self.filled + u32::try_from(more)?)?;
            each = self.text_bytes()?.saturating_sub(before).div_ceil(more).max(1);
        }
    }

    /// Adds inactive volumes until there are so many.
    pub fn fill(&mut self, volumes: u32) -> Result<()> {
        while self.filled < volumes {
            let until = volumes.min(self.filled + BATCH);
            let mut lines = String::new();
            for number in self.filled..until {
                writeln!(
                    lines,
                    r#"{{"request":"create","pool":"pve/data","name":"vm-{}-disk-{}","size":"1G","activate":false}}"#,
                    1000 + number / 4,
                    number % 4
                )?;
            }
            let file = self.ctx.dir().join("fill.jsonl");
            std::fs::write(&file, lines)?;
            let ran = self.ctx.run_quietly(&["thinvol", "batch", &file.display().to_string()])?;
            anyhow::ensure!(ran.status == 0, "cannot fill the group: {}", ran.stderr);
            self.filled = until;
        }
        Ok(())
    }

    /// Removes the copies of metadata that each change leaves: they are kept in memory here.
    pub fn forget_copies(&self) -> Result<()> {
        self.ctx.run_quietly(&["sh", "-c", "rm -f /etc/lvm/archive/*"]).map(drop)
    }
}
