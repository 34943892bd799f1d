//! The typed model of a volume group's metadata text.
//!
//! It is a view: the lossless text tree stays the source from which the next text is made, so that what is
//! not modelled here is kept. Field names follow lvm2 `lib/format_text/export.c`.

use serde::Serialize;

use base::ids::{LvName, LvmUuid, PoolId, Seqno, ThinId, TransactionId, VgName};
use base::units::{Extents, Sectors};

/// A volume group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vg {
    /// Its name.
    pub name: VgName,
    /// Its identity: names can be shared by accident, this cannot.
    pub id: LvmUuid,
    /// The number of the commit that wrote this state.
    pub seqno: Seqno,
    /// `status` words, such as `RESIZEABLE`, `READ`, `WRITE`, `EXPORTED`.
    pub status: Vec<String>,
    /// `flags` words, such as `NOAUTOACTIVATE`.
    pub flags: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// The host that owns the VG, if set.
    pub system_id: Option<String>,
    /// The cluster lock manager, if set (`none` means local).
    pub lock_type: Option<String>,
    /// What it asks of persistent reservations on its disks (`pr`): `require`, `autostart`, `ptpl`.
    pub pr: Vec<String>,
    /// Size of one extent.
    pub extent_size: Sectors,
    /// The profile whose settings count for its LVs, if it has one.
    pub profile: Option<String>,
    /// Limit on the number of LVs; 0 for none.
    pub max_lv: u64,
    /// Metadata copies LVM is to keep; 0 if not managed.
    pub metadata_copies: u64,
    /// Physical volumes, in text order.
    pub pvs: Vec<Pv>,
    /// Logical volumes, visible and hidden, in text order.
    pub lvs: Lvs,
    /// Removed LVs the text remembers, in text order: their names may not be used again.
    pub historical_lvs: Vec<HistoricalLv>,
}

/// A physical volume of a volume group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pv {
    /// Its key in this text (`pv0`): renumbered by LVM at will.
    pub key: String,
    /// Its identity.
    pub id: LvmUuid,
    /// The device path when the text was written; a hint only.
    pub device_hint: Option<String>,
    /// `status` words, such as `ALLOCATABLE`, `MISSING`.
    pub status: Vec<String>,
    /// `flags` words, such as `MISSING`.
    pub flags: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Size of the device, if recorded.
    pub dev_size: Option<Sectors>,
    /// Where the first extent starts.
    pub pe_start: Sectors,
    /// Number of extents.
    pub pe_count: Extents,
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lv {
    /// Its name.
    pub name: LvName,
    /// Its identity.
    pub id: LvmUuid,
    /// `status` words, such as `READ`, `WRITE`, `VISIBLE`.
    pub status: Vec<String>,
    /// `flags` words, such as `ACTIVATION_SKIP`.
    pub flags: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// When it was created, in seconds since 1970, if recorded.
    pub creation_time: Option<u64>,
    /// Where it was created, if recorded.
    pub creation_host: Option<String>,
    /// The profile whose settings count for it, if it has one of its own.
    pub profile: Option<String>,
    /// Read-ahead in sectors; -1 for none; absent for automatic.
    pub read_ahead: Option<i64>,
    /// Fixed device number, if persistent.
    pub fixed_minor: Option<(i64, i64)>,
    /// Its segments: gap-free from extent 0.
    pub segments: Vec<Segment>,
}

/// A segment of a logical volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// First logical extent.
    pub start: Extents,
    /// Number of logical extents.
    pub count: Extents,
    /// Tags.
    pub tags: Vec<String>,
    /// What it is made of.
    pub kind: SegmentKind,
}

/// The kinds of segment thinvol understands, and all the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum SegmentKind {
    /// Extents on one (linear) or several (striped) areas.
    Striped(Striped),
    /// A thin pool.
    ThinPool(ThinPool),
    /// A thin volume.
    Thin(Thin),
    /// A segment type that is kept as it is and never planned with.
    Opaque {
        /// The type word with its flags, such as `raid1` or `cache+CACHE_USES_CACHEVOL`.
        segtype: String,
        /// Names of LVs that its strings and arrays mention.
        references: Vec<String>,
        /// Keys of PVs that they mention: it may lie on them itself.
        #[serde(skip)]
        pvs: Vec<String>,
        /// How it maps, if it is a plain mirror.
        #[serde(skip_serializing_if = "Option::is_none")]
        mirror: Option<Mirror>,
    },
}

