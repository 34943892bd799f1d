//! What a pool promises: the sizes of all its volumes together, against its own, and against what its owner allows.

use super::sequence::Sequence;
use crate::plan::{PoolExpectation, Purpose};
use crate::pool_rules::PoolRules;
use crate::refusal::Refusal;
use base::ids::{LvName, TransactionId};
use base::units::size::Rounded;
use base::units::{Bytes, Chunks, Sectors};
use lvm2::format::model::{Lv, Vg};

impl Sequence<'_, '_> {
    /// Checks what is promised of each pool that more is promised of than before. What counts is the size of each of
    /// its volumes and snapshots as it is afterwards, active or not. Where the owner has set no ratio the sum is warned
    /// about as lvm2 does.
    pub(super) fn check_promises(&mut self, after: &Vg) -> Result<(), Refusal> {
        let draft = self.draft;
        for name in &draft.promised {
            let Some(lv) = after.lv(name) else { continue };
            let rules = match PoolRules::of(lv) {
                Ok(rules) => rules,
                Err(bad) => {
                    let message = format!("what pool {}/{name} may promise is not known: {bad}", after.name);
                    let hint = format!("'lvchange --deltag {} {}/{name}' removes it", bad.tag, after.name);
                    self.forbid(Refusal::rule(message).hint(hint))?;
                    PoolRules::default()
                }
            };
            let promise = Promise::of(after, name, lv);
            match rules.overcommit {
                Some(ratio) => {
                    let limit = u128::from(promise.size) * u128::from(ratio.hundredths()) / 100;
                    if promise.sum > limit {
                        let refusal = promise.beyond(&format!("{ratio} times its size"), limit);
                        self.forbid(refusal)?;
                    }
                }
                None if promise.sum > u128::from(promise.size) => {
                    self.plan.warnings.push(promise.overcommit())
                }
                None => {}
            }
            if let Some(reserve) = rules.reserve {
                self.check_reserve(name, lv, reserve)?;
            }
        }
        Ok(())
    }

    fn check_reserve(&mut self, name: &LvName, lv: &Lv, reserve: Bytes) -> Result<(), Refusal> {
        let Some(wanted) = chunks(lv, reserve) else { return Ok(()) };
        let Some(working) = self.state(name)?.working() else { return Ok(()) };
        if working.data.free() >= wanted.get() {
            return Ok(());
        }
        let chunk = lv.thin_pool().map_or(Sectors::ZERO, |pool| pool.chunk_size);
        let free =
            working.data.free().checked_mul(chunk.get()).and_then(|free| Sectors::new(free).to_bytes());
        self.forbid(below_reserve(
            &format!("{}/{name}", self.draft.vg().name),
            free.unwrap_or(Bytes::ZERO),
            reserve,
        ))
    }

    /// Refuses, or only warns where that was asked for.
    fn forbid(&mut self, refusal: Refusal) -> Result<(), Refusal> {
        if !self.draft.observed.policy.beyond_rules {
            return Err(refusal);
        }
        self.plan.warnings.push(refusal.message);
        Ok(())
    }

    /// What a pool must be like at a point of the plan.
    pub(super) fn expectation(
        &self,
        pool: &LvName,
        transaction_id: TransactionId,
        purpose: Purpose,
    ) -> PoolExpectation {
        let policy = &self.draft.observed.policy;
        let threshold_percent = policy.threshold(pool);
        let takes_more = matches!(purpose, Purpose::NewVolumes { .. }) && !policy.beyond_rules;
        let lv = self.draft.vg().lv(pool).filter(|_| takes_more);
        let free = lv.and_then(|lv| chunks(lv, PoolRules::of(lv).ok()?.reserve?));
        PoolExpectation { transaction_id, purpose, threshold_percent, size: None, free }
    }
}

/// A size in chunks of that pool, rounded up.
fn chunks(lv: &Lv, size: Bytes) -> Option<Chunks> {
    let chunk = lv.thin_pool()?.chunk_size.to_bytes()?;
    (chunk.get() > 0).then(|| Chunks::new(size.get().div_ceil(chunk.get())))
}

/// The refusal of a pool that is as good as full.
fn below_reserve(pool: &str, free: Bytes, reserve: Bytes) -> Refusal {
    let message = format!(
        "pool {pool} has {} of data free, and is to keep a reserve of {}",
        Rounded(free),
        Rounded(reserve)
    );
    Refusal::rule(message).hint(format!(
        "free volumes, extend it ('thinvol pool extend {pool} --size +<size>'), or lower the reserve ('thinvol \
         pool set {pool} --reserve <size>'); --force goes below it"
    ))
}

/// What a pool promises, in extents.
struct Promise {
    pool: String,
    sum: u128,
    size: u64,
    extent: Sectors,
}

impl Promise {
    fn of(after: &Vg, name: &LvName, lv: &Lv) -> Self {
        let volumes = after.glances_of(name).filter_map(|(lv, _)| lv.extents());
        Self {
            pool: format!("{}/{name}", after.name),
            sum: volumes.map(|extents| u128::from(extents.get())).sum(),
            size: lv.extents().map_or(0, |extents| extents.get()),
            extent: after.extent_size,
        }
    }

    fn shown(&self, extents: u128) -> Rounded {
        let sectors = extents.checked_mul(u128::from(self.extent.get()));
        let sectors = sectors.and_then(|sectors| u64::try_from(sectors).ok());
        Rounded(sectors.and_then(|it| Sectors::new(it).to_bytes()).unwrap_or(Bytes::new(u64::MAX)))
    }

    fn beyond(&self, rule: &str, limit: u128) -> Refusal {
        let Self { pool, sum, .. } = self;
        let (sum, limit) = (self.shown(*sum), self.shown(limit));
        let message = format!(
            "the volumes and snapshots of pool {pool} would have {sum} together; it promises at most {limit} ({rule})"
        );
        Refusal::rule(message).hint(format!(
            "free volumes, extend it ('thinvol pool extend {pool} --size +<size>'), or let it promise more ('thinvol \
             pool set {pool} --overcommit <ratio>'); --force does it all the same"
        ))
    }

    /// As lvm2 warns.
    fn overcommit(&self) -> String {
        let mib = |extents: u128| extents * u128::from(self.extent.get()) / 2048;
        format!(
            "the sum of all thin volume sizes ({} MiB) exceeds the size of thin pool {} ({} MiB)",
            mib(self.sum),
            self.pool,
            mib(u128::from(self.size))
        )
    }
}
