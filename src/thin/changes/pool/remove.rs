//! A pool goes.

use serde::{Deserialize, Serialize};

use crate::changes::address::Storage;
use crate::changes::part::Part;
use crate::changes::scene::Scene;
use crate::changes::{Addresses, Change, Concerns, Readable, Resolve, Resolved, Written};
use crate::refusal::Refusal;
use crate::request::{RemovePool, Request};
use base::ids::VgName;

/// Removes a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
pub struct DeletePool<A: Addresses = Resolved> {
    /// The pool.
    pub pool: A::Storage,
    /// Whether its volumes go with it. Else it must have none.
    #[serde(default)]
    pub with_volumes: bool,
}

impl DeletePool {
    /// Removes a pool that has no volumes.
    pub fn new(pool: Storage) -> Self {
        Self { pool, with_volumes: false }
    }

    pub(in crate::changes) fn vg(&self) -> &VgName {
        &self.pool.vg
    }

    pub(in crate::changes) fn lower(&self, _: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        let pool = self.pool.pool.clone();
        let request = Request::RemovePool(RemovePool { pool, with_volumes: self.with_volumes });
        Ok(vec![Part::itself(request, &self.pool)])
    }
}

impl<A: Addresses> DeletePool<A> {
    pub(in crate::changes) fn concerns(&self) -> Concerns {
        Concerns::changing_pool(&self.pool)
    }
}

impl DeletePool<Written> {
    pub(in crate::changes) fn resolve<R: Resolve>(self, by: &R) -> Result<DeletePool, R::Error> {
        Ok(DeletePool { pool: by.storage(&self.pool)?, with_volumes: self.with_volumes })
    }
}

impl From<DeletePool> for Change {
    fn from(change: DeletePool) -> Self {
        Self::PoolRemove(change)
    }
}
