//! The devices of a thin pool: its target, and what its data and metadata lie on.

use crate::pool_rules::PoolRules;
use serde::Serialize;

use super::{DevRef, DeviceSpec, Role, StackError, Stacks, TargetSpec};
use base::ids::LvName;
use base::units::{Chunks, Sectors};
use dm::name::{DmName, Layer};
use dm::status::{METADATA_BLOCK_SECTORS, METADATA_MAX_SECTORS};
use lvm2::format::model::{ERROR_WHEN_FULL, Lv, Mirror, Segment, SegmentKind, ThinPool, Vg};
use lvm2::format::pool_size::METADATA_MAX;

/// The devices of a thin pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolStack {
    /// Its metadata and its data, in the order in which they are created; or why thinvol cannot create them. A pool
    /// that runs can be used all the same.
    pub parts: Result<[Part; 2], StackError>,
    /// The name of the metadata device.
    pub tmeta: DmName,
    /// The pool target.
    pub tpool: DeviceSpec,
    /// The device of the pool LV itself; only when the pool LV is activated.
    pub pool: DeviceSpec,
}

/// The size of a pool as the kernel counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PoolBlocks {
    /// Chunks of data.
    pub data: Chunks,
    /// Blocks of metadata, of 4 KiB.
    pub metadata: u64,
}

/// A pool's metadata or data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What its device stands on besides physical volumes, in the order in which they are created.
    pub below: Vec<DeviceSpec>,
    /// Its device.
    pub top: DeviceSpec,
}

impl PoolStack {
    /// How large the kernel finds it; `None` if thinvol cannot tell what it lies on.
    pub fn blocks(&self) -> Option<PoolBlocks> {
        let [tmeta, _] = self.parts.as_ref().ok()?;
        let Some(TargetSpec::ThinPool { length, chunk_size, .. }) = self.tpool.targets.first() else {
            return None;
        };
        let data = Chunks::new(length.get().checked_div(chunk_size.get())?);
        Some(PoolBlocks {
            data,
            metadata: tmeta.top.length().get().min(METADATA_MAX_SECTORS) / METADATA_BLOCK_SECTORS,
        })
    }

    /// The devices of data and metadata in the order in which they are created; none if thinvol cannot create them.
    pub fn part_devices(&self) -> impl DoubleEndedIterator<Item = &DeviceSpec> {
        let parts = self.parts.as_ref().map_or(&[][..], |parts| &parts[..]);
        parts.iter().flat_map(|part| part.below.iter().chain([&part.top]))
    }
}

/// What the text may say of a mirror and its copies while nothing is under way with them.
const QUIET_WORDS: [&str; 4] = ["READ", "WRITE", "VISIBLE", "NOAUTOACTIVATE"];

/// The length of the device of a pool's data or metadata, whatever it is made of; `None` if it overflows.
pub fn part_length(vg: &Vg, pool: &ThinPool, part: &Lv) -> Option<Sectors> {
    let whole = part.extents()?.to_sectors(vg.extent_size)?;
    let is_cropped = part.name == pool.metadata && pool.crop_metadata == Some(true);
    Some(if is_cropped { whole.min(Sectors::new(METADATA_MAX)) } else { whole })
}

