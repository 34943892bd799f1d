use super::*;
use base::ids::{LvmUuid, ThinId, TransactionId};

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
