//! Reads one device: is it a PV, and what do its metadata areas say?

use std::io;

use crate::host::conf::MdChecks;
use crate::host::filter::chain::{Candidate, Chain};
use crate::host::filter::content::{START_BYTES, has_partition_table, md_at_end, md_at_start};
use crate::host::filter::reason::Skip;
use crate::host::store::read::{Content, CopyError, DeviceError, MdaRead, PvRead, read_device};
use crate::host::store::summary::TextPool;
use base::units::Bytes;
use sys::io::block::BlockDev;
use sys::io::roots::Roots;

/// A device whose start was read once: label, first header and the marks of other formats come from it.
struct Prefetched {
    device: Box<dyn BlockDev>,
    start: Vec<u8>,
}

impl Prefetched {
    fn read(device: Box<dyn BlockDev>) -> io::Result<Self> {
        let wanted = u64::try_from(START_BYTES).unwrap_or(u64::MAX).next_multiple_of(4096);
        let length = usize::try_from(wanted.min(device.size().get())).map_err(io::Error::other)?;
        let mut start = vec![0; length];
        device.read_at(0, &mut start)?;
        Ok(Self { device, start })
    }
}

impl BlockDev for Prefetched {
    fn name(&self) -> String {
        self.device.name()
    }

    fn size(&self) -> Bytes {
        self.device.size()
    }

    fn block_size(&self) -> u32 {
        self.device.block_size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).ok();
        let known = from.and_then(|from| self.start.get(from..from.checked_add(buf.len())?));
        match known {
            Some(known) => {
                buf.copy_from_slice(known);
                Ok(())
            }
            None => self.device.read_at(offset, buf),
        }
    }

    fn write_at(&self, _offset: u64, _buf: &[u8]) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "a scan only reads"))
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a device that passed the checks.
pub(super) fn probe(
    roots: &Roots,
    chain: &Chain<'_>,
    candidate: &Candidate,
    device: Box<dyn BlockDev>,
    pool: &mut TextPool,
) -> Result<PvRead, Skip> {
    let unreadable = |error: io::Error| Skip::Unreadable { error: error.to_string() };
    let mut device = Prefetched::read(device).map_err(unreadable)?;
    if has_partition_table(&device.start) && chain.types().is_partitionable(roots, &candidate.device) {
        return Err(Skip::Partitioned);
    }
    let md_checks = chain.md_checks();
    if md_checks.is_some() {
        md_at_start(&device.start)?;
    }
    let mut pv = read(&device, pool)?;
    if pv.mdas.iter().any(is_torn) {
        // A writer was at work meanwhile: the two reads may not fit together.
        device.start.clear();
        pv = read(&device, pool)?;
    }
    // Short of that, only where something hints at an array: see `suspect`.
    if md_checks == Some(MdChecks::Full) && !chain.types().is_md(&candidate.device) {
        md_at_end(&device)?;
    }
    Ok(pv)
}

fn read(device: &Prefetched, pool: &mut TextPool) -> Result<PvRead, Skip> {
    match read_device(device, pool) {
        Ok(Some(pv)) => Ok(pv),
        Ok(None) => Err(Skip::NoLabel),
        Err(DeviceError::Io(error)) => Err(Skip::Unreadable { error: error.to_string() }),
        Err(DeviceError::Label(error)) => Err(Skip::DamagedLabel { error: error.to_string() }),
    }
}

fn is_torn(mda: &MdaRead) -> bool {
    matches!(&mda.content, Content::Damaged(CopyError::Format(_)))
}