impl Stacks<'_> {
    /// The devices of a thin pool in use.
    ///
    /// # Errors
    /// If a name or a size does not fit, or the text names what is not in it.
    pub fn pool(&self, lv: &Lv, pool: &ThinPool) -> Result<PoolStack, StackError> {
        let tmeta_lv = self.find(&lv.name, &pool.metadata)?;
        let tdata_lv = self.find(&lv.name, &pool.data)?;
        let tmeta = self.name(&tmeta_lv.name, Layer::Tmeta)?;
        let length = self.length(lv)?;
        let target = TargetSpec::ThinPool {
            length,
            metadata: DevRef::Device(tmeta.clone()),
            data: DevRef::Device(self.name(&tdata_lv.name, Layer::Tdata)?),
            chunk_size: pool.chunk_size,
            low_water: self.low_water(lv, length, pool.chunk_size),
            skip_block_zeroing: !pool.zero_new_blocks,
            discards: pool.discards,
            error_if_no_space: lv.has_flag(ERROR_WHEN_FULL),
        };
        let tpool = self.spec(lv, Layer::Tpool, vec![target], Role::Internal)?;
        let link =
            TargetSpec::Linear { length, device: DevRef::Device(tpool.name.clone()), offset: Sectors::ZERO };
        let mut pool_device = self.spec(lv, Layer::Pool, vec![link], Role::Internal)?;
        pool_device.read_only = true;
        let crop_at = (pool.crop_metadata == Some(true)).then_some(Sectors::new(METADATA_MAX));
        let parts = self.part(tmeta_lv, Layer::Tmeta, crop_at);
        let parts = parts.and_then(|tmeta| Ok([tmeta, self.part(tdata_lv, Layer::Tdata, None)?]));
        Ok(PoolStack { parts, tmeta, tpool, pool: pool_device })
    }

    /// The device of a hidden volume: a leg of a mirror, or the spare for pools' metadata, which lvm2 makes only while
    /// it repairs a pool.
    ///
    /// # Errors
    /// If it is made of anything but physical extents.
    pub fn hidden(&self, lv: &Lv) -> Result<DeviceSpec, StackError> {
        self.spec(lv, Layer::Plain, self.mapped(lv)?, Role::Internal)
    }

    /// The devices of a pool's metadata or data.
    fn part(&self, lv: &Lv, layer: Layer, crop_at: Option<Sectors>) -> Result<Part, StackError> {
        let (below, mut targets) = match lv.segments.as_slice() {
            [Segment { kind: SegmentKind::Opaque { mirror: Some(mirror), .. }, .. }] => {
                self.mirrored(lv, mirror)?
            }
            _ => (Vec::new(), self.mapped(lv)?),
        };
        if let Some(limit) = crop_at {
            crop(&mut targets, limit);
        }
        Ok(Part { below, top: self.spec(lv, layer, targets, Role::Internal)? })
    }

    /// The devices of a mirror's copies, and the mirror itself. Each copy is whole: the size of the mirror.
    fn mirrored(&self, lv: &Lv, mirror: &Mirror) -> Result<(Vec<DeviceSpec>, Vec<TargetSpec>), StackError> {
        self.at_rest(lv)?;
        let (mut below, mut legs) = (Vec::new(), Vec::new());
        for leg in &mirror.legs {
            let mut number = |name: &LvName| {
                let part = self.find(&lv.name, name)?;
                self.at_rest(part)?;
                let spec = self.spec(part, Layer::Plain, self.mapped(part)?, Role::Internal)?;
                let device = DevRef::Device(spec.name.clone());
                below.push(spec);
                Ok(device)
            };
            legs.push((number(&leg.metadata)?, number(&leg.data)?));
        }
        let target = TargetSpec::Mirror { length: self.length(lv)?, region_size: mirror.region_size, legs };
        Ok((below, vec![target]))
    }

    /// Refuses an LV that anything is under way with, such as a rebuild: its table depends on that.
    fn at_rest(&self, lv: &Lv) -> Result<(), StackError> {
        let words = lv.status.iter().chain(&lv.flags);
        let mut unknown = words.filter(|word| !QUIET_WORDS.contains(&word.as_str()));
        unknown.next().map_or(Ok(()), |word| {
            Err(StackError::Unsupported {
                lv: self.full_name(&lv.name),
                segtype: format!("raid1 with {word}"),
            })
        })
    }

    /// The pool target of a pool that never held a volume (transaction id 0): it bears the pool LV's own name.
    ///
    /// # Errors
    /// As for [`Self::pool`].
    pub fn new_pool(&self, lv: &Lv, pool: &ThinPool) -> Result<PoolStack, StackError> {
        let mut stack = self.pool(lv, pool)?;
        stack.tpool.name = self.name(&lv.name, Layer::Plain)?;
        stack.tpool.role = Role::NewPool;
        Ok(stack)
    }

    /// Source: lvm2 `lib/thin/thin.c` (`_thin_pool_add_target_line`).
    fn low_water(&self, lv: &Lv, length: Sectors, chunk_size: Sectors) -> Chunks {
        let of_profile = || self.thresholds.and_then(|thresholds| thresholds.get(&lv.name)).copied();
        let own = PoolRules::of(lv).ok().and_then(|rules| rules.extend_at).or_else(of_profile);
        let threshold = u64::from(own.unwrap_or(self.autoextend_threshold).clamp(50, 100));
        let chunks = length.get().checked_div(chunk_size.get()).unwrap_or(0);
        Chunks::new(u64::try_from(u128::from(chunks) * u128::from(100 - threshold) / 100).unwrap_or(0))
    }
}

/// Shortens a list of targets to a total length.
fn crop(targets: &mut Vec<TargetSpec>, limit: Sectors) {
    let mut left = limit.get();
    targets.retain_mut(|target| {
        let length = target.length_mut();
        *length = Sectors::new(length.get().min(left));
        left -= length.get();
        length.get() > 0
    });
}
