//! The devices LVM builds for a volume, from the metadata alone: names, uuids, tables, order.
//! Source: lvm2 `lib/activate/dev_manager.c`, `libdm/libdm-deptree.c`.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use thiserror::Error;

use base::ids::{FullName, IdError, LvName, ThinId};
use base::units::{Chunks, Sectors};
use dm::name::{DmName, DmUuid, Layer};
use lvm2::format::edit::NewThin;
use lvm2::format::model::{Discards, Lv, Segment, SegmentKind, Striped, Vg};
use lvm2::format::volume_list::{Listed, VolumeLists};

mod external;
mod pool;
mod read_ahead;
mod show;
mod table;

pub use pool::{Part, PoolBlocks, PoolStack, part_length};
pub use read_ahead::ReadAhead;

/// A device that a table stands on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum DevRef {
    /// A physical volume, by its key in the text.
    Pv(String),
    /// A device of the same stack, by name: its number is known once it exists.
    Device(DmName),
}

/// One target, with the devices it stands on still by reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "target", rename_all = "kebab-case")]
pub enum TargetSpec {
    /// Linear mapping.
    Linear {
        /// Length.
        length: Sectors,
        /// The device mapped to.
        device: DevRef,
        /// Where on it.
        offset: Sectors,
    },
    /// Striping.
    Striped {
        /// Length.
        length: Sectors,
        /// Stripe size.
        stripe_size: Sectors,
        /// The areas.
        areas: Vec<(DevRef, Sectors)>,
    },
    /// A mirror.
    Mirror {
        /// Length.
        length: Sectors,
        /// How much one bit of its map of what is out of step stands for.
        region_size: Sectors,
        /// For each copy, the device of its state and that of its content.
        legs: Vec<(DevRef, DevRef)>,
    },
    /// A thin pool.
    ThinPool {
        /// Length.
        length: Sectors,
        /// Metadata device.
        metadata: DevRef,
        /// Data device.
        data: DevRef,
        /// Chunk size.
        chunk_size: Sectors,
        /// Free chunks at which the kernel raises an event.
        low_water: Chunks,
        /// New chunks are not zeroed.
        skip_block_zeroing: bool,
        /// What happens to discards.
        discards: Discards,
        /// A full pool fails writes at once.
        error_if_no_space: bool,
    },
    /// A thin volume.
    Thin {
        /// Length.
        length: Sectors,
        /// The pool target.
        pool: DevRef,
        /// Its id in the pool.
        id: ThinId,
        /// The device that chunks which were never written are read from, if there is one.
        external: Option<DevRef>,
    },
}

/// What udev rules are to make of a device. Source: lvm2 `lib/activate/dev_manager.c` (`_get_udev_flags`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A volume users open: all links are made.
    Visible,
    /// A pool LV, its target, or its parts: no scanning, no links.
    Internal,
    /// A pool that was never used, shown under the pool LV's own name.
    NewPool,
}

/// Everything about a device that is to exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceSpec {
    /// The LV it belongs to.
    pub lv: LvName,
    /// Its name.
    pub name: DmName,
    /// Its uuid.
    pub uuid: DmUuid,
    /// Its targets, in order.
    pub targets: Vec<TargetSpec>,
    /// Whether it refuses writes.
    pub read_only: bool,
    /// What udev is to make of it.
    pub role: Role,
    /// Its minor number, if that is fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minor: Option<u32>,
    /// What it reads ahead, if not what the kernel makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_ahead: Option<ReadAhead>,
}

impl TargetSpec {
    /// What it stands on.
    fn below(&self) -> Vec<&DevRef> {
        match self {
            Self::Linear { device, .. } => vec![device],
            Self::Striped { areas, .. } => areas.iter().map(|(device, _)| device).collect(),
            Self::Mirror { legs, .. } => legs.iter().flat_map(|(metadata, data)| [metadata, data]).collect(),
            Self::ThinPool { metadata, data, .. } => vec![metadata, data],
            Self::Thin { pool, external, .. } => std::iter::once(pool).chain(external).collect(),
        }
    }
}

impl DeviceSpec {
    /// The devices of device-mapper that it stands on.
    pub fn devices_below(&self) -> impl Iterator<Item = &DmName> {
        self.targets.iter().flat_map(TargetSpec::below).filter_map(|device| match device {
            DevRef::Device(name) => Some(name),
            DevRef::Pv(_) => None,
        })
    }
}

