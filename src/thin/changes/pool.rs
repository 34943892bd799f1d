//! A pool itself changes: it is made, grown, set, or removed.

use super::address::Storage;
use super::part::Part;
use super::scene::Scene;
use super::{Addresses, Change, Concerns, Resolve, Resolved, Written};
use crate::refusal::Refusal;
use crate::request::Request;
use base::ids::VgName;

/// A change of a pool. It is made by itself, and is not written as a line of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangePool<A: Addresses = Resolved> {
    /// The pool.
    pub pool: A::Storage,
    /// What changes: one of the requests about pools.
    pub request: Request,
}

impl ChangePool {
    /// That change of a pool.
    pub fn new(pool: Storage, request: Request) -> Self {
        Self { pool, request }
    }

    pub(super) fn vg(&self) -> &VgName {
        &self.pool.vg
    }

    pub(super) fn lower(&self, _: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        Ok(vec![Part::itself(self.request.clone(), &self.pool)])
    }
}

impl<A: Addresses> ChangePool<A> {
    pub(super) fn concerns(&self) -> Concerns {
        Concerns { pools: Concerns::names_in(&self.pool), ..Concerns::default() }
    }
}

impl ChangePool<Written> {
    pub(super) fn resolve<R: Resolve>(self, by: &R) -> Result<ChangePool, R::Error> {
        Ok(ChangePool { pool: by.storage(&self.pool)?, request: self.request })
    }
}

impl From<ChangePool> for Change {
    fn from(change: ChangePool) -> Self {
        Self::Pool(change)
    }
}
