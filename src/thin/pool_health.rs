//! The state that a pool must have before it is changed.

use super::condition::Condition;
use super::plan::{PoolExpectation, Purpose};
use super::refusal::Refusal;
use super::stack::PoolBlocks;
use base::error_kind::ErrorKind;
use base::ids::{LvName, TransactionId};
use dm::status::{METADATA_BLOCK_BYTES, PoolStatus, PoolWorking};

/// Metadata space lvm2 keeps free for writes to existing volumes: 4 MiB, or a quarter where that is less.
/// Source: lvm2 `lib/metadata/thin_manip.c` (`thin_pool_metadata_min_threshold`).
const METADATA_RESERVE_BYTES: u64 = 4 << 20;

/// New volumes that share one more block of the trees that name them. An empty one takes a block of its own besides,
/// the root of its mappings; a snapshot shares its origin's until either is written to. A leaf holds 126 volumes of the
/// larger entry and is half full after it was split. Source: Linux `drivers/md/dm-thin-metadata.c`
/// (`struct disk_device_details`, `__create_thin`, `__create_snap`), `persistent-data/dm-btree-internal.h`.
const VOLUMES_PER_METADATA_LEAF: u64 = 32;

/// Checks a pool's status against what it is wanted for. `pool` is how to call it.
///
/// # Errors
/// A refusal that says what is wrong with the pool and what to do.
pub fn check_pool(pool: &str, status: &PoolStatus, expect: &PoolExpectation) -> Result<(), Refusal> {
    let PoolStatus::Working(working) = status else {
        let failed = if *status == PoolStatus::Error { Condition::Unreadable } else { Condition::Failed };
        return Err(in_condition(pool, &failed));
    };
    check_transaction_for(pool, working.transaction_id, expect, Vec::new)?;
    if expect.purpose >= Purpose::Change {
        check_writable(pool, working)?;
    }
    if let Purpose::NewVolumes { empty, snapshots } = expect.purpose {
        check_room(pool, working, expect, (empty, snapshots))?;
    }
    expect.size.map_or(Ok(()), |size| check_size(pool, working, size))
}

/// Checks the transaction of a pool for what it is wanted for. LVM leaves the id of a pool that has none of its volumes
/// at 0, and the pool to another program (such as Docker): it is activated whatever the kernel's id is, but takes no
/// volume then. `missing` finds the volumes without a device. Source: lvm2 `lib/metadata/thin_manip.c`
/// (`check_new_thin_pool`).
///
/// # Errors
/// A refusal that says which of the two is ahead, or that the pool is somebody else's.
pub fn check_transaction_for(
    pool: &str,
    kernel: TransactionId,
    expect: &PoolExpectation,
    missing: impl FnOnce() -> Vec<LvName>,
) -> Result<(), Refusal> {
    let text = expect.transaction_id;
    match (text.0, kernel.0) {
        (0, 0) => Ok(()),
        (0, _) if expect.purpose == Purpose::Activation => Ok(()),
        (0, _) => Err(Refusal::rule(format!(
            "pool {pool} is used by another program: LVM has no volume in it, and its transaction id is {kernel}"
        ))
        .hint("make volumes in a pool of their own")),
        _ if kernel == text => Ok(()),
        _ => Err(transactions_differ(pool, kernel, text, &missing())),
    }
}

/// The refusal of a pool whose kernel and text disagree on the transaction; `missing` are volumes without a device.
pub fn transactions_differ(
    pool: &str,
    kernel: TransactionId,
    text: TransactionId,
    missing: &[LvName],
) -> Refusal {
    let older = if kernel > text {
        "the volume group's metadata is the older one, as after a backup of it was restored"
    } else {
        "the pool is the older one, as after its disks, or its metadata, were put back to an earlier state"
    };
    let mut message = format!(
        "pool {pool} is at transaction {kernel} in the kernel and at {text} in the volume group's metadata: {older}"
    );
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(LvName::as_str).collect();
        message.push_str(&format!("; it has no device for {}", names.join(", ")));
    }
    let vg = pool.split('/').next().unwrap_or(pool);
    Refusal::new(ErrorKind::Corrupt, message).hint(format!(
        "each change of the pool steps both numbers: one side was put back without the other, and nothing is \
         done until they agree. Restore a copy of the metadata in which the pool has 'transaction_id = {kernel}' \
         ('vgcfgrestore --list {vg}' lists them), or the pool as it was at transaction {text}"
    ))
}

/// Checks that the kernel has taken a new size: with `needs_check` set it does not, and says nothing.
fn check_size(pool: &str, working: &PoolWorking, wanted: PoolBlocks) -> Result<(), Refusal> {
    let (data, metadata) = (working.data.total, working.metadata.total);
    if data >= wanted.data.get() && metadata >= wanted.metadata {
        return Ok(());
    }
    Err(Refusal::rule(format!(
        "pool {pool} has {data} chunks and {metadata} blocks of metadata in the kernel, {} and {} were given to it",
        wanted.data, wanted.metadata
    ))
    .hint("the kernel log says why it did not grow; 'thinvol recover' tries again"))
}

/// The refusal of what a pool in that state does not allow.
pub fn in_condition(pool: &str, condition: &Condition) -> Refusal {
    let refusal = Refusal::new(condition.kind(), format!("pool {pool} {}", condition.words()));
    match condition.way_out(pool) {
        Some(way_out) => refusal.hint(way_out),
        None => refusal,
    }
}

