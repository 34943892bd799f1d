//! The logical volumes of a volume group. Most of them are not needed by a command: plain records of thin volumes are
//! kept as they are, and parsed on demand.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use serde::{Serialize, Serializer};

use super::places::{Places, number_of, number_of_id};
use super::record::{self, Record};
use super::{Lv, Thin};
use base::bytes::shared::SharedBytes;
use base::ids::{LvmUuid, ThinId};
use base::units::Extents;

/// Logical volumes, visible and hidden, in text order.
#[derive(Clone, Default)]
pub struct Lvs {
    /// Where the records are.
    text: SharedBytes,
    /// Records that are parsed on demand.
    records: Arc<Vec<Record>>,
    /// Those of them that were parsed; allocated with the first.
    asked_for: OnceLock<Box<[OnceLock<Box<Lv>>]>>,
    /// The others, which are few, with their places.
    others: Vec<(usize, Lv)>,
    by_name: OnceLock<Places>,
    by_id: OnceLock<Places>,
    /// How often one was looked for without those tables.
    looks: Looks,
}

/// How often LVs were looked at one by one. A copy has not been looked at.
#[derive(Default)]
struct Looks(AtomicU32);

impl Clone for Looks {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Looks {
    /// So many looks at all LVs cost about as much as a table of them.
    const MOST: u32 = 16;

    /// Whether one more look is cheaper than a table, or would have been.
    fn may_look(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) < Self::MOST
    }
}

/// An LV as it is kept.
enum Item<'a> {
    /// One that was read.
    Read(&'a Lv),
    /// A record that is parsed on demand, with its place among those.
    Known(&'a Record, usize),
}

/// An LV of which only the requested fields are parsed.
#[derive(Clone, Copy)]
pub struct Glance<'a> {
    lvs: &'a Lvs,
    at: usize,
}

/// What a glance at a thin volume shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThinGlance<'a> {
    pool: &'a [u8],
    /// Its id in the pool.
    pub device_id: ThinId,
    origin: Option<&'a [u8]>,
}

impl<'a> ThinGlance<'a> {
    /// Whether that is its pool.
    pub fn is_in(&self, pool: &str) -> bool {
        self.pool == pool.as_bytes()
    }

    /// Its pool.
    pub fn pool(&self) -> &'a str {
        record::text_of(self.pool)
    }

    /// Whether both have one pool.
    pub(crate) fn shares_pool(&self, other: &ThinGlance<'_>) -> bool {
        self.pool == other.pool
    }

    /// The thin volume it was made from.
    pub fn origin(&self) -> Option<&'a str> {
        self.origin.map(record::text_of)
    }
}

impl Lvs {
    /// Those of a text: its records, and the others with their places among all.
    pub(crate) fn in_text(text: SharedBytes, records: Arc<Vec<Record>>, others: Vec<(usize, Lv)>) -> Self {
        Self { text, records, others, ..Self::default() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len() + self.others.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn item(&self, at: usize) -> Item<'_> {
        // Mostly the others, pools and their parts, were there before any record.
        if self.others.last().is_none_or(|(last, _)| *last < at) {
            let number = at - self.others.len();
            return Item::Known(&self.records[number], number);
        }
        match self.others.binary_search_by_key(&at, |(place, _)| *place) {
            Ok(other) => Item::Read(&self.others[other].1),
            Err(before) => Item::Known(&self.records[at - before], at - before),
        }
    }

    /// All of them, read. Where a glance will do, see [`Lvs::glances`].
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Lv> + ExactSizeIterator + Clone {
        (0..self.len()).map(|at| &self[at])
    }

    /// All LVs, each with its fields parsed on demand.
    pub fn glances(&self) -> impl DoubleEndedIterator<Item = Glance<'_>> + ExactSizeIterator + Clone {
        (0..self.len()).map(|at| Glance { lvs: self, at })
    }

