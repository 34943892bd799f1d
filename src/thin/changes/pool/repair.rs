//! The metadata of a pool, repaired.

use serde::{Deserialize, Serialize};

use crate::changes::address::Storage;
use crate::changes::part::Part;
use crate::changes::scene::Scene;
use crate::changes::{Addresses, Change, Concerns, Readable, Resolve, Resolved, Written};
use crate::refusal::Refusal;
use crate::request::{RepairPool, Request};
use base::ids::VgName;

/// Repairs the metadata of a pool that does not run onto the group's spare, which takes its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
pub struct MendPool<A: Addresses = Resolved> {
    /// The pool.
    pub pool: A::Storage,
    /// Whether to do so where no damage is found, and to take a repaired copy that has lost something.
    #[serde(default)]
    pub force: bool,
    /// The physical volumes to take extents of a new spare from; any if there are none.
    #[serde(default)]
    pub pv: Vec<A::Device>,
}

impl MendPool {
    /// Repairs what is damaged, and loses nothing.
    pub fn new(pool: Storage) -> Self {
        Self { pool, force: false, pv: Vec::new() }
    }

    pub(in crate::changes) fn vg(&self) -> &VgName {
        &self.pool.vg
    }

    pub(in crate::changes) fn lower(&self, _: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        let request = Request::RepairPool(RepairPool {
            pool: self.pool.pool.clone(),
            force: self.force,
            on: self.pv.clone(),
        });
        Ok(vec![Part::itself(request, &self.pool)])
    }
}

impl<A: Addresses> MendPool<A> {
    pub(in crate::changes) fn concerns(&self) -> Concerns {
        Concerns::changing_pool(&self.pool)
    }
}

impl MendPool<Written> {
    pub(in crate::changes) fn resolve<R: Resolve>(self, by: &R) -> Result<MendPool, R::Error> {
        Ok(MendPool {
            pool: by.storage(&self.pool)?,
            force: self.force,
            pv: self.pv.iter().map(|path| by.device(path)).collect::<Result<_, _>>()?,
        })
    }
}

impl From<MendPool> for Change {
    fn from(change: MendPool) -> Self {
        Self::PoolRepair(change)
    }
}
