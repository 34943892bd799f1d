//! What a pool must be like before it is asked for anything.

use super::plan::{PoolExpectation, Purpose};
use super::refusal::{Refusal, RefusalKind};
use crate::dm::status::{PoolMode, PoolStatus, PoolWorking};
use crate::ids::TransactionId;

/// Bytes of one block of pool metadata. Source: Linux `drivers/md/dm-thin-metadata.h` (`THIN_METADATA_BLOCK_SIZE`).
const METADATA_BLOCK_BYTES: u64 = 4096;

/// Metadata space lvm2 keeps free for writes to existing volumes: 4 MiB, or a quarter where that is less.
/// Source: lvm2 `lib/metadata/thin_manip.c` (`thin_pool_metadata_min_threshold`).
const METADATA_RESERVE_BYTES: u64 = 4 << 20;

/// Checks a pool's status against what it is wanted for. `pool` is how to call it.
///
/// # Errors
/// A refusal that says what is wrong with the pool and what to do.
pub fn check_pool(pool: &str, status: &PoolStatus, expect: &PoolExpectation) -> Result<(), Refusal> {
    let PoolStatus::Working(working) = status else {
        return Err(Refusal::new(
            RefusalKind::Corrupt,
            format!("pool {pool} has failed: the kernel serves no I/O from it"),
        )
        .hint(format!("look at the kernel log, deactivate the pool, then 'lvconvert --repair {pool}'")));
    };
    check_transaction(pool, working.transaction_id, expect.transaction_id)?;
    if expect.purpose >= Purpose::Change {
        check_writable(pool, working)?;
    }
    if expect.purpose >= Purpose::NewVolumes {
        check_room(pool, working, expect.threshold_percent)?;
    }
    Ok(())
}

/// Checks that kernel and text agree on the transaction.
///
/// # Errors
/// A refusal that says which of the two is ahead.
pub fn check_transaction(pool: &str, kernel: TransactionId, text: TransactionId) -> Result<(), Refusal> {
    if kernel == text {
        return Ok(());
    }
    let ahead = if kernel > text {
        "the volume group's metadata is older than the pool, as after restoring a backup of it"
    } else {
        "the pool is older than the volume group's metadata, as after restoring an image of its disks"
    };
    let message =
        format!("pool {pool} has transaction id {kernel} in the kernel and {text} in the metadata: {ahead}");
    Err(Refusal::new(RefusalKind::Corrupt, message).hint(
        "thinvol does not touch such a pool; compare 'thin_dump' of its metadata with 'vgcfgbackup' and \
         restore the newer one",
    ))
}

fn check_writable(pool: &str, working: &PoolWorking) -> Result<(), Refusal> {
    if working.needs_check {
        return Err(Refusal::new(RefusalKind::Corrupt, format!("pool {pool} needs its metadata checked"))
            .hint(format!("deactivate the pool, then 'lvconvert --repair {pool}'")));
    }
    match working.mode {
        PoolMode::ReadWrite | PoolMode::OutOfDataSpace => Ok(()),
        PoolMode::ReadOnly => Err(Refusal::rule(format!("pool {pool} is read-only")).hint(format!(
            "it may be out of metadata space: 'lvextend --poolmetadatasize +<size> {pool}', or look at the kernel log"
        ))),
    }
}

fn check_room(pool: &str, working: &PoolWorking, threshold: u32) -> Result<(), Refusal> {
    if working.mode == PoolMode::OutOfDataSpace {
        return Err(Refusal::rule(format!("pool {pool} is full: no data space is left"))
            .hint(format!("free volumes, or extend it: 'lvextend -L +<size> {pool}'")));
    }
    let above = |used: u64, total: u64| u128::from(used) * 100 > u128::from(total) * u128::from(threshold);
    if above(working.data.used, working.data.total) {
        return Err(Refusal::rule(format!(
            "pool {pool} is {} % full, above the limit of {threshold} % for new volumes",
            working.data.percent()
        ))
        .hint(format!(
            "extend it ('lvextend -L +<size> {pool}'), or raise activation/thin_pool_autoextend_threshold"
        )));
    }
    let reserve = (METADATA_RESERVE_BYTES / METADATA_BLOCK_BYTES).min(working.metadata.total / 4);
    if working.metadata.free() <= reserve || above(working.metadata.used, working.metadata.total) {
        return Err(Refusal::rule(format!(
            "the metadata of pool {pool} is {} % full; new volumes would take the last of it",
            working.metadata.percent()
        ))
        .hint(format!("'lvextend --poolmetadatasize +<size> {pool}' extends it while in use")));
    }
    Ok(())
}
