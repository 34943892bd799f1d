use super::{
    CHUNK, Crash, DISK, DevNo, Errno, Kernel, PoolMode, Table, TargetLine, UdevEvent, Violation,
    activate_pool, create, errno, id, machine, make, message, name, pool_machine, pool_params, pool_status,
    remove, resume, sectors, suspend, thin,
};

#[test]
fn messages_answer_with_the_kernels_errnos() {
    let (kernel, pool) = pool_machine();
    message(&kernel, "create_thin 1").unwrap();
    thin(&kernel, "t1", pool, 1);
    let cases = [
        ("create_thin 1", Errno::EEXIST),
        ("create_thin 16777216", Errno::EINVAL),
        ("create_thin", Errno::EINVAL),
        ("create_snap 2 9", Errno::ENODATA),
        ("create_snap 1 9", Errno::EEXIST),
        ("delete 9", Errno::ENODATA),
        ("delete 1", Errno::EBUSY),
        ("set_transaction_id 5 6", Errno::EINVAL),
        ("release_metadata_snap", Errno::EINVAL),
        ("no_such_message", Errno::EINVAL),
        ("", Errno::EINVAL),
    ];
    for (text, expected) in cases {
        assert_eq!(errno(message(&kernel, text)), expected, "{text}");
    }
    assert_eq!(errno(kernel.message(&name("t1"), "create_thin 3")), Errno::EINVAL, "not a pool");
    message(&kernel, "CREATE_THIN 3").unwrap();
    message(&kernel, "reserve_metadata_snap").unwrap();
    assert_eq!(errno(message(&kernel, "reserve_metadata_snap")), Errno::EBUSY);
    assert!(pool_status(&kernel).held_metadata_root.is_some());
    message(&kernel, "release_metadata_snap").unwrap();
    message(&kernel, "set_transaction_id 0 7").unwrap();
    assert_eq!(pool_status(&kernel).transaction_id.0, 7);
}

#[test]
fn loading_a_thin_device_checks_pool_and_id() {
    let (kernel, pool) = pool_machine();
    create(&kernel, "t");
    let load = |pool: DevNo| {
        let line = TargetLine::thin(sectors(CHUNK), pool, id(1), None);
        kernel.load(&name("t"), &Table::single(line), false)
    };
    assert_eq!(errno(load(pool)), Errno::ENODATA);
    let data = kernel.info(&name("tdata")).unwrap().unwrap().dev;
    assert_eq!(errno(load(data)), Errno::EINVAL, "not a pool");
    message(&kernel, "create_thin 1").unwrap();
    suspend(&kernel, "tpool");
    assert_eq!(errno(load(pool)), Errno::EINVAL, "the pool is suspended");
    resume(&kernel, "tpool").unwrap();
    load(pool).unwrap();
    assert_eq!(errno(message(&kernel, "delete 1")), Errno::EBUSY, "the inactive table has it open");
    assert_eq!(kernel.violations(), []);
}

#[test]
fn a_pools_table_is_checked_against_pools_and_metadata_that_exist() {
    let (kernel, _) = pool_machine();
    let dev = |device: &str| kernel.info(&name(device)).unwrap().unwrap().dev;
    let (metadata, data) = (dev("tmeta"), dev("tdata"));
    create(&kernel, "other");
    let load = |device: &str, params| {
        let line = TargetLine::thin_pool(sectors(16 * CHUNK), &params);
        kernel.load(&name(device), &Table::single(line), false)
    };
    let good = pool_params(metadata, data);
    assert_eq!(errno(load("other", good)), Errno::EBUSY, "another pool has this metadata");
    assert_eq!(errno(load("tpool", pool_params(data, metadata))), Errno::EINVAL, "another pool altogether");
    assert_eq!(errno(load("other", pool_params(data, data))), Errno::EINVAL);
    let odd = super::PoolParams { chunk_size: sectors(100), ..good };
    assert_eq!(errno(load("tpool", odd)), Errno::EINVAL);
    let line = TargetLine::linear(sectors(0), sectors(8), DISK, sectors(0));
    assert_eq!(
        errno(kernel.load(&name("tpool"), &Table::single(line), false)),
        Errno::EINVAL,
        "for ever a pool"
    );
    let line = TargetLine::thin_pool(sectors(16 * CHUNK), &good);
    assert_eq!(errno(kernel.load(&name("tpool"), &Table::single(line), true)), Errno::EINVAL, "read-only");

    remove(&kernel, "tpool").unwrap();
    let larger = super::PoolParams { chunk_size: sectors(2 * CHUNK), ..good };
    assert_eq!(errno(load("other", larger)), Errno::EINVAL, "another chunk size than on disk");
    load("other", good).unwrap();
    resume(&kernel, "other").unwrap();
    let shorter = TargetLine::thin_pool(sectors(8 * CHUNK), &good);
    kernel.load(&name("other"), &Table::single(shorter), false).unwrap();
    assert_eq!(errno(resume(&kernel, "other")), Errno::EINVAL, "smaller than on disk");
    assert!(kernel.info(&name("other")).unwrap().unwrap().suspended);
}

