//! Reads the thin devices that a pool's own metadata holds, from a running pool or from its extents on disk.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::path::PathBuf;

use crate::meta::{BLOCK_BYTES, Block, MetaError, ReadBlock, Superblock, ThinMeta};
use crate::observed::PoolReadError;
use crate::ports::{Devices, PoolReader, RunningReadError};
use base::ids::{DevNo, LvName, LvmUuid};
use base::units::{Bytes, Sectors};
use dm::kernel::{Kernel, kernel_node};
use dm::message::Message;
use dm::name::DmName;
use lvm2::format::model::{Lv, Pv, Segment, SegmentKind, ThinPool, Vg};
use sys::io::block::{Access, BlockDev, Disks};
use thiserror::Error;

/// Reads pool metadata from block devices.
pub struct DiskReader<'a> {
    /// The VG's physical volumes that are here.
    pub pvs: BTreeMap<LvmUuid, DevNo>,
    /// The paths of the devices that the VG was read from.
    pub paths: &'a [(PathBuf, DevNo)],
    /// Opens them.
    pub disks: &'a dyn Disks,
}

impl PoolReader for DiskReader<'_> {
    fn superblock(&self, vg: &Vg, pool: &ThinPool) -> Result<Option<Superblock>, PoolReadError> {
        Ok(self.used(vg, pool)?.map(|meta| *meta.superblock()))
    }

    fn devices_of_stopped(&self, vg: &Vg, pool: &ThinPool) -> Result<Devices, PoolReadError> {
        let Some(mut meta) = self.used(vg, pool)? else { return Ok(Devices::new()) };
        meta.details().map_err(|error| said(&error))
    }

    fn devices_of_running(
        &self,
        kernel: &dyn Kernel,
        tpool: &DmName,
        tmeta: DevNo,
    ) -> Result<Devices, RunningReadError> {
        through_snapshot(kernel, tpool, || self.open(tmeta), ThinMeta::details)
    }
}

impl DiskReader<'_> {
    /// Opens a device for reading: a physical volume by its path, a device-mapper device by its kernel name.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(&self, dev: DevNo) -> io::Result<Box<dyn BlockDev>> {
        let pv = self.paths.iter().find(|(_, known)| *known == dev).map(|(path, _)| path.clone());
        let path = pv.unwrap_or_else(|| kernel_node(dev));
        self.disks.open(&path, Access::ReadOnly)
    }

    /// The metadata of a pool that does not run; nothing if the pool was never used.
    fn used(&self, vg: &Vg, pool: &ThinPool) -> Result<Option<ThinMeta<Extents>>, PoolReadError> {
        let mut extents = self.extents(vg, pool)?;
        let first = extents.read_block(0).map_err(|error| unread("its first block", &error))?;
        if first.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        ThinMeta::open(extents).map(Some).map_err(|error| said(&error))
    }

    /// Reads a pool that does not run.
    ///
    /// # Errors
    /// As for [`PoolReader::devices_of_stopped`].
    pub fn while_stopped<T>(
        &self,
        vg: &Vg,
        pool: &ThinPool,
        read: impl FnOnce(&mut ThinMeta<Extents>) -> Result<T, MetaError>,
    ) -> Result<T, PoolReadError> {
        let meta = ThinMeta::open(self.extents(vg, pool)?);
        meta.and_then(|mut meta| read(&mut meta)).map_err(|error| said(&error))
    }
}

/// Reads the metadata on a device that no pool runs on.
///
/// # Errors
/// If it cannot be read or is not valid.
pub fn of_device<T>(
    device: Box<dyn BlockDev>,
    read: impl FnOnce(&mut ThinMeta<Whole>) -> Result<T, MetaError>,
) -> Result<T, PoolReadError> {
    ThinMeta::open(Whole(device)).and_then(|mut meta| read(&mut meta)).map_err(|error| said(&error))
}

