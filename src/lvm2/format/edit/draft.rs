//! Changes applied to the typed model, which the new text must match.

mod swap;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::history::History;
use super::made::new_thin;
use super::{Edit, EditError, NewLv, NewThin};
use crate::format::check::valid_tag;
use crate::format::model::{ERROR_WHEN_FULL, Lv, PoolMessage, Segment, SegmentKind, Thin, ThinPool, Vg};
use base::ids::LvName;
use base::units::Extents;

/// The flags [`Edit::SetLvFlag`] sets. Source: lvm2 `lib/format_text/flags.c` (`COMPATIBLE_FLAG`).
pub const SETTABLE_FLAGS: [&str; 3] = ["ACTIVATION_SKIP", "NOAUTOACTIVATE", ERROR_WHEN_FULL];
/// The order lvm2 writes words in. Source: lvm2 `lib/format_text/flags.c` (`_lv_flags`).
const STATUS_ORDER: [&str; 4] = ["READ", "WRITE", "FIXED_MINOR", "VISIBLE"];
const FLAG_ORDER: [&str; 4] = ["WRITE_LOCKED", "ACTIVATION_SKIP", "NOAUTOACTIVATE", ERROR_WHEN_FULL];

/// An LV that changes.
pub(crate) struct Entry {
    /// What it is to be.
    pub lv: Lv,
    /// Its place in the model before, if it was there.
    pub before: Option<usize>,
}

/// The LVs of a VG while changes are collected.
pub(crate) struct Draft<'a> {
    vg: &'a Vg,
    /// What changes or is new, by name.
    pub touched: HashMap<LvName, Entry>,
    /// The places in the model before of what changes or goes.
    changed: BTreeSet<usize>,
    /// The places of removed LVs in the previous model.
    pub removed: BTreeSet<usize>,
    /// The new ones, by the order they were added in.
    pub added: BTreeMap<usize, LvName>,
    /// Who names an LV; made when first needed.
    referrers: Option<Referrers<'a>>,
    /// History records of removed LVs.
    pub history: History,
}

/// Who names an LV, apart from its being a pool: a superset.
struct Referrers<'a> {
    /// By their places in the model before.
    before: HashMap<&'a str, Vec<usize>>,
    /// What names it since.
    since: HashMap<LvName, Vec<LvName>>,
}

impl<'a> Draft<'a> {
    /// Starts from a VG.
    pub(crate) fn new(vg: &'a Vg) -> Self {
        Self {
            vg,
            touched: HashMap::new(),
            changed: BTreeSet::new(),
            removed: BTreeSet::new(),
            added: BTreeMap::new(),
            referrers: None,
            history: History::of(vg),
        }
    }

    /// How many LVs there are to be.
    pub(crate) fn len(&self) -> usize {
        self.vg.lvs.len() - self.removed.len() + self.added.len()
    }

    /// Whether the LV at that place in the model before stays as it is.
    pub(crate) fn stays(&self, place: usize) -> bool {
        !self.changed.contains(&place)
    }

    /// The places in the model before of what changes or goes.
    pub(crate) fn gone(&self) -> impl Iterator<Item = usize> {
        self.changed.iter().copied()
    }

    /// The place in the model before of an LV that has its name and content from there.
    fn place(&self, name: &LvName) -> Option<usize> {
        self.vg.lvs.place(name.as_str()).filter(|place| self.stays(*place))
    }

    /// The LV that has that name now.
    fn get(&self, name: &LvName) -> Option<&Lv> {
        let touched = self.touched.get(name).map(|entry| &entry.lv);
        touched.or_else(|| self.place(name).map(|place| &self.vg.lvs[place]))
    }

    fn contains(&self, name: &LvName) -> bool {
        self.touched.contains_key(name) || self.place(name).is_some()
    }