#[test]
fn a_pool_is_found_again_after_removal_and_after_a_crash() {
    let (kernel, _) = pool_machine();
    message(&kernel, "create_thin 1").unwrap();
    message(&kernel, "set_transaction_id 0 1").unwrap();
    for device in ["tpool", "tdata", "tmeta"] {
        remove(&kernel, device).unwrap();
    }
    activate_pool(&kernel);
    assert_eq!(pool_status(&kernel).transaction_id.0, 1);
    kernel.crash(Crash::LoseUncommitted);
    assert_eq!(kernel.list(), Ok(vec![]));
    let on_disk = kernel.metadata_on_disk(DISK, sectors(0)).unwrap();
    assert_eq!((on_disk.0, on_disk.1.len()), (1, 1));
    activate_pool(&kernel);
    assert_eq!(errno(message(&kernel, "create_thin 1")), Errno::EEXIST);
}

#[test]
fn snapshots_step_the_pools_time_and_a_live_origin_is_a_violation() {
    let (kernel, pool) = pool_machine();
    message(&kernel, "create_thin 1").unwrap();
    message(&kernel, "set_transaction_id 0 4").unwrap();
    let t1 = thin(&kernel, "t1", pool, 1);
    suspend(&kernel, "t1");
    message(&kernel, "create_snap 2 1").unwrap();
    resume(&kernel, "t1").unwrap();
    assert_eq!(kernel.violations(), []);
    let devices = kernel.thin_devices(&name("tpool")).unwrap();
    let details = |thin| {
        let d = devices[&id(thin)];
        (d.transaction_id, d.creation_time, d.snapshotted_time)
    };
    assert_eq!((details(1), details(2)), ((0, 0, 1), (4, 1, 1)));
    message(&kernel, "create_snap 3 1").unwrap();
    let expected = Violation::SnapshotOfLiveOrigin { device: name("t1"), origin: id(1) };
    assert_eq!(kernel.violations(), [expected]);
    assert_eq!(t1.major, super::super::DM_MAJOR);
}

#[test]
fn a_failed_commit_is_swallowed_and_leaves_the_pool_read_only() {
    let (kernel, _) = pool_machine();
    message(&kernel, "create_thin 1").unwrap();
    kernel.fail_commits(&name("tpool"), 1).unwrap();
    assert_eq!(message(&kernel, "create_thin 2"), Ok(()), "the kernel says nothing");
    let status = pool_status(&kernel);
    assert!(status.needs_check);
    assert_eq!(status.mode, PoolMode::ReadOnly);
    assert_eq!(errno(message(&kernel, "create_thin 3")), Errno::EOPNOTSUPP);
    assert_eq!(kernel.thin_devices(&name("tpool")).unwrap().len(), 1, "device 2 was never committed");
    suspend(&kernel, "tpool");
    resume(&kernel, "tpool").unwrap();
    assert_eq!(pool_status(&kernel).mode, PoolMode::ReadOnly, "until it is checked");
}

#[test]
fn lines_read_as_the_kernel_writes_them() {
    let kernel = machine();
    activate_pool(&kernel);
    let table = kernel.table(&name("tpool")).unwrap();
    assert_eq!(
        table[0].to_string(),
        "0 2048 thin-pool 253:0 253:1 128 0 2 no_discard_passdown error_if_no_space "
    );
    let (_, status) = kernel.status(&name("tpool"), super::StatusFlush::Flush).unwrap();
    assert_eq!(status[0].params, "0 111/1024 0/16 - rw no_discard_passdown error_if_no_space - 256 ");
    kernel.fail_pool(&name("tpool")).unwrap();
    let (_, status) = kernel.status(&name("tpool"), super::StatusFlush::Flush).unwrap();
    assert_eq!(status[0].params, "Fail");
}

#[test]
fn a_thin_device_of_a_suspended_pool_cannot_be_suspended_or_resumed() {
    let (kernel, pool) = pool_machine();
    message(&kernel, "create_thin 1").unwrap();
    thin(&kernel, "t1", pool, 1);
    suspend(&kernel, "tpool");
    let held = kernel.suspend(&name("t1"), super::Suspend::HoldBack);
    assert_eq!(errno(held), Errno::EINTR);
    assert!(kernel.violations().contains(&Violation::WaitsForPool { device: name("t1") }));
    kernel.resume(&name("tpool"), UdevEvent::default()).unwrap();
    suspend(&kernel, "t1");
    assert_eq!(kernel.violations().len(), 2, "that, and a device that is suspended");
    make(&kernel, "plain", TargetLine::linear(sectors(0), sectors(8), DISK, sectors(0)));
    kernel.waits_for("a lock");
    assert!(kernel.violations().iter().any(|v| matches!(v, Violation::WaitWhileSuspended { .. })));
}

#[test]
fn a_commit_onto_suspended_metadata_is_a_violation() {
    let (kernel, _) = pool_machine();
    suspend(&kernel, "tpool");
    suspend(&kernel, "tmeta");
    resume(&kernel, "tmeta").unwrap();
    resume(&kernel, "tpool").unwrap();
    assert_eq!(kernel.violations(), [], "the order in which nothing waits");
    suspend(&kernel, "tmeta");
    message(&kernel, "create_thin 1").unwrap();
    resume(&kernel, "tmeta").unwrap();
    assert_eq!(kernel.violations(), [Violation::IoToSuspended { device: name("tmeta") }]);
}