impl SegmentKind {
    /// What it lies on, in the words of the text: keys of physical volumes and names of LVs.
    pub fn areas(&self) -> Vec<&str> {
        match self {
            Self::Striped(striped) => striped.stripes.iter().map(|stripe| stripe.area.as_str()).collect(),
            Self::ThinPool(pool) => vec![pool.metadata.as_str(), pool.data.as_str()],
            Self::Thin(_) => Vec::new(),
            Self::Opaque { references, pvs, .. } => {
                references.iter().chain(pvs).map(String::as_str).collect()
            }
        }
    }
}

/// A mirror of type `raid1` with nothing under way: all that the text says of it is here.
/// Source: lvm2 `lib/raid/raid.c` (`_raid_text_import`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mirror {
    /// The size of the region that one bit of its write-intent bitmap stands for.
    pub region_size: Sectors,
    /// Its copies.
    pub legs: Vec<Leg>,
}

/// One copy of a mirror.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leg {
    /// The LV with the mirror's metadata about the copy.
    pub metadata: LvName,
    /// The LV that holds the content.
    pub data: LvName,
}

/// A linear or striped segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Striped {
    /// Stripe size; absent for one stripe.
    pub stripe_size: Option<Sectors>,
    /// The areas, one for linear.
    pub stripes: Vec<Stripe>,
}

/// One area of a striped segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stripe {
    /// A PV key, or the name of an LV.
    pub area: String,
    /// First extent on that area.
    pub start: Extents,
}

/// How a pool treats discards. Source: lvm2 `lib/thin/thin.c`; absent in the text means ignore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Discards {
    /// The pool drops them.
    Ignore,
    /// The pool frees chunks, the data device is not told.
    NoPassdown,
    /// The pool frees chunks and tells the data device.
    Passdown,
}

/// The segment of a thin pool LV.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ThinPool {
    /// The LV that holds the pool's metadata.
    pub metadata: LvName,
    /// The LV that holds the pool's data.
    pub data: LvName,
    /// LVM's side of the transaction id.
    pub transaction_id: TransactionId,
    /// Size of a chunk.
    pub chunk_size: Sectors,
    /// What happens to discards.
    pub discards: Discards,
    /// Whether new chunks are zeroed before use.
    pub zero_new_blocks: bool,
    /// Whether the metadata device is cropped to the kernel's limit; absent if undecided.
    pub crop_metadata: Option<bool>,
    /// Messages the kernel may not have had yet, in order.
    pub messages: Vec<PoolMessage>,
}

/// A message recorded in the text for the kernel's pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolMessage {
    /// Create the thin device of this LV (a snapshot if the LV has an origin).
    Create(LvName),
    /// Delete this thin device.
    Delete(ThinId),
}

/// The segment of a thin volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Thin {
    /// The pool LV.
    pub pool: LvName,
    /// The pool's transaction id before the volume was created; informational.
    pub transaction_id: TransactionId,
    /// Its id in the pool.
    pub device_id: ThinId,
    /// A read-only LV outside the pool that provides unwritten chunks.
    pub external_origin: Option<LvName>,
    /// The thin LV it was made from; informational.
    pub origin: Option<LvName>,
    /// The LV it is being merged into.
    pub merge: Option<LvName>,
}

/// The flag of a pool that fails writes when it is full. Source: lvm2 `lib/format_text/flags.c`.
pub const ERROR_WHEN_FULL: &str = "ERROR_WHEN_FULL";

impl Vg {
    /// The LV of that name.
    pub fn lv(&self, name: &LvName) -> Option<&Lv> {
        self.lvs.find(name.as_str())
    }

    /// The pool's identity on this host.
    pub fn pool_id(&self, pool: &Lv) -> PoolId {
        PoolId { vg: self.id, lv: pool.id }
    }

    /// The PV with that key.
    pub fn pv(&self, key: &str) -> Option<&Pv> {
        self.pvs.iter().find(|pv| pv.key == key)
    }

    /// The spare for the metadata of the group's pools, if there is one.
    pub fn metadata_spare(&self) -> Option<&Lv> {
        self.lvs.others().find(|lv| lv.is_metadata_spare())
    }