fn check_writable(pool: &str, working: &PoolWorking) -> Result<(), Refusal> {
    match Condition::of_working(working, false) {
        Condition::Works | Condition::DataFull(_) => Ok(()),
        condition => Err(in_condition(pool, &condition)),
    }
}

/// Checks that the pool has room at all, and room in its metadata for so many empty volumes and snapshots more: if it
/// ran out between two messages, the kernel would leave the pool read-only. What is written to them later is another
/// matter.
fn check_room(
    pool: &str,
    working: &PoolWorking,
    expect: &PoolExpectation,
    (empty, snapshots): (u64, u64),
) -> Result<(), Refusal> {
    let threshold = expect.threshold_percent;
    let condition = Condition::of_working(working, false);
    if matches!(condition, Condition::DataFull(_)) {
        return Err(in_condition(pool, &condition));
    }
    if let Some(free) = expect.free.filter(|free| working.data.free() < free.get()) {
        let (left, free) = (working.data.free(), free.get());
        return Err(Refusal::rule(format!(
            "pool {pool} has {left} chunks of data free, and is to keep {free} as a reserve"
        ))
        .hint(format!(
            "free volumes, extend it ('thinvol pool extend {pool} --size +<size>'), or lower the reserve ('thinvol \
             pool set {pool} --reserve <size>'); --force goes below it"
        )));
    }
    let above = |used: u64, total: u64| u128::from(used) * 100 > u128::from(total) * u128::from(threshold);
    if above(working.data.used, working.data.total) {
        return Err(Refusal::rule(format!(
            "pool {pool} is {} % full, above the limit of {threshold} % for new volumes",
            working.data.percent()
        ))
        .hint(format!(
            "extend it ('thinvol pool extend {pool} --size +<size>'), or raise \
             activation/thin_pool_autoextend_threshold"
        )));
    }
    let reserve = (METADATA_RESERVE_BYTES / METADATA_BLOCK_BYTES).min(working.metadata.total / 4);
    let count = empty.saturating_add(snapshots);
    let wanted = empty.saturating_add(count / VOLUMES_PER_METADATA_LEAF);
    let left = working.metadata.free().saturating_sub(wanted);
    if left <= reserve || above(working.metadata.used, working.metadata.total) {
        let volumes = if count == 1 { "one new volume".to_owned() } else { format!("{count} new volumes") };
        return Err(Refusal::rule(format!(
            "the metadata of pool {pool} is {} % full; {volumes} would take the last of it",
            working.metadata.percent()
        ))
        .hint(format!("'thinvol pool extend {pool} --metadata-size +<size>' extends it while in use")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dm::status::PoolStatus;

    /// A pool at transaction 7 with so many blocks of metadata in use, of 2048, and with these words at the end of its
    /// status.
    fn status(used: u64, words: &str) -> PoolStatus {
        PoolStatus::parse(&format!("7 {used}/2048 100/1000 - {words}")).unwrap()
    }

    const WORKS: &str = "rw discard_passdown queue_if_no_space - 1024";

    const ONE: Purpose = Purpose::NewVolumes { empty: 1, snapshots: 0 };

    fn says(status: &PoolStatus, purpose: Purpose) -> Option<String> {
        let expect = PoolExpectation {
            transaction_id: TransactionId(7),
            purpose,
            threshold_percent: 80,
            size: None,
            free: None,
        };
        check_pool("pve/data", status, &expect).err().map(|refusal| refusal.to_string())
    }

    #[test]
    fn each_purpose_asks_more() {
        let suspect = status(10, "ro discard_passdown queue_if_no_space needs_check 1024");
        assert_eq!(says(&suspect, Purpose::Activation), None);
        assert!(says(&suspect, Purpose::Change).unwrap().contains("needs its metadata checked"));
        let fixed = status(10, "ro discard_passdown queue_if_no_space - 1024");
        assert!(says(&fixed, Purpose::Change).unwrap().contains("is read-only"));
        let full = status(10, "out_of_data_space discard_passdown queue_if_no_space - 1024");
        assert_eq!(says(&full, Purpose::Change), None);
        assert!(says(&full, ONE).unwrap().contains("is full"));
        assert_eq!(says(&status(10, WORKS), ONE), None);
    }

    /// Of 2048 blocks a quarter is kept: 1536 may be used, by a batch as by single volumes.
    #[test]
    fn a_batch_needs_room_in_the_metadata_for_all_of_it() {
        for (used, empty, snapshots, room) in [
            (1500, 1, 0, true),
            (1534, 1, 0, true),
            (1535, 1, 0, false),
            (1000, 500, 0, true),
            (1000, 520, 0, false),
            (1000, 0, 1000, true),
            (1535, 0, 1, true),
            (1520, 0, 1000, false),
        ] {
            let said = says(&status(used, WORKS), Purpose::NewVolumes { empty, snapshots });
            assert_eq!(said.is_none(), room, "{used} used, {empty} empty, {snapshots} snapshots: {said:?}");
        }
        let all = Purpose::NewVolumes { empty: u64::MAX, snapshots: u64::MAX };
        let said = says(&status(1000, WORKS), all).unwrap();
        assert!(said.contains("new volumes would take the last of it"), "{said}");
    }
}
