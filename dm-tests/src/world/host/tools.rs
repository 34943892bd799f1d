//! Checks and repairs of pool metadata: what the model of the kernel holds of it, copied.

use std::io;

use base::ids::DevNo;
use dm::name::DmName;
use nix::errno::Errno;
use thin::internals::meta::{Block, MetaError, Superblock, ThinMeta};
use thin::internals::observed::PoolReadError;
use thin::internals::plan::Assumed;
use thin::internals::ports::{CheckFailure, CheckFound, Devices, MetadataTools, RepairFailure};

use super::SimHost;
use crate::world::pool_blocks::block;

impl MetadataTools for SimHost {
    fn check_all(&self, tmeta: &DmName, dev: DevNo) -> Result<(), CheckFailure> {
        self.kernel.waits_for("thin_check");
        let why = self.state.borrow().check_fails.clone();
        let why =
            why.or_else(|| self.kernel.is_damaged(dev).then(|| "bad checksum in metadata block".into()));
        // A pool that never ran passes.
        let found = why.filter(|_| self.block(dev, 0).is_ok_and(|first| first.iter().any(|byte| *byte != 0)));
        found
            .map_or(Ok(()), |why| Err(CheckFailure { device: tmeta.clone(), found: CheckFound::Damage(why) }))
    }

    fn clear_mark(&self, tmeta: &DmName, dev: DevNo) -> Result<(), CheckFailure> {
        self.check_all(tmeta, dev)
    }

    fn repair(&self, from: DevNo, to: DevNo, _: Option<&Assumed>) -> Result<(), RepairFailure> {
        self.kernel.waits_for("thin_repair");
        let state = self.state.borrow();
        if let Some(why) = &state.repair_fails {
            return Err(RepairFailure(why.clone()));
        }
        if self.kernel.stopped() {
            return Err(RepairFailure(Errno::ESHUTDOWN.to_string()));
        }
        let repaired = self.kernel.repair_metadata(from, to, state.repair_loses);
        repaired.map_err(|errno| RepairFailure(errno.to_string()))
    }

    fn superblock(&self, dev: DevNo) -> Result<Superblock, PoolReadError> {
        self.read(dev, |meta| Ok(*meta.superblock()))
    }

    fn devices(&self, dev: DevNo) -> Result<Devices, PoolReadError> {
        self.read(dev, |meta| meta.details())
    }
}

impl SimHost {
    fn block(&self, dev: DevNo, number: u64) -> io::Result<Block> {
        let (disk, start) = self.kernel.place_of(dev).ok_or_else(|| io::Error::from(Errno::ENXIO))?;
        let dump = self.kernel.pool_dump(disk, start);
        Ok(dump.map_or([0; thin::internals::meta::BLOCK_BYTES], |dump| block(number, &dump, None)))
    }

    fn read<T>(
        &self,
        dev: DevNo,
        read: impl FnOnce(&mut ThinMeta<&mut dyn FnMut(u64) -> io::Result<Block>>) -> Result<T, MetaError>,
    ) -> Result<T, PoolReadError> {
        let mut blocks = |number| self.block(dev, number);
        let blocks: &mut dyn FnMut(u64) -> io::Result<Block> = &mut blocks;
        let found = ThinMeta::open(blocks).and_then(|mut meta| read(&mut meta));
        found.map_err(|error| PoolReadError::Damaged(error.to_string()))
    }
}