    /// Applies one change.
    pub(crate) fn apply(&mut self, edit: &Edit) -> Result<(), EditError> {
        match edit {
            Edit::AddThin(new) => self.add_thin(new),
            Edit::AddLv(lv) => self.add_lv(lv),
            Edit::SetSegments { lv, segments } => self.set_segments(lv, segments),
            Edit::SetPoolExtents { pool, count } => {
                self.pool(pool)?;
                self.lv(pool)?.segments.iter_mut().for_each(|segment| segment.count = *count);
                Ok(())
            }
            Edit::SetPoolDiscards { pool, discards } => {
                self.pool(pool)?.discards = *discards;
                Ok(())
            }
            Edit::SetPoolZeroing { pool, on } => {
                self.pool(pool)?.zero_new_blocks = *on;
                Ok(())
            }
            Edit::SwapMetadata { pool, spare, keep_as, keep_id } => {
                self.swap_metadata(pool, spare, keep_as, *keep_id)
            }
            Edit::RemoveLv(name) => self.remove(name, None),
            Edit::RemoveLvRecorded { lv, time } => self.remove(lv, Some(*time)),
            Edit::SetPoolTransaction { pool, id } => {
                self.pool(pool)?.transaction_id = *id;
                Ok(())
            }
            Edit::SetPoolMessages { pool, messages } => {
                self.pool(pool)?.messages.clone_from(messages);
                if let Some(referrers) = &mut self.referrers {
                    for message in messages {
                        if let PoolMessage::Create(lv) = message {
                            referrers.since.entry(lv.clone()).or_default().push(pool.clone());
                        }
                    }
                }
                Ok(())
            }
            Edit::AddTag { lv, tag } => self.add_tag(lv, tag),
            Edit::DelTag { lv, tag } => {
                self.lv(lv)?.tags.retain(|have| have != tag);
                Ok(())
            }
            Edit::SetLvFlag { lv, flag, on } => {
                let word = settable(flag)?;
                set_word(&mut self.lv(lv)?.flags, word, *on, &FLAG_ORDER);
                Ok(())
            }
            Edit::SetLvWritable { lv, on } => {
                let locked = self.write_locked();
                set_writable(self.lv(lv)?, *on, locked);
                Ok(())
            }
            Edit::RenameLv { from, to } => self.rename(from, to),
            Edit::SetThinExtents { lv, count } => {
                *self.thin_segment(lv)?.0 = *count;
                Ok(())
            }
            Edit::SetThinDevice { lv, device_id, transaction_id } => {
                let (_, thin) = self.thin_segment(lv)?;
                (thin.device_id, thin.transaction_id) = (*device_id, *transaction_id);
                Ok(())
            }
        }
    }

    fn lv(&mut self, name: &LvName) -> Result<&mut Lv, EditError> {
        if let Some(place) = self.place(name) {
            let entry = Entry { lv: self.vg.lvs[place].clone(), before: Some(place) };
            self.touched.insert(name.clone(), entry);
            self.changed.insert(place);
        }
        let entry = self.touched.get_mut(name).ok_or_else(|| EditError::NoSuchLv(name.clone()))?;
        Ok(&mut entry.lv)
    }

    fn pool(&mut self, name: &LvName) -> Result<&mut ThinPool, EditError> {
        match self.lv(name)?.segments.as_mut_slice() {
            [Segment { kind: SegmentKind::ThinPool(pool), .. }] => Ok(pool),
            _ => Err(EditError::WrongKind { name: name.clone(), wanted: "a thin pool" }),
        }
    }

    /// The size of a thin volume, and what is behind it.
    fn thin_segment(&mut self, name: &LvName) -> Result<(&mut Extents, &mut Thin), EditError> {
        match self.lv(name)?.segments.as_mut_slice() {
            [Segment { count, kind: SegmentKind::Thin(thin), .. }] => Ok((count, thin)),
            _ => Err(EditError::WrongKind { name: name.clone(), wanted: "a thin volume" }),
        }
    }

    /// Whether LVM keeps old versions from writing by another word for WRITE.
    /// Source: lvm2 `lib/metadata/metadata.c` (`vg_flag_write_locked`).
    fn write_locked(&self) -> bool {
        let set = |value: &Option<String>, none: &[&str]| {
            value.as_deref().is_some_and(|value| !none.contains(&value))
        };
        set(&self.vg.system_id, &[""]) || set(&self.vg.lock_type, &["", "none"])
    }