    /// A look at the one at a place.
    pub(crate) fn glance_at(&self, at: usize) -> Glance<'_> {
        Glance { lvs: self, at }
    }

    /// Those that are more than a plain thin volume: pools, their parts, thick volumes, thin volumes with an external
    /// origin or a merge under way. Also thin volumes that are written otherwise than LVM does.
    pub fn others(&self) -> impl DoubleEndedIterator<Item = &Lv> {
        self.others.iter().map(|(_, lv)| lv)
    }

    /// The first LV of that name.
    pub fn find(&self, name: &str) -> Option<&Lv> {
        self.place(name).map(|at| &self[at])
    }

    /// The first LV of that name, with its fields parsed on demand.
    pub fn glance(&self, name: &str) -> Option<Glance<'_>> {
        self.place(name).map(|at| Glance { lvs: self, at })
    }

    /// The first LV of that identity.
    pub fn find_id(&self, id: &LvmUuid) -> Option<&Lv> {
        self.place_of_id(id).map(|at| &self[at])
    }

    /// The place of the first LV of that name.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        if self.by_name.get().is_none() && self.looks.may_look() {
            return (0..self.len()).find(|at| self.name_bytes(*at) == name.as_bytes());
        }
        self.names().find(number_of(name.as_bytes()), |at| self.name_bytes(at) == name.as_bytes())
    }

    /// The place of the first LV of that identity, in the order of the text.
    pub fn place_of_id(&self, id: &LvmUuid) -> Option<usize> {
        if self.by_id.get().is_none() && self.looks.may_look() {
            return (0..self.len()).find(|at| self.id(*at) == *id);
        }
        self.ids().find(number_of_id(id), |at| self.id(at) == *id)
    }

    /// Whether no two have the same name or the same identity.
    pub(crate) fn all_differ(&self) -> bool {
        self.names().all_differ() && self.ids().all_differ()
    }

    fn names(&self) -> &Places {
        let numbers = || (0..self.len()).map(|at| number_of(self.name_bytes(at)));
        let is_same = |one, other| self.name_bytes(one) == self.name_bytes(other);
        self.by_name.get_or_init(|| Places::of(numbers(), is_same))
    }

    fn ids(&self) -> &Places {
        let numbers = || self.glances().map(|lv| number_of_id(&lv.id()));
        self.by_id.get_or_init(|| Places::of(numbers(), |one, other| self.id(one) == self.id(other)))
    }

    fn name_bytes(&self, at: usize) -> &[u8] {
        match self.item(at) {
            Item::Read(lv) => lv.name.as_str().as_bytes(),
            Item::Known(record, _) => record.name(&self.text),
        }
    }

    fn id(&self, at: usize) -> LvmUuid {
        match self.item(at) {
            Item::Read(lv) => lv.id,
            Item::Known(record, _) => record.id,
        }
    }

    /// The record at a place, if one is there.
    pub(crate) fn record(&self, at: usize) -> Option<&Record> {
        match self.item(at) {
            Item::Read(_) => None,
            Item::Known(record, _) => Some(record),
        }
    }

    /// Which of the records the one at a place is.
    pub(crate) fn record_number(&self, at: usize) -> Option<usize> {
        match self.item(at) {
            Item::Read(_) => None,
            Item::Known(_, number) => Some(number),
        }
    }

    /// How many LVs before that place are no records.
    pub(crate) fn others_before(&self, at: usize) -> usize {
        self.others.partition_point(|(place, _)| *place < at)
    }

    /// The records, in text order.
    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// The text that the records are in.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether the LV at a place is certainly what that of the others at another place is: all bytes are the same.
    pub(crate) fn is_same(&self, at: usize, others: &Self, other: usize) -> bool {
        match (self.record(at), others.record(other)) {
            (Some(one), Some(two)) => one.bytes(&self.text) == two.bytes(&others.text),
            _ => self[at] == others[other],
        }
    }
}

impl std::ops::Index<usize> for Lvs {
    type Output = Lv;

    fn index(&self, at: usize) -> &Lv {
        match self.item(at) {
            Item::Read(lv) => lv,
            Item::Known(record, number) => {
                let all = self.asked_for.get_or_init(|| vec![OnceLock::new(); self.records.len()].into());
                all[number].get_or_init(|| Box::new(record.lv(&self.text)))
            }
        }
    }
}

