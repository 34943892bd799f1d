//! How a pool works: discards, zeroing, what happens when it is full.

use super::super::draft::Draft;
use super::super::sequence::Sequence;
use super::state::finished;
use crate::effect::{Already, Effect, PoolWays};
use crate::plan::{Plan, Step};
use crate::pool_rules::RuleChange;
use crate::refusal::Refusal;
use crate::request::SetPool;
use base::error_kind::ErrorKind;
use base::ids::LvName;
use lvm2::format::edit::Edit;
use lvm2::format::model::{Discards, ERROR_WHEN_FULL, Lv};

/// Plans the change.
pub(super) fn plan(draft: &mut Draft<'_>, request: &SetPool) -> Result<Plan, Refusal> {
    let SetPool { pool: name, discards, zero, error_when_full, rules } = request;
    let (lv, pool, working) = draft.sound_pool(name)?;
    let shown = draft.shown_pool(name);
    let ways = PoolWays {
        discards: discards.filter(|discards| *discards != pool.discards),
        zero: zero.filter(|on| *on != pool.zero_new_blocks),
        error_when_full: error_when_full.filter(|on| *on != lv.has_flag(ERROR_WHEN_FULL)),
        rules: rules.iter().copied().filter(|change| !is_so(lv, *change)).collect(),
    };
    if ways == PoolWays::default() {
        draft.pool_outcome(lv, Effect::Unchanged { already: Already::Attributes });
        return Ok(finished(Sequence::new(draft)));
    }
    if let Some(discards) = ways.discards {
        if working.is_some() && (discards == Discards::Ignore || pool.discards == Discards::Ignore) {
            // Source: Linux `drivers/md/dm-thin.c` (`__pool_find`).
            return Err(Refusal::new(
                ErrorKind::Busy,
                format!("pool {shown} cannot begin or cease to ignore discards while it is active"),
            )
            .hint("deactivate it and its volumes first"));
        }
        draft.edits.push(Edit::SetPoolDiscards { pool: name.clone(), discards });
    }
    let zeroing = ways.zero.map(|on| Edit::SetPoolZeroing { pool: name.clone(), on });
    let when_full = ways.error_when_full;
    let when_full =
        when_full.map(|on| Edit::SetLvFlag { lv: name.clone(), flag: ERROR_WHEN_FULL.into(), on });
    draft.edits.extend(zeroing.into_iter().chain(when_full));
    ways.rules.iter().for_each(|change| draft.set_rule(lv, *change));
    draft.words.push(format!("{name} {ways}"));
    draft.pool_outcome(lv, Effect::PoolSet(ways));
    let mut sequence = Sequence::new(draft);
    sequence.reload_pool(name)?;
    Ok(finished(sequence))
}

/// Whether that is said of a pool already, and said once.
fn is_so(lv: &Lv, change: RuleChange) -> bool {
    change.kind().tags(lv).eq(change.tag().as_deref())
}

impl Draft<'_> {
    /// Records what is said of a pool, in place of what was said of the same before.
    fn set_rule(&mut self, lv: &Lv, change: RuleChange) {
        let gone =
            change.kind().tags(lv).map(|tag| Edit::DelTag { lv: lv.name.clone(), tag: tag.to_owned() });
        self.edits.extend(gone);
        self.edits.extend(change.tag().map(|tag| Edit::AddTag { lv: lv.name.clone(), tag }));
    }
}

impl Sequence<'_, '_> {
    /// The text first, then the table, if that says anything else: a crash in between leaves a pool that works as
    /// before, and as the text says from its next start or change on.
    fn reload_pool(&mut self, name: &LvName) -> Result<(), Refusal> {
        let (before, after) = self.commit_pool(name)?;
        if before.tpool.targets != after.tpool.targets && self.draft.pool_runs(name)? {
            let (old, new) = (self.as_named(before.tpool), self.as_named(after.tpool));
            self.plan.push_undoable(Step::ReloadDevice(new), vec![Step::ReloadDevice(old)]);
        }
        Ok(())
    }
}