    fn free_name(&self, name: &LvName) -> Result<(), EditError> {
        let taken = |by| Err(EditError::NameTaken { name: name.clone(), by });
        if self.contains(name) {
            return taken("another logical volume");
        }
        if self.history.has(name.as_str()) {
            return taken("the record of a removed logical volume");
        }
        Ok(())
    }

    fn add_thin(&mut self, new: &NewThin) -> Result<(), EditError> {
        self.free_name(&new.name)?;
        for (name, wanted) in [(Some(&new.pool), "a thin pool"), (new.origin.as_ref(), "a thin volume")] {
            let Some(name) = name else { continue };
            let lv = self.get(name).ok_or_else(|| EditError::NoSuchLv(name.clone()))?;
            let fits = if wanted == "a thin pool" { lv.thin_pool().is_some() } else { lv.thin().is_some() };
            if !fits {
                return Err(EditError::WrongKind { name: name.clone(), wanted });
            }
        }
        if let Some(tag) = new.tags.iter().find(|tag| !valid_tag(tag)) {
            return Err(EditError::InvalidTag(tag.escape_default().to_string()));
        }
        let mut lv = new_thin(new);
        for flag in &new.flags {
            set_word(&mut lv.flags, settable(flag)?, true, &FLAG_ORDER);
        }
        set_writable(&mut lv, !new.read_only, self.write_locked());
        self.insert(lv);
        Ok(())
    }

    fn insert(&mut self, lv: Lv) {
        self.index(&lv);
        let order = self.added.last_key_value().map_or(0, |(last, _)| last + 1);
        self.added.insert(order, lv.name.clone());
        self.touched.insert(lv.name.clone(), Entry { lv, before: None });
    }

    fn add_lv(&mut self, new: &NewLv) -> Result<(), EditError> {
        self.free_name(&new.name)?;
        let shown = new.visible.then_some("VISIBLE");
        let mut lv = Lv {
            name: new.name.clone(),
            id: new.id,
            status: ["READ"].into_iter().chain(shown).map(str::to_owned).collect(),
            flags: Vec::new(),
            tags: Vec::new(),
            creation_time: Some(new.creation_time),
            creation_host: Some(new.creation_host.clone()),
            profile: None,
            read_ahead: None,
            fixed_minor: None,
            segments: new.segments.clone(),
        };
        for flag in &new.flags {
            set_word(&mut lv.flags, settable(flag)?, true, &FLAG_ORDER);
        }
        set_writable(&mut lv, true, self.write_locked());
        self.insert(lv);
        Ok(())
    }

    /// Segments that lie on extents only ever come to be more and longer.
    fn set_segments(&mut self, name: &LvName, segments: &[Segment]) -> Result<(), EditError> {
        let lv = self.lv(name)?;
        let grows = |(old, new): (&Segment, &Segment)| {
            matches!((&old.kind, &new.kind), (SegmentKind::Striped(old), SegmentKind::Striped(new)) if old == new)
                && old.start == new.start
                && old.count <= new.count
        };
        if segments.len() < lv.segments.len() || !lv.segments.iter().zip(segments).all(grows) {
            return Err(EditError::WrongKind {
                name: name.clone(),
                wanted: "the beginning of what it is to become",
            });
        }
        lv.segments = segments.to_vec();
        Ok(())
    }

    /// The new LVs, in the order they were added in.
    pub(crate) fn new_lvs(&self) -> impl Iterator<Item = &Lv> {
        self.added.values().map(|name| &self.touched[name].lv)
    }

    fn remove(&mut self, name: &LvName, recorded: Option<u64>) -> Result<(), EditError> {
        let in_use = |user: String| EditError::InUse { name: name.clone(), verb: "removed", user };
        if !self.contains(name) {
            return Err(EditError::NoSuchLv(name.clone()));
        }
        let holders = self.holders(name);
        let needs = |holder: &&LvName| {
            let found = self.get(holder).into_iter().flat_map(references);
            found.into_iter().any(|(target, link)| target == name.as_str() && link != Link::Origin)
        };
        if let Some(holder) = holders.iter().find(needs) {
            return Err(in_use(format!("logical volume '{holder}'")));
        }
        for holder in &holders {
            for segment in &mut self.lv(holder)?.segments {
                if let SegmentKind::Thin(thin) = &mut segment.kind {
                    thin.origin = thin.origin.take().filter(|origin| origin != name);
                }
            }
        }
        self.lv(name)?;
        if let Some(gone) = self.touched.remove(name) {
            self.removed.extend(gone.before);
            self.history.remove(&gone.lv, &holders, recorded);
        }
        self.added.retain(|_, added| added != name);
        Ok(())
    }