/// Why the stack of a volume cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StackError {
    /// A segment type outside what thinvol activates.
    #[error("volume {lv} has a segment of type '{segtype}', which thinvol does not activate")]
    Unsupported {
        /// The volume.
        lv: FullName,
        /// The type.
        segtype: String,
    },
    /// Something thinvol does not understand is built on it: its device may have to be of another kind.
    #[error("volume {user} is built on volume {lv}, in a way thinvol does not know")]
    BuiltUpon {
        /// The volume.
        lv: FullName,
        /// What is built on it, such as a copy-on-write snapshot.
        user: FullName,
    },
    /// A snapshot is being merged into it: lvm2 gives the origin the snapshot's thin device when it activates it, and
    /// what is written to the old one after that is lost.
    #[error("snapshot {snapshot} is being merged into volume {origin}")]
    Merging {
        /// The volume it is merged into.
        origin: FullName,
        /// What is merged.
        snapshot: FullName,
    },
    /// A size does not fit.
    #[error("volume {lv}: a size in its metadata overflows")]
    Overflow {
        /// The volume.
        lv: FullName,
    },
    /// A name or uuid that device-mapper does not take.
    #[error("volume {lv} cannot have a device")]
    Name {
        /// The volume.
        lv: FullName,
        /// The rule it breaks.
        #[source]
        source: IdError,
    },
    /// The text names something that is not in it.
    #[error("volume {lv} refers to '{missing}', which does not exist")]
    Dangling {
        /// The volume.
        lv: FullName,
        /// What is missing.
        missing: String,
    },
}

/// A thin snapshot that is to take the place of its origin. Source: lvm2 `lib/metadata/snapshot_manip.c`
/// (`init_snapshot_merge`).
#[derive(Clone, Copy, Debug)]
struct Merge<'a> {
    origin: &'a LvName,
    snapshot: &'a LvName,
}

/// Builds specs from one volume group.
#[derive(Clone, Debug)]
pub struct Stacks<'a> {
    vg: &'a Vg,
    autoextend_threshold: u32,
    /// The same for pools whose profile says otherwise.
    thresholds: Option<&'a BTreeMap<LvName, u32>>,
    /// Volumes that segments of a kind thinvol does not know name, with a volume that has such a segment.
    built_upon: HashMap<&'a str, &'a LvName>,
    /// Volumes that thin volumes read from what they do not hold.
    external_origins: HashSet<&'a LvName>,
    /// Both sides of each merge that is pending, with what is merged into what.
    merging: HashMap<&'a LvName, Merge<'a>>,
    /// The volume lists of lvm.conf: they decide what is read-only.
    lists: Option<&'a VolumeLists>,
    /// What the physical volumes read ahead, by their keys.
    pvs_read_ahead: Option<&'a BTreeMap<String, Sectors>>,
    /// Whether volumes whose text says nothing of it read nothing ahead.
    no_read_ahead: bool,
}

impl<'a> Stacks<'a> {
    /// A builder for that volume group. `autoextend_threshold` is `activation/thin_pool_autoextend_threshold`, in
    /// percent: it decides the low water mark.
    pub fn new(vg: &'a Vg, autoextend_threshold: u32) -> Self {
        let (mut built_upon, mut merging) = (HashMap::new(), HashMap::new());
        let mut external_origins = HashSet::new();
        for lv in vg.lvs.others() {
            external_origins.extend(lv.thin().and_then(|thin| thin.external_origin.as_ref()));
            if let Some(origin) = lv.thin().and_then(|thin| thin.merge.as_ref()) {
                let merge = Merge { origin, snapshot: &lv.name };
                merging.entry(origin).or_insert(merge);
                merging.insert(&lv.name, merge);
            }
            for segment in &lv.segments {
                if let SegmentKind::Opaque { references, .. } = &segment.kind {
                    references.iter().for_each(|name| {
                        built_upon.entry(name.as_str()).or_insert(&lv.name);
                    });
                }
            }
        }
        Self {
            vg,
            autoextend_threshold,
            thresholds: None,
            built_upon,
            external_origins,
            merging,
            lists: None,
            pvs_read_ahead: None,
            no_read_ahead: false,
        }
    }

    /// The same, with other thresholds for some pools.
    #[must_use]
    pub fn with_thresholds(mut self, thresholds: &'a BTreeMap<LvName, u32>) -> Self {
        self.thresholds = Some(thresholds);
        self
    }

