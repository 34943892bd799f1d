//! A pool goes, with its volumes if that is asked for: the devices first, then all of it from the text in one commit.
//! No message is needed: what the pool knows of its volumes goes with its metadata.

use super::super::devices::refuse;
use super::super::draft::Draft;
use super::super::sequence::Sequence;
use super::state::finished;
use crate::effect::Effect;
use crate::plan::{Plan, Step};
use crate::refusal::Refusal;
use crate::request::RemovePool;
use base::error_kind::ErrorKind;
use base::first_few::first_few;
use base::ids::LvName;
use dm::name::{DmName, DmUuid};
use lvm2::format::edit::Edit;
use lvm2::format::model::{Lv, SegmentKind, ThinPool};

/// More names than this are counted, not listed.
const LISTED_NAMES: usize = 5;

/// Plans the removal.
pub(super) fn plan(draft: &mut Draft<'_>, request: &RemovePool) -> Result<Plan, Refusal> {
    let name = &request.pool;
    let (lv, pool) = draft.pool(name)?;
    draft.unmake(lv, pool, request.with_volumes)?;
    let mut sequence = Sequence::new(draft);
    sequence.plan.push(Step::MarkDirty { pool: draft.vg().pool_id(lv), making: None });
    sequence.deactivations()?;
    sequence.stop_idle_pools()?;
    sequence.leave_idle_grounds()?;
    sequence.check_gone(lv, pool)?;
    let texts = draft.texts()?;
    sequence.plan.push_undoable(Step::Commit(texts.first), vec![Step::Commit(texts.revert)]);
    Ok(finished(sequence))
}

impl Draft<'_> {
    fn unmake(&mut self, lv: &Lv, pool: &ThinPool, with_volumes: bool) -> Result<(), Refusal> {
        let (vg, shown) = (self.vg(), self.shown_pool(&lv.name));
        let mut volumes: Vec<&Lv> = vg.thins_of(&lv.name).map(|(volume, _)| volume).collect();
        if !volumes.is_empty() && !with_volumes {
            let names: Vec<&str> = volumes.iter().map(|lv| lv.name.as_str()).collect();
            let message = format!("pool {shown} has volumes: {}", first_few(&names, LISTED_NAMES, ", "));
            return Err(Refusal::rule(message)
                .hint("free them first; --with-volumes removes the pool with everything in it"));
        }
        let parts = [&pool.metadata, &pool.data];
        for part in parts {
            let part = self.before(part)?;
            if !part.segments.iter().all(|segment| matches!(segment.kind, SegmentKind::Striped(_))) {
                let message = format!("{} of pool {shown} does not lie on physical extents alone", part.name);
                return Err(Refusal::new(ErrorKind::Unsupported, message)
                    .hint(format!("'lvremove {shown}' removes such a pool")));
            }
        }
        // What is to be merged names its origin, which cannot go before it.
        volumes.sort_by_key(|volume| volume.thin().is_none_or(|thin| thin.merge.is_none()));
        for volume in &volumes {
            let spec = self.stacks().volume_to_take_down(volume).map_err(|error| refuse(&error))?;
            if let Some(device) = self.observed.device(&spec.uuid) {
                self.check_unused(volume, device, 0)?;
            }
            self.deactivate.add(&volume.name);
            self.edits.push(Edit::RemoveLv(volume.name.clone()));
            self.words.push(format!("remove {}", volume.name));
            self.pool_outcome(volume, Effect::Removed);
        }
        self.deactivate.add(&lv.name);
        self.edits.extend([&lv.name].into_iter().chain(parts).map(|name| Edit::RemoveLv(name.clone())));
        self.words.push(format!("remove pool {}", lv.name));
        self.pool_outcome(lv, Effect::Removed);
        self.remove_spare(lv);
        Ok(())
    }

    /// The spare goes with the last pool that could need it. Source: lvm2 `lib/metadata/lv_manip.c` (`_lv_reduce`).
    fn remove_spare(&mut self, pool: &Lv) {
        let vg = self.vg();
        let cached = |lv: &Lv| {
            let is_cache = |segtype: &str| segtype.starts_with("cache");
            lv.segments.iter().any(|segment| match &segment.kind {
                SegmentKind::Opaque { segtype, .. } => is_cache(segtype),
                _ => false,
            })
        };
        let is_last = vg.pools().all(|(other, _)| other.name == pool.name) && !vg.lvs.others().any(cached);
        let Some(spare) = vg.metadata_spare().filter(|_| is_last) else { return };
        if self.has_device(spare) {
            self.warnings.push(format!("the spare {} stays: it is active", vg.name.volume(&spare.name)));
            return;
        }
        self.edits.push(Edit::RemoveLv(spare.name.clone()));
    }
}

impl Sequence<'_, '_> {
    /// Refuses to forget a pool of which a device stays: something stands on it that is no volume of it.
    fn check_gone(&self, lv: &Lv, pool: &ThinPool) -> Result<(), Refusal> {
        let vg = self.draft.vg();
        let part = |name: &LvName| vg.lv(name).map(|lv| lv.id);
        let ids = [Some(lv.id), part(&pool.metadata), part(&pool.data)];
        let stays = |(name, uuid): &(&DmName, &Option<DmUuid>)| {
            let parts = uuid.as_ref().and_then(|uuid| uuid.lvm_parts().ok());
            parts.is_some_and(|parts| parts.vg == vg.id && ids.contains(&Some(parts.lv)))
                && !self.freed.contains(*name)
        };
        match self.draft.observed.listed.iter().find(stays) {
            None => Ok(()),
            Some((name, _)) => Err(Refusal::new(
                ErrorKind::Busy,
                format!("pool {}/{} is in use: {name} cannot go", vg.name, lv.name),
            )
            .hint(format!(
                "'dmsetup ls --tree' shows what stands on it; 'lsof /dev/mapper/{name}' who uses it"
            ))),
        }
    }
}
