use super::{
    CHUNK, Crash, DISK, Errno, Kernel, PoolMode, PoolParams, SimKernel, Suspend, Table, TargetLine,
    UdevEvent, activate_pool, create, id, linear, make, message, name, pool_machine, pool_params,
    pool_status, remove, resume, sectors, suspend, thin,
};

fn read(kernel: &SimKernel, device: &str, sector: u64) -> u64 {
    kernel.read(&name(device), sectors(sector)).unwrap()
}

fn write(kernel: &SimKernel, device: &str, sector: u64, value: u64) {
    kernel.write(&name(device), sectors(sector), value).unwrap();
}

#[test]
fn a_snapshot_keeps_what_its_origin_held() {
    let (kernel, pool) = pool_machine();
    message(&kernel, "create_thin 1").unwrap();
    thin(&kernel, "t1", pool, 1);
    write(&kernel, "t1", 5, 10);
    write(&kernel, "t1", 6, 11);
    suspend(&kernel, "t1");
    message(&kernel, "create_snap 2 1").unwrap();
    resume(&kernel, "t1").unwrap();
    thin(&kernel, "s", pool, 2);
    write(&kernel, "t1", 5, 20);
    write(&kernel, "s", 6, 30);
    assert_eq!((read(&kernel, "t1", 5), read(&kernel, "t1", 6)), (20, 11));
    assert_eq!((read(&kernel, "s", 5), read(&kernel, "s", 6)), (10, 30));
    kernel.flush(&name("s")).unwrap();
    // Both copied the chunk, so the one they shared is free again after the commit.
    assert_eq!(pool_status(&kernel).data.used, 2);
    assert_eq!(kernel.violations(), []);
}

#[test]
fn a_crash_takes_mappings_that_no_commit_covered() {
    let (kernel, pool) = pool_machine();
    message(&kernel, "create_thin 1").unwrap();
    thin(&kernel, "t1", pool, 1);
    write(&kernel, "t1", 0, 1);
    kernel.flush(&name("t1")).unwrap();
    write(&kernel, "t1", CHUNK, 2);
    for (how, expected) in [(Crash::LoseUncommitted, 0), (Crash::KeepUncommitted, 2)] {
        let machine = kernel.clone();
        machine.crash(how);
        let pool = activate_pool(&machine);
        thin(&machine, "t1", pool, 1);
        assert_eq!((read(&machine, "t1", 0), read(&machine, "t1", CHUNK)), (1, expected), "{how:?}");
    }
}

#[test]
fn a_full_pool_fails_writes_until_something_is_freed() {
    let (kernel, pool) = pool_machine();
    for thin_id in [1, 2, 3] {
        message(&kernel, &format!("create_thin {thin_id}")).unwrap();
        thin(&kernel, &format!("t{thin_id}"), pool, thin_id);
    }
    for chunk in 0..8 {
        write(&kernel, "t1", chunk * CHUNK, 1);
        write(&kernel, "t2", chunk * CHUNK, 1);
    }
    assert_eq!(kernel.write(&name("t3"), sectors(0), 1), Err(Errno::ENOSPC));
    assert_eq!(pool_status(&kernel).mode, PoolMode::OutOfDataSpace);
    write(&kernel, "t1", 0, 7);
    remove(&kernel, "t2").unwrap();
    message(&kernel, "delete 2").unwrap();
    assert_eq!(pool_status(&kernel).mode, PoolMode::ReadWrite);
    write(&kernel, "t3", 0, 1);
}

