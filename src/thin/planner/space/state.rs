//! What a pool must be like to be changed, and what a change of it comes to.

use super::super::draft::Draft;
use super::super::sequence::Sequence;
use crate::effect::Effect;
use crate::observed::PoolState;
use crate::plan::{Outcome, Plan, PoolExpectation, Purpose};
use crate::pool_health::check_transaction_for;
use crate::refusal::Refusal;
use base::error_kind::ErrorKind;
use base::ids::LvName;
use dm::status::{PoolStatus, PoolWorking};
use lvm2::format::model::{Lv, ThinPool};

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
        };
        let working = match &self.seen(name)?.state {
            PoolState::Active(PoolStatus::Working(working))
            | PoolState::ActiveNew(PoolStatus::Working(working)) => {
                check_transaction_for(&shown, working.transaction_id, &expect)?;
                Some(working)
            }
            PoolState::Active(_) | PoolState::ActiveNew(_) => {
                return Err(Refusal::new(
                    ErrorKind::Corrupt,
                    format!("pool {shown} has failed: the kernel serves no I/O from it"),
                )
                .hint(format!(
                    "deactivate it and see the kernel log; 'lvconvert --repair {shown}' repairs metadata"
                )));
            }
            PoolState::Inactive(kernel) => {
                check_transaction_for(&shown, *kernel, &expect)?;
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

    /// Notes the outcome for a pool.
    pub(super) fn pool_outcome(&mut self, lv: &Lv, what: impl Into<String>) {
        let outcome = Outcome {
            request: 0,
            name: lv.name.clone(),
            uuid: Some(lv.id),
            effect: Effect::Pool { what: what.into() },
        };
        self.outcomes.push(outcome);
    }
}

/// The finished plan.
pub(super) fn finished(sequence: Sequence<'_, '_>) -> Plan {
    let (mut plan, draft) = (sequence.plan, sequence.draft);
    plan.outcomes.clone_from(&draft.outcomes);
    plan.warnings.extend(draft.warnings.iter().cloned());
    plan
}
