//! The logical volumes of a volume group, most of which nobody asks for: what is a plain record of a thin volume is
//! kept as one, and read when it is asked for.

use std::sync::{Arc, OnceLock};

use serde::{Serialize, Serializer};

use super::record::Record;
use super::{Lv, Thin};
use base::ids::{LvName, LvmUuid, ThinId};
use base::units::Extents;

/// Logical volumes, visible and hidden, in text order.
#[derive(Clone, Default)]
pub struct Lvs {
    /// Where the records are.
    text: Arc<[u8]>,
    items: Vec<Item>,
    by_name: OnceLock<Places>,
    by_id: OnceLock<Places>,
}

#[derive(Clone)]
enum Item {
    /// One that was read.
    Read(Box<Lv>),
    /// One that is read when somebody asks for it.
    Known { record: Record, read: OnceLock<Box<Lv>> },
}

/// The places of volumes by a number made of their names or ids, in the order of the numbers.
type Places = Vec<(u64, u32)>;

/// An LV of which as little is read as is asked for.
#[derive(Clone, Copy)]
pub struct Glance<'a> {
    lvs: &'a Lvs,
    at: usize,
}

/// What a glance at a thin volume shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThinGlance<'a> {
    /// Its pool.
    pub pool: &'a str,
    /// Its id in the pool.
    pub device_id: ThinId,
    /// The thin volume it was made from.
    pub origin: Option<&'a str>,
}

impl Lvs {
    /// What is read while a text is gone through.
    pub(crate) fn in_text(text: Arc<[u8]>) -> Self {
        Self { text, ..Self::default() }
    }

    /// Adds one that was read.
    pub(crate) fn push(&mut self, lv: Lv) {
        self.items.push(Item::Read(Box::new(lv)));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// All of them, read. Where a glance will do, see [`Lvs::glances`].
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Lv> + ExactSizeIterator + Clone {
        (0..self.items.len()).map(|at| &self[at])
    }

    /// A look at each of them.
    pub fn glances(&self) -> impl DoubleEndedIterator<Item = Glance<'_>> + ExactSizeIterator + Clone {
        (0..self.items.len()).map(|at| Glance { lvs: self, at })
    }

    /// Those that are more than a plain thin volume: pools, their parts, thick volumes, thin volumes with an external
    /// origin or a merge under way. Also thin volumes that are written otherwise than LVM does.
    pub fn others(&self) -> impl DoubleEndedIterator<Item = &Lv> {
        self.items.iter().filter_map(|item| match item {
            Item::Read(lv) => Some(&**lv),
            Item::Known { .. } => None,
        })
    }

    /// The first LV of that name.
    pub fn find(&self, name: &str) -> Option<&Lv> {
        self.place(name).map(|at| &self[at])
    }

