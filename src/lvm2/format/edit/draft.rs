//! Changes applied to the typed model: what the text must say afterwards.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use super::history::History;
use super::{Edit, EditError, NewThin};
use crate::format::check::valid_tag;
use crate::format::model::{Lv, PoolMessage, Segment, SegmentKind, Thin, ThinPool, Vg};
use base::ids::LvName;
use base::units::Extents;

/// The flags [`Edit::SetLvFlag`] sets. Source: lvm2 `lib/format_text/flags.c` (`COMPATIBLE_FLAG`).
pub const SETTABLE_FLAGS: [&str; 3] = ["ACTIVATION_SKIP", "NOAUTOACTIVATE", "ERROR_WHEN_FULL"];
/// The order lvm2 writes words in. Source: lvm2 `lib/format_text/flags.c` (`_lv_flags`).
const STATUS_ORDER: [&str; 4] = ["READ", "WRITE", "FIXED_MINOR", "VISIBLE"];
const FLAG_ORDER: [&str; 4] = ["WRITE_LOCKED", "ACTIVATION_SKIP", "NOAUTOACTIVATE", "ERROR_WHEN_FULL"];

/// An LV while changes are collected.
pub(crate) struct Entry<'a> {
    /// What it is to be: borrowed as long as nothing changed.
    pub lv: Cow<'a, Lv>,
    /// Its place in the model before, if it was there.
    pub before: Option<usize>,
    /// Whether anything changed.
    pub touched: bool,
}

/// The LVs of a VG while changes are collected.
pub(crate) struct Draft<'a> {
    vg: &'a Vg,
    /// By name.
    pub lvs: HashMap<LvName, Entry<'a>>,
    /// The new ones, by the order they were added in.
    pub added: BTreeMap<usize, LvName>,
    /// Who names an LV; a superset, made when first needed.
    referrers: Option<HashMap<LvName, Vec<LvName>>>,
    /// What is remembered of removed LVs.
    pub history: History,
}

impl<'a> Draft<'a> {
    /// Starts from a VG.
    pub(crate) fn new(vg: &'a Vg) -> Self {
        let entry = |(at, lv): (usize, &'a Lv)| {
            (lv.name.clone(), Entry { lv: Cow::Borrowed(lv), before: Some(at), touched: false })
        };
        let lvs = vg.lvs.iter().enumerate().map(entry).collect();
        Self { vg, lvs, added: BTreeMap::new(), referrers: None, history: History::of(vg) }
    }

    /// Applies one change.
    pub(crate) fn apply(&mut self, edit: &Edit) -> Result<(), EditError> {
        match edit {
            Edit::AddThin(new) => self.add_thin(new),
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
                            referrers.entry(lv.clone()).or_default().push(pool.clone());
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
        let entry = self.lvs.get_mut(name).ok_or_else(|| EditError::NoSuchLv(name.clone()))?;
        entry.touched = true;
        Ok(entry.lv.to_mut())
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
        if self.lvs.contains_key(name) {
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
            let entry = self.lvs.get(name).ok_or_else(|| EditError::NoSuchLv(name.clone()))?;
            let fits = if wanted == "a thin pool" {
                entry.lv.thin_pool().is_some()
            } else {
                entry.lv.thin().is_some()
            };
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
        self.index(&lv);
        let order = self.added.last_key_value().map_or(0, |(last, _)| last + 1);
        self.added.insert(order, new.name.clone());
        self.lvs.insert(new.name.clone(), Entry { lv: Cow::Owned(lv), before: None, touched: true });
        Ok(())
    }

    fn remove(&mut self, name: &LvName, recorded: Option<u64>) -> Result<(), EditError> {
        let in_use = |user: String| EditError::InUse { name: name.clone(), verb: "removed", user };
        if !self.lvs.contains_key(name) {
            return Err(EditError::NoSuchLv(name.clone()));
        }
        let holders = self.holders(name);
        let needs = |holder: &&LvName| {
            let entry = &self.lvs[*holder];
            references(&entry.lv).any(|(target, link)| target == name.as_str() && link != Link::Origin)
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
        if let Some(gone) = self.lvs.remove(name) {
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
        if !self.lvs.contains_key(from) {
            return Err(EditError::NoSuchLv(from.clone()));
        }
        self.free_name(to)?;
        let in_use = |user: String| EditError::InUse { name: from.clone(), verb: "renamed", user };
        let holders = self.holders(from);
        let opaque = |holder: &&LvName| {
            references(&self.lvs[*holder].lv)
                .any(|(target, link)| target == from.as_str() && link == Link::Opaque)
        };
        if let Some(holder) = holders.iter().find(opaque) {
            return Err(in_use(format!(
                "logical volume '{holder}', of a type that thinvol does not change,"
            )));
        }
        for holder in &holders {
            self.lv(holder)?.segments.iter_mut().for_each(|segment| rename_in(&mut segment.kind, from, to));
        }
        let mut entry = self.lvs.remove(from).ok_or_else(|| EditError::NoSuchLv(from.clone()))?;
        entry.lv.to_mut().name = to.clone();
        entry.touched = true;
        self.index(&entry.lv);
        self.lvs.insert(to.clone(), entry);
        self.added.values_mut().filter(|added| *added == from).for_each(|added| *added = to.clone());
        self.history.rename(from, to);
        if let Some(referrers) = &mut self.referrers {
            referrers.insert(to.clone(), holders);
        }
        Ok(())
    }

    /// The LVs that name this one now. An area that is the key of a PV is no LV, whatever LVs are called.
    fn holders(&mut self, name: &LvName) -> Vec<LvName> {
        if self.referrers.is_none() {
            self.referrers = Some(HashMap::new());
            let lvs: Vec<Cow<'a, Lv>> = self.lvs.values().map(|entry| entry.lv.clone()).collect();
            lvs.iter().for_each(|lv| self.index(lv));
        }
        let known = self.referrers.as_ref().and_then(|all| all.get(name)).map_or(&[][..], Vec::as_slice);
        let now = |holder: &&LvName| {
            let refers = |(target, link): (&str, Link)| {
                target == name.as_str() && (link != Link::Area || self.vg.pv(target).is_none())
            };
            self.lvs.get(*holder).is_some_and(|entry| references(&entry.lv).any(refers))
        };
        let mut holders: Vec<LvName> = known.iter().filter(now).cloned().collect();
        holders.sort_unstable();
        holders.dedup();
        holders
    }

    /// Notes what an LV names, if that is noted yet.
    fn index(&mut self, lv: &Lv) {
        let Some(referrers) = &mut self.referrers else { return };
        for (target, _) in references(lv) {
            if let Ok(target) = LvName::new(target) {
                referrers.entry(target).or_default().push(lv.name.clone());
            }
        }
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

fn new_thin(new: &NewThin) -> Lv {
    let thin = Thin {
        pool: new.pool.clone(),
        transaction_id: new.transaction_id,
        device_id: new.device_id,
        external_origin: new.external_origin.clone(),
        origin: new.origin.clone(),
        merge: None,
    };
    let kind = SegmentKind::Thin(thin);
    Lv {
        name: new.name.clone(),
        id: new.id,
        status: ["READ", "VISIBLE"].map(str::to_owned).to_vec(),
        flags: Vec::new(),
        tags: new.tags.clone(),
        creation_time: Some(new.creation_time),
        creation_host: Some(new.creation_host.clone()),
        profile: None,
        read_ahead: None,
        fixed_minor: None,
        segments: vec![Segment { start: Extents::ZERO, count: new.extents, tags: Vec::new(), kind }],
    }
}
