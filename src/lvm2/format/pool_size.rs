//! How large a new pool's chunks and metadata are, as lvm2 decides. Pure.
//!
//! Source: lvm2 `lib/metadata/thin_manip.c` (`update_thin_pool_params`, `get_default_allocation_thin_pool_chunk_size`),
//! `lib/metadata/pool_manip.c` (`update_pool_metadata_min_max`), and what 2.03.16 makes (tests).

use thiserror::Error;

use crate::format::model::Discards;
use base::units::size::Rounded;
use base::units::{Bytes, Extents, Sectors};
use dm::table::{CHUNK_MAX, CHUNK_MIN};

/// Sectors of the smallest metadata: 2 MiB. Source: lvm2 `lib/metadata/metadata-exported.h`
/// (`DEFAULT_THIN_POOL_MIN_METADATA_SIZE`).
const METADATA_MIN: u64 = 4096;

/// Sectors of the largest metadata: 15.81 GiB. The kernel uses 64 MiB more (`THIN_METADATA_MAX_SECTORS`), which lvm2
/// marks in the text so that older versions keep away from the pool. Source: lvm2 `libdm/libdevmapper.h`
/// (`DM_THIN_MAX_METADATA_SIZE`).
pub const METADATA_MAX: u64 = 33_161_216;

/// Sectors of metadata (128 MiB) above which larger chunks are chosen, unless their size is given.
/// Source: lvm2 `lib/config/defaults.h` (`DEFAULT_THIN_POOL_OPTIMAL_METADATA_SIZE`).
const METADATA_OPTIMAL: u64 = 262_144;

/// Chunks that one sector of metadata is for: 64 bytes each. Source: lvm2 `lib/metadata/thin_manip.c`
/// (`update_thin_pool_params`).
const CHUNKS_PER_SECTOR: u64 = 8;

/// Chunks that take long to be zeroed: lvm2 warns of them. Source: lvm2 `lib/config/defaults.h`
/// (`DEFAULT_THIN_POOL_CHUNK_SIZE_PERFORMANCE`).
pub const CHUNK_SLOW_TO_ZERO: u64 = 1024;

/// The largest spare: 16 GiB. Source: lvm2 `lib/metadata/metadata-exported.h` (`handle_pool_metadata_spare`).
const SPARE_MAX: u64 = 16 << 21;

/// The setting of lvm.conf for chunks whose size is not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChunkPolicy {
    /// At least 64 KiB (`generic`).
    #[default]
    Generic,
    /// At least 512 KiB (`performance`).
    Performance,
    /// This number of sectors (`allocation/thin_pool_chunk_size`).
    Fixed(Sectors),
}

/// The settings of lvm.conf for new pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolDefaults {
    /// How large chunks are.
    pub chunk: ChunkPolicy,
    /// The size of a stripe of striped pools.
    pub stripe_size: Sectors,
    /// Whether metadata must lie on another physical volume than data.
    pub apart: bool,
    /// Whether new chunks are zeroed.
    pub zero: bool,
    /// What happens to discards.
    pub discards: Discards,
    /// Whether writes fail at once when the pool is full.
    pub error_when_full: bool,
    /// Whether all of new metadata is zeroed, not only the part that the kernel checks.
    pub zero_metadata: bool,
}

