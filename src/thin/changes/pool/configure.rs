//! How a pool works.

use serde::{Deserialize, Serialize};

use super::words::{DiscardsWord, WhenFull, WrittenRule};
use crate::changes::address::Storage;
use crate::changes::part::Part;
use crate::changes::scene::Scene;
use crate::changes::{Addresses, Change, Concerns, Readable, Resolve, Resolved, Written};
use crate::pool_rules::RuleKind;
use crate::refusal::Refusal;
use crate::request::{Request, SetPool};
use base::error_kind::ErrorKind;
use base::ids::VgName;

/// Changes how a pool works, in use or not; what is not said stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
pub struct ConfigurePool<A: Addresses = Resolved> {
    /// The pool.
    pub pool: A::Storage,
    /// What happens to discards.
    #[serde(default)]
    pub discards: Option<DiscardsWord>,
    /// Whether new chunks are zeroed.
    #[serde(default)]
    pub zero: Option<bool>,
    /// What happens to writes when it is full.
    #[serde(default)]
    pub when_full: Option<WhenFull>,
    /// How many times its size all its volumes and snapshots may have together.
    #[serde(default)]
    pub overcommit: Option<A::Rule>,
    /// How much data must be free in it for it to promise more.
    #[serde(default)]
    pub reserve: Option<A::Rule>,
    /// How full it is extended, in per cent.
    #[serde(default)]
    pub extend_at: Option<A::Rule>,
    /// By how much of its size, in per cent.
    #[serde(default)]
    pub extend_by: Option<A::Rule>,
}

impl ConfigurePool {
    /// Nothing yet.
    pub fn new(pool: Storage) -> Self {
        Self {
            pool,
            discards: None,
            zero: None,
            when_full: None,
            overcommit: None,
            reserve: None,
            extend_at: None,
            extend_by: None,
        }
    }

    pub(in crate::changes) fn vg(&self) -> &VgName {
        &self.pool.vg
    }

    pub(in crate::changes) fn lower(&self, _: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        let rules = [self.overcommit, self.reserve, self.extend_at, self.extend_by];
        let request = Request::SetPool(SetPool {
            pool: self.pool.pool.clone(),
            discards: self.discards.map(Into::into),
            zero: self.zero,
            error_when_full: self.when_full.map(WhenFull::is_error),
            rules: rules.into_iter().flatten().collect(),
        });
        Ok(vec![Part::itself(request, &self.pool)])
    }
}

impl<A: Addresses> ConfigurePool<A> {
    pub(in crate::changes) fn concerns(&self) -> Concerns {
        Concerns::changing_pool(&self.pool)
    }
}

impl ConfigurePool<Written> {
    pub(in crate::changes) fn resolve<R: Resolve>(self, by: &R) -> Result<ConfigurePool, R::Error> {
        let rule = |rule: Option<WrittenRule>, kind| rule.map(|rule| rule.change(kind)).transpose();
        let change: ConfigurePool = ConfigurePool {
            pool: by.storage(&self.pool)?,
            discards: self.discards,
            zero: self.zero,
            when_full: self.when_full,
            overcommit: rule(self.overcommit, RuleKind::Overcommit)?,
            reserve: rule(self.reserve, RuleKind::Reserve)?,
            extend_at: rule(self.extend_at, RuleKind::ExtendAt)?,
            extend_by: rule(self.extend_by, RuleKind::ExtendBy)?,
        };
        if change == ConfigurePool::new(change.pool.clone()) {
            let message = format!("nothing is said of how pool '{}' is to work", change.pool);
            return Err(Refusal::new(ErrorKind::Usage, message)
                .hint("'thinvol batch --help' shows what can be said")
                .into());
        }
        Ok(change)
    }
}

impl From<ConfigurePool> for Change {
    fn from(change: ConfigurePool) -> Self {
        Self::PoolSet(change)
    }
}
