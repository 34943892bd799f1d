//! The steps of a repair of a pool's metadata.

use std::fmt;

use serde::Serialize;

use super::join;
use base::first_few::first_few;
use base::ids::{LvName, ThinId, TransactionId};
use base::units::size::Rounded;
use base::units::{Chunks, Sectors};
use dm::name::DmName;

/// More devices than this are counted, not listed.
const LISTED: usize = 8;

/// A repair of a pool's metadata from one device to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MetadataRepair {
    /// The damaged metadata. It is only read.
    pub from: DmName,
    /// What is overwritten.
    pub to: DmName,
    /// What is taken from the text, where the metadata does not say it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assumed: Option<Assumed>,
}

/// What a superblock says, from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Assumed {
    /// The transaction id.
    pub transaction_id: TransactionId,
    /// The size of a chunk.
    pub chunk_size: Sectors,
    /// How many chunks of data there are.
    pub data: Chunks,
}

/// What repaired metadata must be like before anything relies on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// The pool.
    pub pool: LvName,
    /// The damaged metadata, to compare with as far as it can be read.
    pub from: DmName,
    /// The repaired metadata.
    pub on: DmName,
    /// The transaction ids it may have; any if there are none.
    pub transactions: Vec<TransactionId>,
    /// The volumes whose devices must be in it, with all that the damaged metadata says of them.
    pub volumes: Vec<(ThinId, LvName)>,
    /// Whether it is taken although something is lost, or the transaction is another one.
    pub whatever_is_lost: bool,
}

impl fmt::Display for MetadataRepair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "repair the pool metadata on {} onto {}", self.from, self.to)?;
        self.assumed.iter().try_for_each(|assumed| {
            let chunk = Rounded(assumed.chunk_size.to_bytes().unwrap_or_default());
            write!(
                f,
                ", with transaction {} and {} chunks of {chunk} as the volume group's metadata has them, for its \
                 superblock cannot be read",
                assumed.transaction_id, assumed.data
            )
        })
    }
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expect whole pool metadata on {}", self.on)?;
        if self.whatever_is_lost {
            return write!(f, ", whatever is lost");
        }
        if !self.transactions.is_empty() {
            write!(f, " at transaction {}", join(&self.transactions).replace(", ", " or "))?;
        }
        if self.volumes.is_empty() {
            return Ok(());
        }
        let ids: Vec<ThinId> = self.volumes.iter().map(|(id, _)| *id).collect();
        write!(f, ", with all of thin {}", first_few(&ids, LISTED, ", "))
    }
}
