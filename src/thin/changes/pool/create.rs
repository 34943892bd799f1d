//! A new pool.

use serde::{Deserialize, Serialize};

use super::words::{DiscardsWord, WhenFull};
use crate::changes::address::Storage;
use crate::changes::part::Part;
use crate::changes::scene::Scene;
use crate::changes::{Addresses, Change, Concerns, Readable, Resolve, Resolved, Written, WrittenSize, yes};
use crate::refusal::Refusal;
use crate::request::{NewPool, Request, Space};
use base::ids::VgName;

/// Creates a pool in a volume group. What is not said follows lvm.conf.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
pub struct CreatePool<A: Addresses = Resolved> {
    /// The pool.
    pub pool: A::Storage,
    /// Room for data.
    pub size: A::Space,
    /// Room for its metadata.
    #[serde(default)]
    pub metadata_size: Option<A::Size>,
    /// The size of a chunk.
    #[serde(default)]
    pub chunk_size: Option<A::Size>,
    /// Over how many physical volumes its data is striped.
    #[serde(default = "one")]
    pub stripes: u32,
    /// How much goes on one of them before the next comes.
    #[serde(default)]
    pub stripe_size: Option<A::Size>,
    /// What happens to discards.
    #[serde(default)]
    pub discards: Option<DiscardsWord>,
    /// Whether new chunks are zeroed.
    #[serde(default)]
    pub zero: Option<bool>,
    /// What happens to writes when it is full.
    #[serde(default)]
    pub when_full: Option<WhenFull>,
    /// The physical volumes to take extents from; any if there are none.
    #[serde(default)]
    pub pv: Vec<A::Device>,
    /// Whether its devices are to exist afterwards.
    #[serde(default = "yes")]
    pub activate: bool,
}

const fn one() -> u32 {
    1
}

impl CreatePool {
    /// A pool of that size, active.
    pub fn new(pool: Storage, size: Space) -> Self {
        Self {
            pool,
            size,
            metadata_size: None,
            chunk_size: None,
            stripes: one(),
            stripe_size: None,
            discards: None,
            zero: None,
            when_full: None,
            pv: Vec::new(),
            activate: true,
        }
    }

    pub(in crate::changes) fn vg(&self) -> &VgName {
        &self.pool.vg
    }

    pub(in crate::changes) fn lower(&self, _: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        let request = Request::CreatePool(NewPool {
            name: self.pool.pool.clone(),
            data: self.size,
            metadata: self.metadata_size,
            chunk: self.chunk_size,
            stripes: self.stripes,
            stripe_size: self.stripe_size,
            discards: self.discards.map(Into::into),
            zero: self.zero,
            error_when_full: self.when_full.map(WhenFull::is_error),
            on: self.pv.clone(),
            activate: self.activate,
        });
        Ok(vec![Part::itself(request, &self.pool)])
    }
}

impl<A: Addresses> CreatePool<A> {
    pub(in crate::changes) fn concerns(&self) -> Concerns {
        Concerns::changing_pool(&self.pool)
    }
}

impl CreatePool<Written> {
    pub(in crate::changes) fn resolve<R: Resolve>(self, by: &R) -> Result<CreatePool, R::Error> {
        let size = |size: Option<WrittenSize>| size.as_ref().map(WrittenSize::sectors).transpose();
        Ok(CreatePool {
            pool: by.storage(&self.pool)?,
            size: self.size.space()?,
            metadata_size: size(self.metadata_size)?,
            chunk_size: size(self.chunk_size)?,
            stripes: self.stripes,
            stripe_size: size(self.stripe_size)?,
            discards: self.discards,
            zero: self.zero,
            when_full: self.when_full,
            pv: self.pv.iter().map(|path| by.device(path)).collect::<Result<_, _>>()?,
            activate: self.activate,
        })
    }
}

impl From<CreatePool> for Change {
    fn from(change: CreatePool) -> Self {
        Self::PoolCreate(change)
    }
}
