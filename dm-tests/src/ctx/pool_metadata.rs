//! Access to the metadata of a stopped pool on its disk.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Result, bail};

use super::Ctx;

/// A block of it.
pub type Block = [u8; 4096];

/// The metadata of a stopped pool.
pub struct PoolMetadata {
    disk: File,
    /// Bytes from the start of the disk.
    start: u64,
    blocks: u64,
}

impl Ctx {
    /// The metadata of the stopped pool `data`, which is contiguous on the only disk of `vg`.
    pub fn pool_metadata(&self, vg: &str) -> Result<PoolMetadata> {
        self.ok(&format!("lvchange --yes -ay {vg}/data_tmeta"))?;
        let table = self.ok(&format!("dmsetup table {vg}-data_tmeta"))?;
        let disk = self.lvm(&format!("pvs --noheadings -o pv_name -S vg_name={vg}"))?;
        self.ok("udevadm settle")?;
        self.lvm(&format!("lvchange -an {vg}/data_tmeta"))?;
        let words: Vec<&str> = table.split_whitespace().collect();
        let [_, length, "linear", _, start] = words.as_slice() else {
            bail!("the metadata is not on one stretch: {table}")
        };
        let (length, start): (u64, u64) = (length.parse()?, start.parse()?);
        let disk = File::options().read(true).write(true).open(disk.trim())?;
        Ok(PoolMetadata { disk, start: start * 512, blocks: length * 512 / 4096 })
    }
}

impl PoolMetadata {
    /// How many blocks it has.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Reads a block.
    pub fn read(&self, number: u64) -> Result<Block> {
        let mut block = [0; 4096];
        self.disk.read_exact_at(&mut block, self.start + number * 4096)?;
        Ok(block)
    }

    /// Writes a block; it is on the disk when this returns.
    pub fn write(&self, number: u64, block: &Block) -> Result<()> {
        self.disk.write_all_at(block, self.start + number * 4096)?;
        Ok(self.disk.sync_all()?)
    }
}
