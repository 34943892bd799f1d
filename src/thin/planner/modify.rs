//! Requests that change volumes which stay: size, name, flags and tags, content.

use super::draft::Draft;
use crate::effect::{Already, Effect};
use crate::plan::Outcome;
use crate::refusal::Refusal;
use crate::request::{Attributes, NewSize};
use base::error_kind::ErrorKind;
use base::ids::LvName;
use base::units::size::Rounded;
use base::units::{Bytes, Extents, Sectors};
use lvm2::format::edit::Edit;
use lvm2::format::model::Lv;

impl<'a> Draft<'a> {
    /// Grows a volume, or takes its end away.
    ///
    /// A thin device has no size of its own in the pool: only the text and the table have one. So what lies beyond a
    /// new end keeps its chunks.
    pub(super) fn resize(&mut self, name: &LvName, size: NewSize, shrink: bool) -> Result<(), Refusal> {
        let lv = self.ordinary(name, "resize")?;
        self.check_no_external_user(lv, "resize")?;
        let (before, extent) = (self.extents(lv), self.vg().extent_size);
        let wanted = match size {
            NewSize::To(size) => Some(size),
            NewSize::By(more) => before.to_sectors(extent).and_then(|now| now.checked_add(more)),
        };
        let after = self.whole_extents(name, wanted)?;
        let shown = self.shown(after);
        if after == before {
            return self.outcome(lv, Effect::Unchanged { already: Already::Size(self.bytes_of(after)) });
        }
        if after < before {
            self.check_shrink(lv, (before, after), shrink)?;
        } else {
            self.promised.extend(lv.thin().map(|thin| thin.pool.clone()));
        }
        let altered = self.alteration(lv);
        altered.extents = Some(after);
        altered.replace |= after < before;
        self.edits.push(Edit::SetThinExtents { lv: name.clone(), count: after });
        self.words.push(format!("resize {name} to {shown}"));
        let effect = Effect::Resized { from: self.bytes_of(before), to: self.bytes_of(after) };
        self.outcome(lv, effect)
    }

    fn check_shrink(
        &mut self,
        lv: &Lv,
        (before, after): (Extents, Extents),
        shrink: bool,
    ) -> Result<(), Refusal> {
        let (before, after) = (self.shown(before), self.shown(after));
        if !shrink {
            return Err(Refusal::rule(format!(
                "{}/{} has {before}, more than {after}",
                self.vg().name,
                lv.name
            ))
            .hint(
                "shrinking cuts off what lies beyond: shrink the file system first, then say --shrink \
                 --accept-data-loss (in a batch: \"shrink\": true)",
            ));
        }
        self.unused_device(lv)?;
        self.warnings.push(format!(
            "what {}/{} holds beyond {after} stays in the pool, out of reach, until the volume is removed or grown \
             again",
            self.vg().name,
            lv.name
        ));
        Ok(())
    }

    /// Gives a volume another name. What names it as its origin follows.
    pub(super) fn rename(&mut self, name: &LvName, to: &LvName) -> Result<(), Refusal> {
        let lv = self.ordinary(name, "rename")?;
        self.check_no_external_user(lv, "rename")?;
        if name == to {
            return self.outcome(lv, Effect::Unchanged { already: Already::Name });
        }
        if self.renamed.contains_key(name) {
            return Err(Refusal::rule(format!(
                "{}/{name} is renamed twice by the same batch",
                self.vg().name
            ))
            .hint("give it its last name at once"));
        }
        self.check_new_name(to)?;
        self.alteration(lv).name = Some(to.clone());
        self.renamed.insert(to.clone(), lv.name.clone());
        self.renames.push(lv.name.clone());
        self.edits.push(Edit::RenameLv { from: name.clone(), to: to.clone() });
        self.words.push(format!("rename {name} to {to}"));
        let effect = Effect::Renamed { from: name.clone() };
        self.outcomes.push(Outcome { request: 0, name: to.clone(), uuid: Some(lv.id), effect });
        Ok(())
    }