/// lvm2's. Source: lvm2 `lib/config/defaults.h`.
impl Default for PoolDefaults {
    fn default() -> Self {
        Self {
            chunk: ChunkPolicy::Generic,
            stripe_size: Sectors::new(128),
            apart: false,
            zero: true,
            discards: Discards::Passdown,
            error_when_full: false,
            zero_metadata: true,
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The size of an extent.
    pub extent_size: Sectors,
    /// The size of the data.
    pub data: Extents,
    /// The size of a chunk, if it is given.
    pub chunk: Option<Sectors>,
    /// The size of the metadata, if it is given.
    pub metadata: Option<Sectors>,
    /// The setting that decides otherwise.
    pub policy: ChunkPolicy,
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSize {
    /// The size of a chunk.
    pub chunk: Sectors,
    /// The size of the metadata.
    pub metadata: Extents,
    /// Whether the metadata is smaller than what all chunks may need.
    pub is_tight: bool,
}

/// Why a pool cannot have these sizes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PoolSizeError {
    /// A chunk the kernel does not take.
    #[error("a chunk of {} is not a multiple of 64 KiB from 64 KiB to 1 GiB", shown(.0))]
    Chunk(Sectors),
    /// Not even one chunk.
    #[error("{} of data is less than one chunk of {}", shown(.data), shown(.chunk))]
    TooSmall {
        /// The data.
        data: Sectors,
        /// The chunk.
        chunk: Sectors,
    },
    /// More than the metadata can name.
    #[error("with chunks of {} a pool cannot address more than {} of data", shown(.chunk), shown(.limit))]
    TooLarge {
        /// The chunk.
        chunk: Sectors,
        /// The most it can be.
        limit: Sectors,
    },
    /// A size that does not fit into 64 bits, or extents of no size.
    #[error("a size overflows")]
    Overflow,
}

fn shown(sectors: &Sectors) -> Rounded {
    Rounded(sectors.to_bytes().unwrap_or(Bytes::ZERO))
}

/// Decides the sizes of a new pool.
///
/// # Errors
/// If there is no such pool.
pub fn pool_size(asked: &Asked) -> Result<PoolSize, PoolSizeError> {
    let extent = asked.extent_size;
    let data = asked.data.to_sectors(extent).ok_or(PoolSizeError::Overflow)?.get();
    let limits = (whole(METADATA_MIN, extent)?, metadata_max(extent)?);
    let fixed = match asked.policy {
        ChunkPolicy::Fixed(chunk) => Some(chunk),
        ChunkPolicy::Generic | ChunkPolicy::Performance => None,
    };
    let wanted = asked.metadata.map(|size| Ok(whole(size.get(), extent)?.clamp(limits.0, limits.1)));
    let wanted = wanted.transpose()?;
    let chunk = match (asked.chunk.or(fixed), wanted) {
        (Some(chunk), _) => valid_chunk(chunk)?.get(),
        (None, Some(metadata)) => {
            chunk_for(data, metadata.to_sectors(extent).ok_or(PoolSizeError::Overflow)?)
        }
        (None, None) => {
            let mut chunk =
                if asked.policy == ChunkPolicy::Performance { CHUNK_SLOW_TO_ZERO } else { CHUNK_MIN };
            while data / (CHUNKS_PER_SECTOR * chunk) > METADATA_OPTIMAL && chunk < CHUNK_MAX {
                chunk *= 2;
            }
            chunk
        }
    };
    let chunk_size = Sectors::new(chunk);
    if data < chunk {
        return Err(PoolSizeError::TooSmall { data: Sectors::new(data), chunk: chunk_size });
    }
    let limit = chunk * CHUNKS_PER_SECTOR * METADATA_MAX;
    if data > limit {
        return Err(PoolSizeError::TooLarge { chunk: chunk_size, limit: Sectors::new(limit) });
    }
    let enough = enough_metadata(asked.data, extent, chunk_size)?;
    let metadata = wanted.unwrap_or(enough);
    Ok(PoolSize { chunk: chunk_size, metadata, is_tight: metadata < enough })
}

/// Metadata for all chunks of that much data: 64 bytes for each, within the limits.
///
/// # Errors
/// If a size overflows.
pub fn enough_metadata(data: Extents, extent: Sectors, chunk: Sectors) -> Result<Extents, PoolSizeError> {
    let data = data.to_sectors(extent).ok_or(PoolSizeError::Overflow)?.get();
    let sectors = data.checked_div(CHUNKS_PER_SECTOR * chunk.get()).ok_or(PoolSizeError::Overflow)?;
    Ok(whole(sectors, extent)?.clamp(whole(METADATA_MIN, extent)?, metadata_max(extent)?))
}

/// The largest metadata that is of use.
///
/// # Errors
/// If extents have no size.
pub fn metadata_max(extent: Sectors) -> Result<Extents, PoolSizeError> {
    whole(METADATA_MAX, extent)
}

/// How large the group's spare for pools' metadata is to be beside metadata of these sizes.
///
/// # Errors
/// If extents have no size.
pub fn spare_size(
    metadata: impl Iterator<Item = Extents>,
    extent: Sectors,
) -> Result<Extents, PoolSizeError> {
    Ok(metadata.max().unwrap_or(Extents::ZERO).min(whole(SPARE_MAX, extent)?))
}

/// Checks a chunk.
///
/// # Errors
/// If the kernel does not take it.
pub fn valid_chunk(chunk: Sectors) -> Result<Sectors, PoolSizeError> {
    let valid = (CHUNK_MIN..=CHUNK_MAX).contains(&chunk.get()) && chunk.get().is_multiple_of(CHUNK_MIN);
    if valid { Ok(chunk) } else { Err(PoolSizeError::Chunk(chunk)) }
}

fn whole(sectors: u64, extent: Sectors) -> Result<Extents, PoolSizeError> {
    Extents::holding(Sectors::new(sectors), extent).ok_or(PoolSizeError::Overflow)
}

/// The chunk with which metadata of that size names all data: a power of two, or whole mebibytes.
fn chunk_for(data: u64, metadata: Sectors) -> u64 {
    const MEBIBYTE: u64 = 2048;
    let chunk = data / (CHUNKS_PER_SECTOR.saturating_mul(metadata.get())).max(1);
    let chunk = match chunk {
        0 | 1 => CHUNK_MIN,
        large if large >= MEBIBYTE => large.saturating_add(MEBIBYTE - 1) / MEBIBYTE * MEBIBYTE,
        small => small.next_power_of_two(),
    };
    chunk.clamp(CHUNK_MIN, CHUNK_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENT: Sectors = Sectors::new(8192);
    const GIB: u64 = 256;

    fn asked(data: u64) -> Asked {
        let policy = ChunkPolicy::Generic;
        Asked { extent_size: EXTENT, data: Extents::new(data), chunk: None, metadata: None, policy }
    }

    fn mib(mib: u64) -> Option<Sectors> {
        Some(Sectors::new(mib * 2048))
    }

    fn sizes(asked: &Asked) -> (u64, u64) {
        let size = pool_size(asked).unwrap();
        (size.chunk.get(), size.metadata.get())
    }

    /// As lvm2 2.03.16 made them, with extents of 4 MiB: chunk in sectors, metadata in extents.
    #[test]
    fn sizes_are_lvm2s() {
        let sized: [(u64, u64, u64); 9] = [
            (1, 128, 1),
            (25, 128, 1),
            (GIB, 128, 1),
            (10 * GIB, 128, 3),
            (64 * GIB, 128, 16),
            (128 * GIB, 128, 32),
            (129 * GIB, 256, 17),
            (1024 * GIB, 1024, 32),
            (16 * 1024 * GIB, 16_384, 32),
        ];
        for (data, chunk, metadata) in sized {
            assert_eq!(sizes(&asked(data)), (chunk, metadata), "{data} extents");
        }
        let with = |data, metadata| sizes(&Asked { metadata: mib(metadata), ..asked(data) });
        assert_eq!(with(10 * GIB, 64), (128, 16));
        assert_eq!(with(10 * 1024 * GIB, 64), (20_480, 16));
        assert_eq!(with(100 * GIB, 1), (4096, 1));
    }

    #[test]
    fn what_is_asked_for_counts() {
        let chunk = |chunk| Asked { chunk: Some(Sectors::new(chunk)), ..asked(100 * GIB) };
        assert_eq!(sizes(&chunk(1024)), (1024, 4));
        assert_eq!(sizes(&chunk(384)), (384, 9));
        let small = Asked { metadata: mib(8), ..chunk(128) };
        assert_eq!(sizes(&small), (128, 2));
        assert!(pool_size(&small).unwrap().is_tight);
        assert!(!pool_size(&chunk(128)).unwrap().is_tight);
        // More than the kernel uses is cut.
        assert_eq!(sizes(&Asked { metadata: mib(17 << 10), ..chunk(128) }).1, 4048);
        let policy = |policy| sizes(&Asked { policy, ..asked(GIB) });
        assert_eq!(policy(ChunkPolicy::Performance), (1024, 1));
        assert_eq!(policy(ChunkPolicy::Fixed(Sectors::new(256))), (256, 1));
    }

    #[test]
    fn pools_that_cannot_be_are_refused() {
        let chunk = |data, chunk| pool_size(&Asked { chunk: Some(Sectors::new(chunk)), ..asked(data) });
        for wrong in [0, 64, 200, 2_097_280] {
            assert_eq!(chunk(GIB, wrong), Err(PoolSizeError::Chunk(Sectors::new(wrong))));
        }
        assert!(matches!(chunk(1, 16_384), Err(PoolSizeError::TooSmall { .. })));
        // 15.81 TiB with chunks of 64 KiB.
        assert!(matches!(chunk(20 * 1024 * GIB, 128), Err(PoolSizeError::TooLarge { .. })));
        assert!(chunk(15 * 1024 * GIB, 128).is_ok());
        let no_extent = Asked { extent_size: Sectors::ZERO, ..asked(1) };
        assert!(pool_size(&no_extent).is_err());
        assert_eq!(pool_size(&asked(u64::MAX)), Err(PoolSizeError::Overflow));
    }

    #[test]
    fn the_spare_is_as_large_as_the_largest_metadata() {
        let spare =
            |sizes: &[u64]| spare_size(sizes.iter().map(|size| Extents::new(*size)), EXTENT).unwrap().get();
        assert_eq!((spare(&[1, 3, 2]), spare(&[]), spare(&[5000])), (3, 0, 4096));
    }
}