    /// The same, with volumes read-only as these lists say.
    #[must_use]
    pub fn with_lists(mut self, lists: &'a VolumeLists) -> Self {
        self.lists = Some(lists);
        self
    }

    fn is_read_only(&self, name: &LvName, tags: &[String]) -> bool {
        self.lists.is_some_and(|lists| lists.is_read_only(Listed { vg: self.vg, name, tags }))
    }

    /// The name of an LV's device.
    ///
    /// # Errors
    /// If device-mapper would not take it.
    pub fn name(&self, lv: &LvName, layer: Layer) -> Result<DmName, StackError> {
        let name = DmName::of_lv(&self.vg.name, lv, layer);
        name.map_err(|source| StackError::Name { lv: self.full_name(lv), source })
    }

    fn full_name(&self, lv: &LvName) -> FullName {
        self.vg.name.volume(lv)
    }

    fn spec(
        &self,
        lv: &Lv,
        layer: Layer,
        targets: Vec<TargetSpec>,
        role: Role,
    ) -> Result<DeviceSpec, StackError> {
        Ok(DeviceSpec {
            lv: lv.name.clone(),
            name: self.name(&lv.name, layer)?,
            uuid: DmUuid::of_lv(&self.vg.id, &lv.id, layer),
            targets,
            read_only: !lv.is_writable(),
            role,
            minor: None,
            read_ahead: None,
        })
    }

    fn find(&self, user: &LvName, wanted: &LvName) -> Result<&Lv, StackError> {
        self.vg
            .lv(wanted)
            .ok_or_else(|| StackError::Dangling { lv: self.full_name(user), missing: wanted.to_string() })
    }

    fn length(&self, lv: &Lv) -> Result<Sectors, StackError> {
        lv.extents()
            .and_then(|extents| extents.to_sectors(self.vg.extent_size))
            .ok_or_else(|| StackError::Overflow { lv: self.full_name(&lv.name) })
    }

    /// The device of a plain volume: linear, striped, thin, or an external origin over its real device.
    ///
    /// # Errors
    /// If it is made of anything else, or takes part in a merge that is pending.
    pub fn volume(&self, lv: &Lv) -> Result<DeviceSpec, StackError> {
        self.merging(lv).map_or_else(|| self.volume_to_take_down(lv), Err)
    }

    /// The pending merge that a volume takes part in.
    pub fn merging(&self, lv: &Lv) -> Option<StackError> {
        self.merging.get(&lv.name).map(|Merge { origin, snapshot }| StackError::Merging {
            origin: self.full_name(origin),
            snapshot: self.full_name(snapshot),
        })
    }

    /// The same, of a device that may only go: which content it shows of a pending merge does not matter then.
    ///
    /// # Errors
    /// If it is made of anything else.
    pub fn volume_to_take_down(&self, lv: &Lv) -> Result<DeviceSpec, StackError> {
        if let Some(user) = self.used_by_unknown(lv) {
            return Err(self.built_upon_by(lv, user));
        }
        match lv.thin() {
            Some(thin) => {
                let pool = DevRef::Device(self.name(&thin.pool, Layer::Tpool)?);
                let external = self.external(&lv.name, thin.external_origin.as_ref())?;
                let target =
                    TargetSpec::Thin { length: self.length(lv)?, pool, id: thin.device_id, external };
                self.visible(lv, vec![target])
            }
            None if self.is_external_origin(&lv.name) => self.visible(lv, vec![self.over_real(lv)?]),
            None => self.visible(lv, self.mapped(lv)?),
        }
    }

    fn visible(&self, lv: &Lv, targets: Vec<TargetSpec>) -> Result<DeviceSpec, StackError> {
        let mut spec = self.spec(lv, Layer::Plain, targets, Role::Visible)?;
        spec.read_only |= self.is_read_only(&lv.name, &lv.tags);
        spec.minor = lv.minor();
        spec.read_ahead = self.read_ahead(lv);
        Ok(spec)
    }

    fn built_upon_by(&self, lv: &Lv, user: &LvName) -> StackError {
        StackError::BuiltUpon { lv: self.full_name(&lv.name), user: self.full_name(user) }
    }