    /// Changes flags, tags and the permission to write.
    pub(super) fn modify(&mut self, name: &LvName, attributes: &Attributes) -> Result<(), Refusal> {
        let lv = self.ordinary(name, "change")?;
        let Attributes { read_only, skip_activation, autoactivate, add_tags, remove_tags } = attributes;
        if *read_only == Some(false) {
            self.check_no_external_user(lv, "change")?;
        }
        if *read_only == Some(true) && lv.is_writable() {
            // A program that has it open could go on writing.
            self.unused_device(lv)?;
        }
        let flags = [
            ("ACTIVATION_SKIP", *skip_activation),
            ("NOAUTOACTIVATE", autoactivate.map(|autoactivate| !autoactivate)),
        ];
        let has = |tag: &String| lv.tags.contains(tag);
        let is_so = read_only.is_none_or(|read_only| read_only != lv.is_writable())
            && flags.iter().all(|(flag, on)| on.is_none_or(|on| on == lv.has_flag(flag)))
            && add_tags.iter().all(has)
            && !remove_tags.iter().any(has);
        if is_so && !self.altered.contains_key(&lv.name) {
            return self.outcome(lv, Effect::Unchanged { already: Already::Attributes });
        }
        let lv_name = || name.clone();
        self.edits.extend(read_only.map(|read_only| Edit::SetLvWritable { lv: lv_name(), on: !read_only }));
        self.edits.extend(flags.iter().filter_map(|(flag, on)| {
            Some(Edit::SetLvFlag { lv: lv_name(), flag: (*flag).to_owned(), on: (*on)? })
        }));
        self.edits.extend(remove_tags.iter().map(|tag| Edit::DelTag { lv: lv_name(), tag: tag.clone() }));
        self.edits.extend(add_tags.iter().map(|tag| Edit::AddTag { lv: lv_name(), tag: tag.clone() }));
        self.alteration(lv);
        self.words.push(format!("change {name}"));
        self.outcome(lv, Effect::Modified)
    }

    /// Puts a copy of a snapshot in the place of what a volume holds.
    pub(super) fn roll_back(&mut self, name: &LvName, to: &LvName) -> Result<(), Refusal> {
        let lv = self.ordinary(name, "roll back")?;
        self.check_no_external_user(lv, "roll back")?;
        let Some(thin) = lv.thin() else { return Ok(()) };
        if self.altered.get(&lv.name).is_some_and(|altered| altered.rolled_back.is_some()) {
            return Err(Refusal::rule(format!(
                "{}/{name} is rolled back twice by the same batch",
                self.vg().name
            )));
        }
        let source = self.source(to, "roll back to")?;
        if source.external_origin != thin.external_origin {
            // Its unwritten parts would be read from elsewhere.
            let (shown, to) = (self.vg().name.volume(name), self.vg().name.volume(to));
            return Err(Refusal::new(
                ErrorKind::Unsupported,
                format!("{shown} and {to} do not have the same external origin"),
            )
            .hint(format!("take a clone of {to} instead")));
        }
        if source.pool != thin.pool {
            return Err(Refusal::rule(format!(
                "{vg}/{to} is in pool {}, {vg}/{name} in {}",
                source.pool,
                thin.pool,
                vg = self.vg().name
            )));
        }
        self.unused_device(lv)?;
        let before = self.extents(lv);
        let (_, pool) = self.pool(&thin.pool)?;
        let id = self.snap_of(&source, true)?;
        self.change(&thin.pool)?.deletes.push(thin.device_id);
        let altered = self.alteration(lv);
        altered.rolled_back = Some(id);
        altered.extents = Some(source.extents);
        altered.replace = true;
        let transaction_id = pool.transaction_id;
        self.edits.push(Edit::SetThinDevice { lv: name.clone(), device_id: id, transaction_id });
        self.words.push(format!("roll {name} back to {to} (thin {id})"));
        let mut size = None;
        if source.extents != before {
            self.edits.push(Edit::SetThinExtents { lv: name.clone(), count: source.extents });
            size = Some(self.bytes_of(source.extents));
            if source.extents > before {
                self.promised.insert(thin.pool.clone());
            }
        }
        self.outcome(lv, Effect::RolledBack { to: to.clone(), size })
    }

    /// A thin volume that exists and takes part in nothing thinvol does not plan with.
    fn ordinary(&self, name: &LvName, verb: &str) -> Result<&'a Lv, Refusal> {
        if self.added.contains_key(name) {
            return Err(Refusal::rule(format!(
                "cannot {verb} {}/{name}: it is created by the same batch",
                self.vg().name
            ))
            .hint("create it as it is to be"));
        }
        let (lv, thin) = self.thin(name)?;
        self.check_ordinary(lv, thin, verb)?;
        Ok(lv)
    }

    fn outcome(&mut self, lv: &Lv, effect: Effect) -> Result<(), Refusal> {
        let altered = self.altered.get(&lv.name).and_then(|altered| altered.name.clone());
        let name = altered.unwrap_or_else(|| lv.name.clone());
        self.outcomes.push(Outcome { request: 0, name, uuid: Some(lv.id), effect });
        Ok(())
    }

    fn shown(&self, extents: Extents) -> String {
        Rounded(self.bytes_of(extents)).to_string()
    }

    fn bytes_of(&self, extents: Extents) -> Bytes {
        let bytes = extents.to_sectors(self.vg().extent_size).and_then(Sectors::to_bytes);
        bytes.unwrap_or(Bytes::ZERO)
    }
}