impl Lvs {
    /// How many were read one by one so far.
    #[cfg(any(test, feature = "testing"))]
    pub fn how_many_are_read(&self) -> usize {
        let asked_for = self.asked_for.get().map_or(&[][..], |all| all);
        self.others.len() + asked_for.iter().filter(|lv| lv.get().is_some()).count()
    }

    /// All of them, to be changed.
    #[cfg(any(test, feature = "testing"))]
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lv> {
        *self = self.iter().cloned().collect::<Vec<_>>().into();
        self.others.iter_mut().map(|(_, lv)| lv)
    }

    /// Adds one that was read.
    #[cfg(any(test, feature = "testing"))]
    pub fn push(&mut self, lv: Lv) {
        (self.by_name, self.by_id) = (OnceLock::new(), OnceLock::new());
        self.others.push((self.len(), lv));
    }
}

impl<'a> IntoIterator for &'a Lvs {
    type Item = &'a Lv;
    type IntoIter = Box<dyn Iterator<Item = &'a Lv> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl From<Vec<Lv>> for Lvs {
    fn from(lvs: Vec<Lv>) -> Self {
        Self { others: lvs.into_iter().enumerate().collect(), ..Self::default() }
    }
}

impl PartialEq for Lvs {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && (0..self.len()).all(|at| self.is_same(at, other, at))
    }
}

impl Eq for Lvs {}

impl std::fmt::Debug for Lvs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for Lvs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'a> Glance<'a> {
    /// All of it.
    pub fn lv(self) -> &'a Lv {
        &self.lvs[self.at]
    }

    /// Its name.
    pub fn name(self) -> &'a str {
        record::text_of(self.lvs.name_bytes(self.at))
    }

    /// How many bytes its name has.
    pub(crate) fn name_length(self) -> usize {
        self.lvs.name_bytes(self.at).len()
    }

    /// Its identity.
    pub fn id(self) -> LvmUuid {
        self.lvs.id(self.at)
    }

    /// Its size; `None` if the sum of its segments overflows.
    pub fn extents(self) -> Option<Extents> {
        match self.lvs.item(self.at) {
            Item::Read(lv) => lv.extents(),
            Item::Known(record, _) => Some(record.extents),
        }
    }

    /// Whether users see it.
    pub fn is_visible(self) -> bool {
        match self.lvs.item(self.at) {
            Item::Read(lv) => lv.is_visible(),
            Item::Known(record, _) => record.is_visible(),
        }
    }

    /// What shows of a thin volume.
    pub fn thin(self) -> Option<ThinGlance<'a>> {
        match self.lvs.item(self.at) {
            Item::Read(lv) => lv.thin().map(|thin: &Thin| ThinGlance {
                pool: thin.pool.as_str().as_bytes(),
                device_id: thin.device_id,
                origin: thin.origin.as_ref().map(|origin| origin.as_str().as_bytes()),
            }),
            Item::Known(record, _) => Some(ThinGlance {
                pool: record.pool(&self.lvs.text),
                device_id: record.device_id,
                origin: record.origin(&self.lvs.text),
            }),
        }
    }

    /// When it was made, in seconds since 1970, if that is recorded.
    pub fn creation_time(self) -> Option<u64> {
        match self.lvs.item(self.at) {
            Item::Read(lv) => lv.creation_time,
            Item::Known(record, _) => Some(record.creation_time()),
        }
    }

    /// Its tags.
    pub fn tags(self) -> Vec<String> {
        match self.lvs.item(self.at) {
            Item::Read(lv) => lv.tags.clone(),
            Item::Known(record, _) => record.tags(&self.lvs.text).map(str::to_owned).collect(),
        }
    }

    /// What shows of it if it is a plain thin volume: that names no other than its pool and its origin.
    pub fn plain(self) -> Option<ThinGlance<'a>> {
        self.lvs.record(self.at).and_then(|_| self.thin())
    }

    /// Whether one of its tags satisfies a condition.
    pub fn has_tag(self, mut is_it: impl FnMut(&str) -> bool) -> bool {
        match self.lvs.item(self.at) {
            Item::Read(lv) => lv.tags.iter().any(|tag| is_it(tag)),
            Item::Known(record, _) => record.tags(&self.lvs.text).any(is_it),
        }
    }
}
