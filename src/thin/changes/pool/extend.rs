//! More room for a pool.

use serde::{Deserialize, Serialize};

use crate::changes::address::Storage;
use crate::changes::part::Part;
use crate::changes::scene::Scene;
use crate::changes::{Addresses, Change, Concerns, Readable, Resolve, Resolved, Written, WrittenSize};
use crate::refusal::Refusal;
use crate::request::{GrowPool, Request, Space};
use base::error_kind::ErrorKind;
use base::ids::VgName;

/// Gives a pool more room for data, metadata or both, in use or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
pub struct ExtendPool<A: Addresses = Resolved> {
    /// The pool.
    pub pool: A::Storage,
    /// Room for data.
    #[serde(default)]
    pub size: Option<A::Space>,
    /// Room for its metadata. If nothing is said of it, it grows with the data.
    #[serde(default)]
    pub metadata_size: Option<A::Space>,
    /// The physical volumes to take extents from; any if there are none.
    #[serde(default)]
    pub pv: Vec<A::Device>,
}

impl ExtendPool {
    /// More room for data, metadata or both.
    pub fn new(pool: Storage, size: Option<Space>, metadata_size: Option<Space>) -> Self {
        Self { pool, size, metadata_size, pv: Vec::new() }
    }

    pub(in crate::changes) fn vg(&self) -> &VgName {
        &self.pool.vg
    }

    pub(in crate::changes) fn lower(&self, _: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        let request = Request::GrowPool(GrowPool {
            pool: self.pool.pool.clone(),
            data: self.size,
            metadata: self.metadata_size,
            on: self.pv.clone(),
        });
        Ok(vec![Part::itself(request, &self.pool)])
    }
}

impl<A: Addresses> ExtendPool<A> {
    pub(in crate::changes) fn concerns(&self) -> Concerns {
        Concerns::changing_pool(&self.pool)
    }
}

impl ExtendPool<Written> {
    pub(in crate::changes) fn resolve<R: Resolve>(self, by: &R) -> Result<ExtendPool, R::Error> {
        if self.size.is_none() && self.metadata_size.is_none() {
            let message = "a pool is extended by a size, or by one of its metadata";
            return Err(Refusal::new(ErrorKind::Usage, message)
                .hint("say \"size\", \"metadata_size\" or both")
                .into());
        }
        let space = |space: Option<WrittenSize>| space.as_ref().map(WrittenSize::space).transpose();
        Ok(ExtendPool {
            pool: by.storage(&self.pool)?,
            size: space(self.size)?,
            metadata_size: space(self.metadata_size)?,
            pv: self.pv.iter().map(|path| by.device(path)).collect::<Result<_, _>>()?,
        })
    }
}

impl From<ExtendPool> for Change {
    fn from(change: ExtendPool) -> Self {
        Self::PoolExtend(change)
    }
}
