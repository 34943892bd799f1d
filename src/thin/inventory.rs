//! Reads the thin devices that a pool's own metadata holds, from a running pool or from its extents on disk.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;

use crate::meta::{BLOCK_BYTES, Block, MetaError, ReadBlock, ThinMeta};
use crate::ports::{Devices, PoolReadError, PoolReader, RunningReadError};
use base::ids::{DevNo, LvmUuid, TransactionId};
use base::units::{Bytes, Sectors};
use dm::kernel::Kernel;
use dm::name::DmName;
use lvm2::format::model::{SegmentKind, ThinPool, Vg};
use sys::io::block::BlockDev;

/// Opens a block device for reading, by number.
pub type Open<'a> = dyn Fn(DevNo) -> io::Result<Box<dyn BlockDev>> + 'a;

/// Reads pool metadata from block devices.
pub struct DiskReader<'a> {
    /// The VG's physical volumes that are here.
    pub pvs: BTreeMap<LvmUuid, DevNo>,
    /// How a device is opened.
    pub open: &'a Open<'a>,
}

impl PoolReader for DiskReader<'_> {
    fn transaction_id(&self, vg: &Vg, pool: &ThinPool) -> Result<Option<TransactionId>, PoolReadError> {
        let mut extents = self.extents(vg, pool)?;
        let first = extents.read_block(0).map_err(failed)?;
        if first.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let meta = ThinMeta::open(extents).map_err(|error| said(&error))?;
        Ok(Some(meta.superblock().transaction_id))
    }

    fn devices_of_stopped(&self, vg: &Vg, pool: &ThinPool) -> Result<Devices, PoolReadError> {
        let mut extents = self.extents(vg, pool)?;
        if extents.read_block(0).map_err(failed)?.iter().all(|byte| *byte == 0) {
            return Ok(Devices::new());
        }
        ThinMeta::open(extents).and_then(|mut meta| meta.details()).map_err(|error| said(&error))
    }

    /// A metadata snapshot is a pair of messages; the second is sent on every way out after the first.
    fn devices_of_running(
        &self,
        kernel: &dyn Kernel,
        tpool: &DmName,
        tmeta: DevNo,
    ) -> Result<Devices, RunningReadError> {
        let before = |error: PoolReadError| RunningReadError { why: error, still_held: false };
        let device = (self.open)(tmeta).map_err(|error| before(failed(error)))?;
        kernel
            .message(tpool, "reserve_metadata_snap")
            .map_err(|error| RunningReadError::of_reserve(&error))?;
        let read = ThinMeta::open_held(Whole(device)).and_then(|mut meta| meta.details());
        kernel
            .message(tpool, "release_metadata_snap")
            .map_err(|error| RunningReadError { why: failed(error), still_held: true })?;
        read.map_err(|error| before(said(&error)))
    }
}

fn failed(error: impl Display) -> PoolReadError {
    PoolReadError(error.to_string())
}

fn said(error: &MetaError) -> PoolReadError {
    match error {
        MetaError::Read { source, .. } => PoolReadError(format!("{error}: {source}")),
        _ => PoolReadError(error.to_string()),
    }
}

/// A metadata device, whole.
struct Whole(Box<dyn BlockDev>);

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

/// One piece of a metadata LV on a physical volume, in bytes.
struct Piece {
    start: u64,
    length: u64,
    device: usize,
    offset: u64,
}

/// A metadata LV, read where its extents lie.
struct Extents {
    devices: Vec<Box<dyn BlockDev>>,
    pieces: Vec<Piece>,
}

impl ReadBlock for Extents {
    fn read_block(&mut self, block: u64) -> io::Result<Block> {
        let start = offset_of(block)?;
        let piece =
            self.pieces.iter().find(|piece| start >= piece.start && start - piece.start < piece.length);
        let piece = piece.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let mut data = [0; BLOCK_BYTES];
        self.devices[piece.device].read_at(piece.offset + (start - piece.start), &mut data)?;
        Ok(data)
    }
}

impl DiskReader<'_> {
    /// Where the pool's metadata lies. Only linear segments are followed: extents are whole metadata blocks, so that
    /// no block crosses a border.
    fn extents(&self, vg: &Vg, pool: &ThinPool) -> Result<Extents, PoolReadError> {
        let no = |why: String| PoolReadError(format!("metadata volume {}: {why}", pool.metadata));
        let lv = vg.lv(&pool.metadata).ok_or_else(|| no("it does not exist".into()))?;
        let mut extents = Extents { devices: Vec::new(), pieces: Vec::new() };
        let mut opened: BTreeMap<DevNo, usize> = BTreeMap::new();
        for segment in &lv.segments {
            let stripe = match &segment.kind {
                SegmentKind::Striped(striped) if striped.stripes.len() == 1 => &striped.stripes[0],
                _ => return Err(no("only linear segments can be read while the pool is inactive".into())),
            };
            let pv =
                vg.pv(&stripe.area).ok_or_else(|| no(format!("{} is no physical volume", stripe.area)))?;
            let dev =
                self.pvs.get(&pv.id).ok_or_else(|| no(format!("physical volume {} is missing", pv.id)))?;
            let device = match opened.get(dev) {
                Some(index) => *index,
                None => {
                    extents.devices.push((self.open)(*dev).map_err(failed)?);
                    opened.insert(*dev, extents.devices.len() - 1);
                    extents.devices.len() - 1
                }
            };
            let bytes = |sectors: Option<Sectors>| sectors.and_then(Sectors::to_bytes).map(Bytes::get);
            let offset =
                stripe.start.to_sectors(vg.extent_size).and_then(|start| start.checked_add(pv.pe_start));
            let piece = (
                bytes(segment.start.to_sectors(vg.extent_size)),
                bytes(segment.count.to_sectors(vg.extent_size)),
                bytes(offset),
            );
            let (Some(start), Some(length), Some(offset)) = piece else {
                return Err(no("a size in its metadata overflows".into()));
            };
            extents.pieces.push(Piece { start, length, device, offset });
        }
        Ok(extents)
    }
}
