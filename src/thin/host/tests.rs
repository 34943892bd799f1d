use nix::libc;

use super::*;
use base::ids::{LvmUuid, ThinId, TransactionId, VgName};
use lvm2::host::lock::Locks;
use sys::calls::{Becomes, Seen, judged, seen};

fn host(dir: &Path, program: &str) -> LinuxHost {
    let executable = Some(PathBuf::from(program));
    LinuxHost::new(dir, CheckPolicy { executable, options: Vec::new(), limit: Duration::from_millis(50) })
}

fn pool(number: u8) -> PoolId {
    PoolId { vg: LvmUuid::from_random([1; 32]), lv: LvmUuid::from_random([number; 32]) }
}

#[test]
fn marks_are_made_seen_and_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(&dir.path().join("sub"), "true");
    let pool = pool(7);
    assert!(!host.is_clean(&pool));
    host.mark_dirty(&pool, None).unwrap();
    host.mark_clean(&pool).unwrap();
    assert!(host.is_clean(&pool));
    let copy = PoolId { vg: LvmUuid::from_random([8; 32]), ..pool };
    assert!(!host.is_clean(&copy), "a copy of the group has pools of the same uuid");
    assert!(!host.is_reading(&pool), "one mark is not the other");
    host.mark_reading(&pool).unwrap();
    assert!(host.is_reading(&pool));
    host.mark_read(&pool).unwrap();
    host.mark_dirty(&pool, None).unwrap();
    assert!(!host.is_clean(&pool) && !host.is_reading(&pool));
}

#[test]
fn a_mark_of_another_boot_or_a_part_of_one_is_none() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("sub");
    let host = host(&folder, "true");
    let pool = pool(7);
    host.mark_clean(&pool).unwrap();
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    for other in ["", "00000000-0000-0000-0000-000000000000"] {
        fs::write(host.mark(CLEAN, &pool), other).unwrap();
        assert!(!host.is_clean(&pool), "'{other}'");
    }
    host.mark_clean(&pool).unwrap();
    assert!(host.is_clean(&pool));
}

#[test]
fn what_is_being_made_is_recorded_until_the_pool_is_clean_or_something_else_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(&dir.path().join("sub"), "true");
    let pool = pool(7);
    let making = |id| Making {
        vg: LvmUuid::from_random([8; 32]),
        at: TransactionId(3),
        ids: vec![ThinId::new(id).unwrap()],
    };
    assert_eq!(host.being_made(&pool), None);
    for id in [1, 2] {
        host.mark_dirty(&pool, Some(&making(id))).unwrap();
        assert_eq!(host.being_made(&pool), Some(making(id)));
    }
    host.mark_dirty(&pool, None).unwrap();
    assert_eq!(host.being_made(&pool), None);
    host.mark_dirty(&pool, Some(&making(3))).unwrap();
    host.mark_clean(&pool).unwrap();
    assert_eq!(host.being_made(&pool), None);
    assert!(host.is_clean(&pool));
    let other_boot = format!("00000000-0000-0000-0000-000000000000\n{}", making(4));
    fs::write(host.mark(MAKING, &pool), other_boot).unwrap();
    assert_eq!(host.being_made(&pool), None);
}

#[test]
fn a_mark_that_cannot_be_removed_stops_the_change() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(host(&file, "true").mark_dirty(&pool(7), None).is_err());
}

/// Two origins' devices, guarded by a process that cannot resume any, for `limit` at most: what is done with the guard,
/// and the calls that lock memory, none of which is carried out, as names of what is locked.
fn guarded(limit: Duration, work: impl FnOnce(&mut dyn Guard) + Send) -> Vec<&'static str> {
    let calls = std::sync::Mutex::new(Vec::new());
    let judge = |call: &Seen| {
        calls.lock().unwrap().push(match (call.number, i32::try_from(call.args[0]).unwrap_or_default()) {
            (libc::SYS_munlockall, _) => "unlocked",
            (_, libc::MCL_CURRENT) => "the guard's",
            (_, what) if what == libc::MCL_CURRENT | libc::MCL_FUTURE => "ours",
            _ => "something else",
        });
        Becomes::Skipped
    };
    judged(&[libc::SYS_mlockall, libc::SYS_munlockall], judge, || {
        let dir = tempfile::tempdir().unwrap();
        let host = LinuxHost { control: "/dev/null", freeze_limit: limit, ..host(dir.path(), "true") };
        let lock = Locks::new(dir.path(), Duration::ZERO).vg_for_write(&VgName::new("pve").unwrap()).unwrap();
        let devices = ["a", "b"].map(|name| DmName::new(name).unwrap());
        let mut guard = host.guard(&devices, &lock).unwrap();
        work(guard.as_mut());
        guard.disarm();
    });
    calls.into_inner().unwrap()
}

#[test]
fn memory_is_locked_as_long_as_a_window_is_guarded() {
    let locked = guarded(Duration::from_secs(3600), |guard| {
        guard.start_clock();
        assert_eq!(guard.hold(), Ok(()), "its time is not over");
    });
    assert_eq!(locked, ["ours", "the guard's", "unlocked"]);
}

#[test]
fn the_time_to_suspend_all_is_counted_from_the_first_and_told_when_it_is_over() {
    let limit = Duration::from_millis(20);
    let pause = || std::thread::sleep(25 * limit);
    guarded(limit, |guard| {
        pause();
        assert_eq!(guard.hold(), Ok(()), "nothing is suspended yet");
    });
    guarded(limit, |guard| {
        guard.start_clock();
        pause();
        assert_eq!(guard.hold(), Err(limit));
    });
    assert_eq!(host(Path::new("/nonexistent"), "true").freeze_limit, FREEZE_LIMIT);
}

/// What was zeroed is to be so after a power failure, too: nothing but the system call shows that.
#[test]
fn a_device_that_is_held_alone_is_synced_by_the_kernel() {
    let held = Held(tempfile::tempfile().unwrap());
    let (done, calls) = seen(&[libc::SYS_fsync], || held.sync());
    assert_eq!((done, calls.len()), (Ok(()), 1));
    let failed = judged(&[libc::SYS_fsync], |_| Becomes::Failed(Errno::EIO), || held.sync());
    assert_eq!(failed, Err(Errno::EIO));
}