    /// A look at the first LV of that name.
    pub fn glance(&self, name: &str) -> Option<Glance<'_>> {
        self.place(name).map(|at| Glance { lvs: self, at })
    }

    /// The first LV of that identity.
    pub fn find_id(&self, id: &LvmUuid) -> Option<&Lv> {
        self.place_of_id(id).map(|at| &self[at])
    }

    /// The place of the first LV of that name.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        places_of(self.names(), number_of(name)).filter(|at| self.name(*at) == name).min()
    }

    /// The place of the first LV of that identity, in the order of the text.
    pub fn place_of_id(&self, id: &LvmUuid) -> Option<usize> {
        places_of(self.ids(), number_of_id(id)).filter(|at| Glance { lvs: self, at: *at }.id() == *id).min()
    }

    /// Whether it is certain that no two have the same name or the same identity. Two names can have the same number.
    pub(crate) fn surely_differ(&self) -> bool {
        [self.names(), self.ids()].iter().all(|places| places.windows(2).all(|pair| pair[0].0 != pair[1].0))
    }

    fn names(&self) -> &Places {
        self.by_name.get_or_init(|| sorted(self.glances().map(|lv| number_of(lv.name()))))
    }

    fn ids(&self) -> &Places {
        self.by_id.get_or_init(|| sorted(self.glances().map(|lv| number_of_id(&lv.id()))))
    }

    fn name(&self, at: usize) -> &str {
        match &self.items[at] {
            Item::Read(lv) => lv.name.as_str(),
            Item::Known { record, .. } => record.name(&self.text),
        }
    }

    /// The record at a place, if one is there.
    pub(crate) fn record(&self, at: usize) -> Option<&Record> {
        match self.items.get(at)? {
            Item::Read(_) => None,
            Item::Known { record, .. } => Some(record),
        }
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

/// The places of these numbers, in the order of the numbers.
fn sorted(numbers: impl Iterator<Item = u64>) -> Places {
    let mut places: Places = numbers.zip(0..).collect();
    places.sort_unstable();
    places
}

fn places_of(places: &Places, number: u64) -> impl Iterator<Item = usize> {
    let from = places.partition_point(|(other, _)| *other < number);
    let same = places[from..].iter().take_while(move |(other, _)| *other == number);
    same.filter_map(|(_, at)| usize::try_from(*at).ok())
}

/// A number for an id, made as FNV-1a's are, of eight bytes at a time.
fn number_of_id(id: &LvmUuid) -> u64 {
    let (words, _) = id.compact().as_bytes().as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    words.fold(FNV_OFFSET, |number, word| (number ^ word).wrapping_mul(FNV_PRIME).rotate_left(29))
}

/// Source: the FNV-1a hash of 64 bits.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// A number for a name: its FNV-1a hash.
fn number_of(name: &str) -> u64 {
    name.bytes().fold(FNV_OFFSET, |number, byte| (number ^ u64::from(byte)).wrapping_mul(FNV_PRIME))
}

impl std::ops::Index<usize> for Lvs {
    type Output = Lv;

    fn index(&self, at: usize) -> &Lv {
        match &self.items[at] {
            Item::Read(lv) => lv,
            Item::Known { record, read } => read.get_or_init(|| Box::new(record.lv(&self.text))),
        }
    }
}

impl Lvs {
    /// How many were read one by one so far.
    #[cfg(any(test, feature = "testing"))]
    pub fn how_many_are_read(&self) -> usize {
        let is_read = |item: &&Item| match item {
            Item::Read(_) => true,
            Item::Known { read, .. } => read.get().is_some(),
        };
        self.items.iter().filter(is_read).count()
    }

    /// All of them, to be changed.
    #[cfg(any(test, feature = "testing"))]
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lv> {
        *self = self.iter().cloned().collect::<Vec<_>>().into();
        self.items.iter_mut().filter_map(|item| match item {
            Item::Read(lv) => Some(&mut **lv),
            Item::Known { .. } => None,
        })
    }
}

impl Extend<Record> for Lvs {
    /// Adds those that need not be read yet.
    fn extend<T: IntoIterator<Item = Record>>(&mut self, records: T) {
        let known = records.into_iter().map(|record| Item::Known { record, read: OnceLock::new() });
        self.items.extend(known);
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
        let mut all = Self::default();
        lvs.into_iter().for_each(|lv| all.push(lv));
        all
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
        self.lvs.name(self.at)
    }

    /// Its identity.
    pub fn id(self) -> LvmUuid {
        match &self.lvs.items[self.at] {
            Item::Read(lv) => lv.id,
            Item::Known { record, .. } => record.id,
        }
    }

    /// Its size; `None` if the sum of its segments overflows.
    pub fn extents(self) -> Option<Extents> {
        match &self.lvs.items[self.at] {
            Item::Read(lv) => lv.extents(),
            Item::Known { record, .. } => Some(record.extents),
        }
    }

    /// Whether users see it.
    pub fn is_visible(self) -> bool {
        match &self.lvs.items[self.at] {
            Item::Read(lv) => lv.is_visible(),
            Item::Known { record, .. } => record.is_visible(),
        }
    }

    /// What shows of a thin volume.
    pub fn thin(self) -> Option<ThinGlance<'a>> {
        match &self.lvs.items[self.at] {
            Item::Read(lv) => lv.thin().map(|thin: &Thin| ThinGlance {
                pool: thin.pool.as_str(),
                device_id: thin.device_id,
                origin: thin.origin.as_ref().map(LvName::as_str),
            }),
            Item::Known { record, .. } => Some(ThinGlance {
                pool: record.pool(&self.lvs.text),
                device_id: record.device_id,
                origin: record.origin(&self.lvs.text),
            }),
        }
    }

    /// What shows of it if it is a plain thin volume: that names no other than its pool and its origin.
    pub fn plain(self) -> Option<ThinGlance<'a>> {
        self.lvs.record(self.at).and_then(|_| self.thin())
    }

    /// Whether one of its tags is as said.
    pub fn has_tag(self, mut is_it: impl FnMut(&str) -> bool) -> bool {
        match &self.lvs.items[self.at] {
            Item::Read(lv) => lv.tags.iter().any(|tag| is_it(tag)),
            Item::Known { record, .. } => record.tags(&self.lvs.text).any(is_it),
        }
    }
}