    fn add_tag(&mut self, name: &LvName, tag: &str) -> Result<(), EditError> {
        if !valid_tag(tag) {
            return Err(EditError::InvalidTag(tag.escape_default().to_string()));
        }
        let lv = self.lv(name)?;
        if !lv.tags.iter().any(|have| have == tag) {
            lv.tags.push(tag.to_owned());
        }
        Ok(())
    }

    fn rename(&mut self, from: &LvName, to: &LvName) -> Result<(), EditError> {
        if !self.contains(from) {
            return Err(EditError::NoSuchLv(from.clone()));
        }
        self.free_name(to)?;
        let in_use = |user: String| EditError::InUse { name: from.clone(), verb: "renamed", user };
        let holders = self.holders(from);
        let opaque = |holder: &&LvName| {
            let found = self.get(holder).into_iter().flat_map(references);
            found.into_iter().any(|(target, link)| target == from.as_str() && link == Link::Opaque)
        };
        if let Some(holder) = holders.iter().find(opaque) {
            return Err(in_use(format!(
                "logical volume '{holder}', of a type that thinvol does not change,"
            )));
        }
        for holder in &holders {
            self.lv(holder)?.segments.iter_mut().for_each(|segment| rename_in(&mut segment.kind, from, to));
        }
        self.lv(from)?.name = to.clone();
        let entry = self.touched.remove(from).ok_or_else(|| EditError::NoSuchLv(from.clone()))?;
        self.index(&entry.lv);
        self.touched.insert(to.clone(), entry);
        self.added.values_mut().filter(|added| *added == from).for_each(|added| *added = to.clone());
        self.history.rename(from, to);
        if let Some(referrers) = &mut self.referrers {
            referrers.since.entry(to.clone()).or_default().extend(holders);
        }
        Ok(())
    }

    /// The LVs that name this one. An area that is the key of a PV is not an LV, even if an LV has the same name.
    fn holders(&mut self, name: &LvName) -> Vec<LvName> {
        if self.referrers.is_none() {
            self.referrers = Some(Referrers::of(self.vg));
            let touched: Vec<Lv> = self.touched.values().map(|entry| entry.lv.clone()).collect();
            touched.iter().for_each(|lv| self.index(lv));
        }
        let Some(referrers) = &self.referrers else { return Vec::new() };
        let lvs = &self.vg.lvs;
        let before =
            referrers.before.get(name.as_str()).into_iter().flatten().map(|at| lvs[*at].name.clone());
        let since = referrers.since.get(name).into_iter().flatten().cloned();
        // The volumes of a pool are not noted one by one.
        let is_pool = self.get(name).is_some_and(|lv| lv.thin_pool().is_some());
        let volumes = is_pool.then(|| self.vg.thins_of(name).map(|(lv, _)| lv.name.clone()));
        let now = |holder: &LvName| {
            let refers = |(target, link): (&str, Link)| {
                target == name.as_str() && (link != Link::Area || self.vg.pv(target).is_none())
            };
            self.get(holder).is_some_and(|lv| references(lv).any(refers))
        };
        let found = before.chain(since).chain(volumes.into_iter().flatten());
        let mut holders: Vec<LvName> = found.filter(now).collect();
        holders.sort_unstable();
        holders.dedup();
        holders
    }

    /// Updates the index with the names in an LV, if the index exists.
    fn index(&mut self, lv: &Lv) {
        let Some(referrers) = &mut self.referrers else { return };
        for (target, _) in references(lv) {
            if let Ok(target) = LvName::new(target) {
                referrers.since.entry(target).or_default().push(lv.name.clone());
            }
        }
    }
}