#[test]
fn new_chunks_are_zeroed_unless_the_pool_is_told_not_to() {
    let (kernel, pool) = pool_machine();
    message(&kernel, "create_thin 1").unwrap();
    thin(&kernel, "t1", pool, 1);
    write(&kernel, "t1", 1, 42);
    remove(&kernel, "t1").unwrap();
    message(&kernel, "delete 1").unwrap();
    for (skip, expected) in [(false, 0), (true, 42)] {
        let kernel = kernel.clone();
        let dev = |device: &str| kernel.info(&name(device)).unwrap().unwrap().dev;
        let params = PoolParams { skip_block_zeroing: skip, ..pool_params(dev("tmeta"), dev("tdata")) };
        let line = TargetLine::thin_pool(sectors(16 * CHUNK), &params);
        kernel.load(&name("tpool"), &Table::single(line), false).unwrap();
        kernel.resume(&name("tpool"), UdevEvent::default()).unwrap();
        message(&kernel, "create_thin 2").unwrap();
        thin(&kernel, "t2", pool, 2);
        write(&kernel, "t2", 0, 1);
        assert_eq!(read(&kernel, "t2", 1), expected, "skip_block_zeroing: {skip}");
    }
}

#[test]
fn an_external_origin_shows_through_until_it_is_written_over() {
    let (kernel, pool) = pool_machine();
    let origin = linear(&kernel, "origin", 100_000, CHUNK + 10);
    write(&kernel, "origin", 3, 33);
    write(&kernel, "origin", CHUNK, 44);
    message(&kernel, "create_thin 1").unwrap();
    make(&kernel, "t1", TargetLine::thin(sectors(4 * CHUNK), pool, id(1), Some(origin)));
    assert_eq!(
        (read(&kernel, "t1", 3), read(&kernel, "t1", CHUNK), read(&kernel, "t1", 2 * CHUNK)),
        (33, 44, 0)
    );
    write(&kernel, "t1", 4, 1);
    write(&kernel, "origin", 3, 99);
    assert_eq!((read(&kernel, "t1", 3), read(&kernel, "t1", 4)), (33, 1), "copied at the first write");
}

#[test]
fn io_to_suspended_and_read_only_devices_does_not_happen() {
    let (kernel, pool) = pool_machine();
    message(&kernel, "create_thin 1").unwrap();
    create(&kernel, "t1");
    let table = Table::single(TargetLine::thin(sectors(CHUNK), pool, id(1), None));
    kernel.load(&name("t1"), &table, true).unwrap();
    resume(&kernel, "t1").unwrap();
    assert_eq!(kernel.write(&name("t1"), sectors(0), 1), Err(Errno::EPERM));
    kernel.suspend(&name("tdata"), Suspend::HoldBack).unwrap();
    assert_eq!(kernel.read(&name("t1"), sectors(0)), Ok(0), "nothing is mapped");
    assert_eq!(kernel.read(&name("tdata"), sectors(0)), Err(Errno::EAGAIN));
    assert_eq!(kernel.violations().len(), 2, "the read, and the device that is still suspended");
}

#[test]
fn zeroing_the_start_of_the_metadata_forgets_the_pool() {
    let (kernel, _) = pool_machine();
    message(&kernel, "create_thin 1").unwrap();
    remove(&kernel, "tpool").unwrap();
    write(&kernel, "tmeta", 0, 0);
    assert_eq!(kernel.metadata_on_disk(DISK, sectors(0)), None);
    for device in ["tmeta", "tdata"] {
        remove(&kernel, device).unwrap();
    }
    activate_pool(&kernel);
    message(&kernel, "create_thin 1").unwrap();
}

#[test]
fn stripes_take_turns() {
    let kernel = super::machine();
    let stripe = |offset| crate::table::LinearParams { device: DISK, offset: sectors(offset) };
    let params =
        crate::table::StripedParams { chunk_size: sectors(8), stripes: vec![stripe(0), stripe(1000)] };
    make(&kernel, "s", TargetLine::striped(sectors(0), sectors(64), &params));
    for (sector, place) in [(0, 0), (7, 7), (8, 1000), (16, 8), (25, 1009)] {
        write(&kernel, "s", sector, sector + 1);
        assert_eq!(kernel.read_disk(DISK, sectors(place)), sector + 1);
    }
    let (_, status) = kernel.status(&name("s"), super::StatusFlush::NoFlush).unwrap();
    assert_eq!(status[0].params, "2 8:0 8:0 1 AA");
}
