//! The settings of lvm.conf for new pools: section `allocation` and related ones.
//! Source: lvm2 `lib/config/config_settings.h`.

use super::ConfError;
use super::layers::Layers;
use crate::format::model::Discards;
use crate::format::pool_size::{ChunkPolicy, PoolDefaults};
use base::units::Sectors;

/// Sectors of a KiB, the unit of sizes in lvm.conf.
const KIB: u64 = 2;

/// Reads it.
pub(super) fn pool_defaults(layers: &Layers) -> Result<PoolDefaults, ConfError> {
    let default = PoolDefaults::default();
    let policy = layers.word(
        "allocation/thin_pool_chunk_size_policy",
        ChunkPolicy::Generic,
        &[("generic", ChunkPolicy::Generic), ("performance", ChunkPolicy::Performance)],
    )?;
    let sectors = |kib: u64| Sectors::new(kib.saturating_mul(KIB));
    let chunk = layers.optional_number("allocation/thin_pool_chunk_size")?;
    Ok(PoolDefaults {
        chunk: chunk.map_or(policy, |kib| ChunkPolicy::Fixed(sectors(kib))),
        stripe_size: layers.optional_number("metadata/stripesize")?.map_or(default.stripe_size, sectors),
        apart: layers.bool("allocation/thin_pool_metadata_require_separate_pvs", default.apart)?,
        zero: layers.bool("allocation/thin_pool_zero", default.zero)?,
        discards: layers.word(
            "allocation/thin_pool_discards",
            default.discards,
            &[
                ("passdown", Discards::Passdown),
                ("nopassdown", Discards::NoPassdown),
                ("ignore", Discards::Ignore),
            ],
        )?,
        error_when_full: layers.bool("activation/error_when_full", default.error_when_full)?,
        zero_metadata: layers.bool("allocation/zero_metadata", default.zero_metadata)?,
    })
}