impl<'a> Referrers<'a> {
    fn of(vg: &'a Vg) -> Self {
        let mut before: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, lv) in vg.lvs.glances().enumerate() {
            match lv.plain() {
                Some(thin) => {
                    thin.origin().into_iter().for_each(|name| before.entry(name).or_default().push(at))
                }
                None => references(lv.lv()).for_each(|(name, _)| before.entry(name).or_default().push(at)),
            }
        }
        Self { before, since: HashMap::new() }
    }
}

/// How one LV names another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    /// It was made from it: informational.
    Origin,
    /// It lies on it: also the link to a PV.
    Area,
    /// It cannot be without it.
    Need,
    /// In a segment we do not understand.
    Opaque,
}

fn references(lv: &Lv) -> impl Iterator<Item = (&str, Link)> {
    lv.segments.iter().flat_map(|segment| {
        let found: Vec<(&str, Link)> = match &segment.kind {
            SegmentKind::Striped(striped) => {
                striped.stripes.iter().map(|stripe| (stripe.area.as_str(), Link::Area)).collect()
            }
            SegmentKind::ThinPool(pool) => {
                let parts = [&pool.metadata, &pool.data].into_iter();
                let creates = pool.messages.iter().filter_map(|message| match message {
                    PoolMessage::Create(lv) => Some(lv),
                    PoolMessage::Delete(_) => None,
                });
                parts.chain(creates).map(|lv| (lv.as_str(), Link::Need)).collect()
            }
            SegmentKind::Thin(thin) => {
                let needs = [Some(&thin.pool), thin.external_origin.as_ref(), thin.merge.as_ref()];
                let needs = needs.into_iter().flatten().map(|lv| (lv.as_str(), Link::Need));
                needs.chain(thin.origin.iter().map(|lv| (lv.as_str(), Link::Origin))).collect()
            }
            SegmentKind::Opaque { references, .. } => {
                references.iter().map(|lv| (lv.as_str(), Link::Opaque)).collect()
            }
        };
        found
    })
}

fn rename_in(kind: &mut SegmentKind, from: &LvName, to: &LvName) {
    let rename = |name: &mut LvName| {
        if name == from {
            *name = to.clone();
        }
    };
    match kind {
        SegmentKind::Striped(striped) => {
            let areas = striped.stripes.iter_mut().filter(|stripe| stripe.area == from.as_str());
            areas.for_each(|stripe| stripe.area = to.as_str().to_owned());
        }
        SegmentKind::ThinPool(pool) => {
            let creates = pool.messages.iter_mut().filter_map(|message| match message {
                PoolMessage::Create(lv) => Some(lv),
                PoolMessage::Delete(_) => None,
            });
            creates.chain([&mut pool.metadata, &mut pool.data]).for_each(rename);
        }
        SegmentKind::Thin(thin) => {
            let links = [&mut thin.external_origin, &mut thin.origin, &mut thin.merge];
            links.into_iter().flatten().chain([&mut thin.pool]).for_each(rename);
        }
        SegmentKind::Opaque { .. } => {}
    }
}

fn settable(flag: &str) -> Result<&'static str, EditError> {
    let found = SETTABLE_FLAGS.into_iter().find(|known| *known == flag);
    found.ok_or_else(|| EditError::UnknownFlag(flag.escape_default().to_string()))
}

/// Adds a word at its place in lvm2's order, or takes it out.
fn set_word(words: &mut Vec<String>, word: &str, on: bool, order: &[&str]) {
    let rank = |word: &str| order.iter().position(|known| *known == word).unwrap_or(order.len());
    words.retain(|have| on || have != word);
    if on && !words.iter().any(|have| have == word) {
        let at = words.iter().position(|have| rank(have) > rank(word)).unwrap_or(words.len());
        words.insert(at, word.to_owned());
    }
}

fn set_writable(lv: &mut Lv, on: bool, locked: bool) {
    set_word(&mut lv.status, "WRITE", on && !locked, &STATUS_ORDER);
    set_word(&mut lv.flags, "WRITE_LOCKED", on && locked, &FLAG_ORDER);
}