/// Reads the metadata of a running pool through a metadata snapshot. That is a pair of messages; the second is sent on
/// every way out after the first.
///
/// # Errors
/// If the snapshot is not to be had, or the metadata cannot be read or is not valid.
pub fn through_snapshot<T>(
    kernel: &dyn Kernel,
    tpool: &DmName,
    open: impl FnOnce() -> io::Result<Box<dyn BlockDev>>,
    read: impl FnOnce(&mut ThinMeta<Whole>) -> Result<T, MetaError>,
) -> Result<T, RunningReadError> {
    let before = |error: PoolReadError| RunningReadError { why: error, still_held: false };
    let device = open().map_err(|error| before(failed(error)))?;
    kernel
        .message(tpool, &Message::ReserveMetadataSnap.to_string())
        .map_err(|error| RunningReadError::of_reserve(&error))?;
    let read = ThinMeta::open_held(Whole(device)).and_then(|mut meta| read(&mut meta));
    kernel
        .message(tpool, &Message::ReleaseMetadataSnap.to_string())
        .map_err(|error| RunningReadError { why: failed(error), still_held: true })?;
    read.map_err(|error| before(said(&error)))
}

fn failed(error: impl Display) -> PoolReadError {
    PoolReadError::Failed(error.to_string())
}

fn said(error: &MetaError) -> PoolReadError {
    match error {
        MetaError::Read { source, .. } => unread(&error.to_string(), source),
        MetaError::Damaged { .. } => PoolReadError::Damaged(error.to_string()),
        MetaError::NotHeld | MetaError::NoDevice(_) | MetaError::GivenUp(_) => failed(error),
    }
}

/// A block that could not be read: copies that differ are no failure.
fn unread(what: &str, error: &io::Error) -> PoolReadError {
    let differ = error.get_ref().is_some_and(|cause| cause.is::<CopiesDiffer>());
    let why = format!("{what}: {error}");
    if differ { PoolReadError::OutOfReach(why) } else { PoolReadError::Failed(why) }
}

/// A metadata device, whole.
pub struct Whole(Box<dyn BlockDev>);

impl ReadBlock for Whole {
    fn read_block(&mut self, block: u64) -> io::Result<Block> {
        let mut data = [0; BLOCK_BYTES];
        self.0.read_at(offset_of(block)?, &mut data)?;
        Ok(data)
    }
}

fn offset_of(block: u64) -> io::Result<u64> {
    let bytes = u64::try_from(BLOCK_BYTES).map_err(io::Error::other)?;
    block.checked_mul(bytes).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
}

/// Copies of a mirror that hold different content: the mirror, once it runs, decides which one counts.
#[derive(Debug, Error)]
#[error("the copies of the mirror differ there")]
struct CopiesDiffer;

/// A segment of an LV on physical volumes, in bytes.
struct Piece {
    start: u64,
    length: u64,
    /// Bytes on one stripe before the next one comes; the whole length where there is only one.
    stripe_size: u64,
    /// Device and first byte of each stripe.
    stripes: Vec<(usize, u64)>,
}

impl Piece {
    /// The device and the place on it of a byte of the LV that lies within the piece.
    fn place(&self, byte: u64) -> Option<(usize, u64)> {
        let within = byte - self.start;
        let count = u64::try_from(self.stripes.len()).ok()?;
        let (chunk, rest) = (within.checked_div(self.stripe_size)?, within % self.stripe_size);
        let (device, start) = self.stripes.get(usize::try_from(chunk.checked_rem(count)?).ok()?)?;
        let offset = (chunk / count).checked_mul(self.stripe_size)?.checked_add(rest)?;
        Some((*device, start.checked_add(offset)?))
    }
}

/// A metadata LV, read where its extents lie: of a mirror all copies, and what they do not agree on counts as not read.
pub struct Extents {
    devices: Vec<Box<dyn BlockDev>>,
    copies: Vec<Vec<Piece>>,
}

impl ReadBlock for Extents {
    fn read_block(&mut self, block: u64) -> io::Result<Block> {
        let start = offset_of(block)?;
        let mut first: Option<Block> = None;
        for copy in &self.copies {
            let piece = copy.iter().find(|piece| start >= piece.start && start - piece.start < piece.length);
            let place = piece.and_then(|piece| piece.place(start));
            let (device, offset) = place.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            let mut data = [0; BLOCK_BYTES];
            self.devices[device].read_at(offset, &mut data)?;
            if first.is_some_and(|first| first != data) {
                return Err(io::Error::other(CopiesDiffer));
            }
            first = Some(data);
        }
        first.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }
}