    /// The LVs that are thin pools.
    pub fn pools(&self) -> impl Iterator<Item = (&Lv, &ThinPool)> {
        self.lvs.others().filter_map(|lv| Some((lv, lv.thin_pool()?)))
    }

    /// What a look at the thin volumes of a pool shows, snapshots included.
    pub fn glances_of<'a>(&'a self, pool: &'a LvName) -> impl Iterator<Item = (Glance<'a>, ThinGlance<'a>)> {
        let thins = self.lvs.glances().filter_map(|lv| Some((lv, lv.thin()?)));
        thins.filter(move |(_, thin)| thin.is_in(pool.as_str()))
    }

    /// The thin volumes of a pool, snapshots included.
    pub fn thins_of<'a>(&'a self, pool: &'a LvName) -> impl Iterator<Item = (&'a Lv, &'a Thin)> {
        self.glances_of(pool).filter_map(|(lv, _)| Some((lv.lv(), lv.lv().thin()?)))
    }
}

impl Pv {
    /// Whether new extents of LVs may go on it.
    pub fn is_allocatable(&self) -> bool {
        self.status.iter().any(|word| word == "ALLOCATABLE")
    }

    /// Whether the text marks it as missing when the group was changed: its content may be out of date.
    pub fn is_marked_missing(&self) -> bool {
        self.status.iter().chain(&self.flags).any(|word| word == "MISSING")
    }
}

impl Lv {
    /// Number of logical extents, or `None` if the sum of its segments overflows.
    pub fn extents(&self) -> Option<Extents> {
        self.segments.iter().try_fold(Extents::ZERO, |sum, segment| sum.checked_add(segment.count))
    }

    /// Whether users see it (not a hidden part of another LV).
    pub fn is_visible(&self) -> bool {
        self.status.iter().any(|word| word == "VISIBLE")
    }

    /// Whether it is the spare for the metadata of the group's pools. Source: lvm2 `lib/format_text/import_vsn1.c`
    /// (`_read_lvnames`).
    pub fn is_metadata_spare(&self) -> bool {
        !self.is_visible() && self.name.as_str().ends_with("_pmspare")
    }

    /// Whether it may be written.
    pub fn is_writable(&self) -> bool {
        self.status.iter().any(|word| word == "WRITE") || self.flags.iter().any(|word| word == "WRITE_LOCKED")
    }

    /// Its minor number, if that is fixed.
    pub fn minor(&self) -> Option<u32> {
        let (_, minor) = self.fixed_minor.filter(|_| self.status.iter().any(|word| word == "FIXED_MINOR"))?;
        u32::try_from(minor).ok()
    }

    /// Whether `flags` holds this word.
    pub fn has_flag(&self, word: &str) -> bool {
        self.flags.iter().any(|flag| flag == word)
    }

    /// Its pool segment, if it is a thin pool.
    pub fn thin_pool(&self) -> Option<&ThinPool> {
        match self.segments.as_slice() {
            [Segment { kind: SegmentKind::ThinPool(pool), .. }] => Some(pool),
            _ => None,
        }
    }

    /// The copies it consists of, if it is a plain mirror.
    pub fn legs(&self) -> &[Leg] {
        match self.segments.as_slice() {
            [Segment { kind: SegmentKind::Opaque { mirror: Some(mirror), .. }, .. }] => &mirror.legs,
            _ => &[],
        }
    }

    /// Its thin segment, if it is a thin volume.
    pub fn thin(&self) -> Option<&Thin> {
        match self.segments.as_slice() {
            [Segment { kind: SegmentKind::Thin(thin), .. }] => Some(thin),
            _ => None,
        }
    }
}

/// Where a physical volume that is missing was last.
pub fn last_seen(device_hint: &Option<String>) -> String {
    device_hint.as_ref().map_or_else(String::new, |device| format!(" (it was last on {device})"))
}

mod fields;
mod history;
mod lvs;
mod places;
mod read;
pub mod record;
pub(crate) mod records;
mod segment;

pub use history::{Ancestor, HistoricalLv};
pub use lvs::{Glance, Lvs, ThinGlance};
pub use read::{ModelError, ParsedText, ReadError};

#[cfg(test)]
mod tests;