    /// A volume of a kind thinvol does not know that names this one: the copy-on-write snapshot of an origin, say.
    pub fn used_by_unknown(&self, lv: &Lv) -> Option<&'a LvName> {
        self.built_upon.get(lv.name.as_str()).copied()
    }

    /// The device of a thin volume that the text does not hold yet.
    ///
    /// # Errors
    /// If device-mapper would not take its name, or its size overflows.
    pub fn new_volume(&self, new: &NewThin) -> Result<DeviceSpec, StackError> {
        let length = new.extents.to_sectors(self.vg.extent_size);
        let length = length.ok_or_else(|| StackError::Overflow { lv: self.full_name(&new.name) })?;
        let pool = DevRef::Device(self.name(&new.pool, Layer::Tpool)?);
        let external = self.external(&new.name, new.external_origin.as_ref())?;
        Ok(DeviceSpec {
            lv: new.name.clone(),
            name: self.name(&new.name, Layer::Plain)?,
            uuid: DmUuid::of_lv(&self.vg.id, &new.id, Layer::Plain),
            targets: vec![TargetSpec::Thin { length, pool, id: new.device_id, external }],
            read_only: new.read_only || self.is_read_only(&new.name, &new.tags),
            role: Role::Visible,
            minor: None,
            read_ahead: self.read_ahead_of_new(&new.pool),
        })
    }

    /// The targets of a volume that lies on physical extents.
    fn mapped(&self, lv: &Lv) -> Result<Vec<TargetSpec>, StackError> {
        lv.segments.iter().map(|segment| self.mapped_segment(lv, segment)).collect()
    }

    fn mapped_segment(&self, lv: &Lv, segment: &Segment) -> Result<TargetSpec, StackError> {
        let unsupported =
            |segtype: String| Err(StackError::Unsupported { lv: self.full_name(&lv.name), segtype });
        match &segment.kind {
            SegmentKind::Striped(striped) => self.striped(lv, segment, striped),
            SegmentKind::ThinPool(_) => unsupported("thin-pool".into()),
            SegmentKind::Thin(_) => unsupported("thin".into()),
            SegmentKind::Opaque { segtype, .. } => unsupported(segtype.clone()),
        }
    }

    fn striped(&self, lv: &Lv, segment: &Segment, striped: &Striped) -> Result<TargetSpec, StackError> {
        let overflow = || StackError::Overflow { lv: self.full_name(&lv.name) };
        let length = segment.count.to_sectors(self.vg.extent_size).ok_or_else(overflow)?;
        let mut areas = Vec::with_capacity(striped.stripes.len());
        for stripe in &striped.stripes {
            let pv = self.vg.pv(&stripe.area).ok_or_else(|| StackError::Unsupported {
                lv: self.full_name(&lv.name),
                segtype: "stacked linear".into(),
            })?;
            let offset =
                stripe.start.to_sectors(self.vg.extent_size).and_then(|s| s.checked_add(pv.pe_start));
            areas.push((DevRef::Pv(pv.key.clone()), offset.ok_or_else(overflow)?));
        }
        match (areas.as_slice(), striped.stripe_size) {
            ([(device, offset)], _) => {
                Ok(TargetSpec::Linear { length, device: device.clone(), offset: *offset })
            }
            (_, Some(stripe_size)) => Ok(TargetSpec::Striped { length, stripe_size, areas }),
            (_, None) => {
                Err(StackError::Dangling { lv: self.full_name(&lv.name), missing: "stripe_size".into() })
            }
        }
    }
}

impl DeviceSpec {
    /// The length of all its targets.
    pub fn length(&self) -> Sectors {
        Sectors::new(
            self.targets.iter().fold(0, |sum: u64, target| sum.saturating_add(target.length().get())),
        )
    }

    /// The same with a last target that makes it so long.
    #[must_use]
    pub fn of_length(mut self, length: Sectors) -> Self {
        let others = self.length().get() - self.targets.last().map_or(0, |last| last.length().get());
        if let Some(last) = self.targets.last_mut() {
            *last.length_mut() = Sectors::new(length.get().saturating_sub(others));
        }
        self
    }
}

impl TargetSpec {
    fn length_mut(&mut self) -> &mut Sectors {
        match self {
            Self::Linear { length, .. }
            | Self::Striped { length, .. }
            | Self::Mirror { length, .. }
            | Self::ThinPool { length, .. }
            | Self::Thin { length, .. } => length,
        }
    }

    /// The target's length.
    pub fn length(&self) -> Sectors {
        match self {
            Self::Linear { length, .. }
            | Self::Striped { length, .. }
            | Self::Mirror { length, .. }
            | Self::ThinPool { length, .. }
            | Self::Thin { length, .. } => *length,
        }
    }
}

#[cfg(test)]
mod tests;