/// What finds out where a metadata LV lies, and opens the devices on the way.
struct Layout<'r, 'a> {
    reader: &'r DiskReader<'a>,
    vg: &'r Vg,
    devices: Vec<Box<dyn BlockDev>>,
    opened: BTreeMap<DevNo, usize>,
}

impl DiskReader<'_> {
    /// Where the pool's metadata lies. Linear and striped segments are followed, and the copies of a mirror; extents
    /// and stripes are whole metadata blocks, so that no block crosses a border.
    fn extents(&self, vg: &Vg, pool: &ThinPool) -> Result<Extents, PoolReadError> {
        let mut layout = Layout { reader: self, vg, devices: Vec::new(), opened: BTreeMap::new() };
        let lv = layout.lv(&pool.metadata)?;
        let copies = match lv.legs() {
            [] => vec![layout.pieces(lv)?],
            legs => {
                let copies = legs.iter().map(|leg| layout.lv(&leg.data).and_then(|lv| layout.pieces(lv)));
                copies.collect::<Result<_, _>>()?
            }
        };
        Ok(Extents { devices: layout.devices, copies })
    }
}

impl<'r> Layout<'r, '_> {
    fn lv(&self, name: &LvName) -> Result<&'r Lv, PoolReadError> {
        let missing =
            || PoolReadError::Failed(format!("volume {} does not exist", self.vg.name.volume(name)));
        self.vg.lv(name).ok_or_else(missing)
    }

    fn pieces(&mut self, lv: &Lv) -> Result<Vec<Piece>, PoolReadError> {
        lv.segments.iter().map(|segment| self.piece(lv, segment)).collect()
    }

    fn piece(&mut self, lv: &Lv, segment: &Segment) -> Result<Piece, PoolReadError> {
        let shown = self.vg.name.volume(&lv.name);
        let overflow = || PoolReadError::Failed(format!("a size of volume {shown} overflows"));
        let bytes = |sectors: Option<Sectors>| {
            sectors.and_then(Sectors::to_bytes).map(Bytes::get).ok_or_else(overflow)
        };
        let out_of_reach = |on: &str| {
            PoolReadError::OutOfReach(format!("volume {shown} lies on {on}: only the running pool shows it"))
        };
        let striped = match &segment.kind {
            SegmentKind::Striped(striped) => striped,
            SegmentKind::Opaque { segtype, .. } => return Err(out_of_reach(segtype)),
            SegmentKind::ThinPool(_) | SegmentKind::Thin(_) => return Err(out_of_reach("a thin pool")),
        };
        let mut stripes = Vec::with_capacity(striped.stripes.len());
        for stripe in &striped.stripes {
            let pv = self.vg.pv(&stripe.area).ok_or_else(|| out_of_reach(&stripe.area))?;
            let start = stripe.start.to_sectors(self.vg.extent_size);
            let offset = bytes(start.and_then(|start| start.checked_add(pv.pe_start)))?;
            stripes.push((self.device(pv)?, offset));
        }
        let length = bytes(segment.count.to_sectors(self.vg.extent_size))?;
        let stripe_size = match (stripes.len(), striped.stripe_size) {
            (1, _) => length,
            (_, size) => bytes(size)?,
        };
        if stripe_size == 0 || !stripe_size.is_multiple_of(offset_of(1).unwrap_or(u64::MAX)) {
            return Err(out_of_reach("stripes smaller than a block"));
        }
        let start = bytes(segment.start.to_sectors(self.vg.extent_size))?;
        Ok(Piece { start, length, stripe_size, stripes })
    }

    fn device(&mut self, pv: &Pv) -> Result<usize, PoolReadError> {
        let missing = || PoolReadError::Failed(format!("physical volume {} is missing", pv.id));
        let dev = *self.reader.pvs.get(&pv.id).ok_or_else(missing)?;
        if let Some(index) = self.opened.get(&dev) {
            return Ok(*index);
        }
        self.devices.push(self.reader.open(dev).map_err(failed)?);
        self.opened.insert(dev, self.devices.len() - 1);
        Ok(self.devices.len() - 1)
    }
}

#[cfg(test)]
mod tests;
