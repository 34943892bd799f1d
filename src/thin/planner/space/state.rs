//! What a pool must be like to be changed, and what a change of it comes to.

use super::super::devices::refuse;
use super::super::draft::Draft;
use super::super::sequence::Sequence;
use crate::effect::Effect;
use crate::observed::PoolState;
use crate::plan::{Outcome, Plan, PoolExpectation, Purpose, Step};
use crate::pool_health::check_pool;
use crate::refusal::Refusal;
use crate::stack::PoolStack;
use base::error_kind::ErrorKind;
use base::ids::{LvName, LvmUuid};
use dm::status::{PoolStatus, PoolWorking};
use lvm2::format::model::{Lv, ThinPool, Vg};

impl<'a> Draft<'a> {
    /// How a pool is called.
    pub(super) fn shown_pool(&self, name: &LvName) -> String {
        format!("{}/{name}", self.vg().name)
    }

    /// A pool that text and kernel agree on, and its status if it runs.
    pub(super) fn sound_pool(
        &self,
        name: &LvName,
    ) -> Result<(&'a Lv, &'a ThinPool, Option<&'a PoolWorking>), Refusal> {
        let (lv, pool) = self.pool(name)?;
        let shown = self.shown_pool(name);
        self.check_flawless(lv, "change")?;
        if !pool.messages.is_empty() {
            return Err(Refusal::rule(format!("the last transaction of pool {shown} is not finished"))
                .hint(format!("'thinvol recover {}' finishes it", self.vg().name)));
        }
        let transaction_id = pool.transaction_id;
        let expect = PoolExpectation {
            transaction_id,
            purpose: Purpose::Activation,
            threshold_percent: 100,
            size: None,
            free: None,
        };
        let working = match &self.seen(name)?.state {
            PoolState::Active(PoolStatus::Working(working))
            | PoolState::ActiveNew(PoolStatus::Working(working)) => {
                self.check_transaction(lv, &expect)?;
                Some(working)
            }
            PoolState::Active(status) | PoolState::ActiveNew(status) => {
                check_pool(&shown, status, &expect)?;
                None
            }
            PoolState::Inactive(_) => {
                self.check_transaction(lv, &expect)?;
                None
            }
            PoolState::Unreadable(why) => {
                self.may_start(lv, why)?;
                None
            }
        };
        self.check_beneath(lv, pool, &self.seen(name)?.state)?;
        Ok((lv, pool, working))
    }

    /// Notes the outcome for a pool or a volume of it.
    pub(super) fn pool_outcome(&mut self, lv: &Lv, effect: Effect) {
        self.note_outcome(&lv.name, lv.id, effect);
    }

    /// The same for one that is made.
    pub(super) fn note_outcome(&mut self, name: &LvName, id: LvmUuid, effect: Effect) {
        self.outcomes.push(Outcome { request: 0, name: name.clone(), uuid: Some(id), effect });
    }
}

impl Sequence<'_, '_> {
    /// The stack of a pool as the text after the change wants it.
    pub(super) fn stack_after(&self, after: &Vg, name: &LvName) -> Result<PoolStack, Refusal> {
        let shown = after.name.volume(name);
        let lost = || Refusal::new(ErrorKind::Corrupt, format!("pool {shown} is lost in the change"));
        let lv = after.lv(name).ok_or_else(lost)?;
        let pool = lv.thin_pool().ok_or_else(lost)?;
        let stacks = self.draft.observed.stacks(after);
        let stack =
            if pool.transaction_id.0 == 0 { stacks.new_pool(lv, pool) } else { stacks.pool(lv, pool) };
        stack.map_err(|error| refuse(&error))
    }

    /// Commits the text of a change of an existing pool. Returns its stack before and after that.
    pub(super) fn commit_pool(&mut self, name: &LvName) -> Result<(PoolStack, PoolStack), Refusal> {
        let texts = self.draft.texts()?;
        let (lv, pool) = self.draft.pool(name)?;
        let (before, _) = self.draft.pool_stack(lv, pool)?;
        let after = self.stack_after(&texts.after.vg, name)?;
        self.plan.push_undoable(Step::Commit(texts.first), vec![Step::Commit(texts.revert)]);
        Ok((before, after))
    }
}

/// The finished plan.
pub(super) fn finished(sequence: Sequence<'_, '_>) -> Plan {
    let (mut plan, draft) = (sequence.plan, sequence.draft);
    plan.outcomes.clone_from(&draft.outcomes);
    plan.warnings.extend(draft.warnings.iter().cloned());
    plan
}
