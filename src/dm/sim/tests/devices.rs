use super::{
    DISK, DmName, DmUuid, Errno, Kernel, Suspend, Table, TargetLine, UdevEvent, Uevent, create, errno,
    linear, machine, name, remove, resume, sectors,
};

fn load(kernel: &super::SimKernel, device: &str, line: TargetLine) -> Result<(), super::DmError> {
    kernel.load(&name(device), &Table::single(line), false)
}

#[test]
fn names_and_uuids_are_unique_and_absence_is_enxio() {
    let kernel = machine();
    create(&kernel, "a");
    let other = DmUuid::new("LVM-x").unwrap();
    assert_eq!(errno(kernel.create(&name("a"), &other, None)), Errno::EBUSY);
    assert_eq!(errno(kernel.create(&name("b"), &DmUuid::new("LVM-a").unwrap(), None)), Errno::EBUSY);
    assert_eq!(kernel.info(&name("b")), Ok(None));
    let gone: DmName = name("gone");
    assert_eq!(errno(kernel.remove(&gone, UdevEvent::default())), Errno::ENXIO);
    assert_eq!(errno(kernel.suspend(&gone, Suspend::HoldBack)), Errno::ENXIO);
    assert_eq!(errno(kernel.message(&gone, "x")), Errno::ENXIO);
    assert_eq!(errno(kernel.rename(&gone, &name("c"), UdevEvent::default())), Errno::ENXIO);
    assert_eq!(errno(kernel.rename(&gone, &name("a"), UdevEvent::default())), Errno::EBUSY);
}

#[test]
fn numbers_are_unique_and_have_an_end() {
    let kernel = machine();
    let uuid = |text: &str| DmUuid::new(text).unwrap();
    assert_eq!(errno(kernel.create(&name("a"), &uuid("LVM-a"), Some(1 << 20))), Errno::EINVAL);
    assert_eq!(kernel.create(&name("a"), &uuid("LVM-a"), Some(77)).unwrap().minor, 77);
    assert_eq!(errno(kernel.create(&name("b"), &uuid("LVM-b"), Some(77))), Errno::EBUSY);
    assert_eq!(kernel.info(&name("b")), Ok(None));
}

#[test]
fn tables_wait_for_a_resume_and_too_short_devices_show_only_then() {
    let kernel = machine();
    create(&kernel, "a");
    load(&kernel, "a", TargetLine::linear(sectors(0), sectors(100), DISK, sectors(8))).unwrap();
    let info = kernel.info(&name("a")).unwrap().unwrap();
    assert!(info.inactive_table && !info.live_table && !info.suspended);
    assert_eq!(resume(&kernel, "a"), Ok(Uevent::Sent));
    assert_eq!(resume(&kernel, "a"), Ok(Uevent::NotSent));
    assert_eq!(kernel.table(&name("a")).unwrap()[0].params, "8:0 8");

    load(&kernel, "a", TargetLine::linear(sectors(0), sectors(1 << 21), DISK, sectors(0))).unwrap();
    assert_eq!(errno(resume(&kernel, "a")), Errno::EINVAL);
    let info = kernel.info(&name("a")).unwrap().unwrap();
    assert!(info.suspended && info.live_table && !info.inactive_table, "the old table stays, suspended");
    assert_eq!(resume(&kernel, "a"), Ok(Uevent::Sent));
    assert_eq!(kernel.table(&name("a")).unwrap()[0].length, sectors(100));
}

#[test]
fn bad_tables_are_refused() {
    let kernel = machine();
    let a = create(&kernel, "a");
    let ghost = super::DevNo { major: 253, minor: 99 };
    let line = |device| TargetLine::linear(sectors(0), sectors(8), device, sectors(0));
    assert_eq!(errno(load(&kernel, "a", line(ghost))), Errno::ENXIO);
    assert_eq!(errno(load(&kernel, "a", line(a))), Errno::ENXIO, "itself, before it was announced");
    assert_eq!(errno(kernel.load(&name("a"), &Table(vec![]), false)), Errno::EINVAL);
    let gap = Table(vec![line(DISK), TargetLine { start: sectors(9), ..line(DISK) }]);
    assert_eq!(errno(kernel.load(&name("a"), &gap, false)), Errno::EINVAL);
    let unknown = TargetLine { target: "nothing".into(), ..line(DISK) };
    assert_eq!(errno(load(&kernel, "a", unknown)), Errno::EINVAL);
    assert_eq!(remove(&kernel, "a"), Ok(Uevent::NotSent), "no table was ever taken");
    create(&kernel, "a");
    assert_eq!(
        errno(resume(&kernel, "a").and_then(|_| {
            kernel.suspend(&name("a"), Suspend::HoldBack).unwrap();
            resume(&kernel, "a")
        })),
        Errno::EINVAL,
        "suspended without a table"
    );
}

#[test]
fn both_slots_hold_what_they_refer_to_open() {
    let kernel = machine();
    let base = linear(&kernel, "base", 0, 64);
    create(&kernel, "top");
    let open = || kernel.info(&name("base")).unwrap().unwrap().open_count;
    load(&kernel, "top", TargetLine::linear(sectors(0), sectors(8), base, sectors(0))).unwrap();
    assert_eq!((open(), errno(remove(&kernel, "base"))), (1, Errno::EBUSY));
    resume(&kernel, "top").unwrap();
    load(&kernel, "top", TargetLine::linear(sectors(0), sectors(16), base, sectors(0))).unwrap();
    assert_eq!(open(), 1, "one opener, however many of its tables");
    let table = Table::single(TargetLine::linear(sectors(0), sectors(16), base, sectors(0)));
    kernel.load(&name("top"), &table, true).unwrap();
    assert_eq!(open(), 2, "a table in another mode opens it once more");
    kernel.clear(&name("top")).unwrap();
    assert_eq!(open(), 1);
    kernel.open(&name("top")).unwrap();
    assert_eq!(errno(remove(&kernel, "top")), Errno::EBUSY);
    kernel.close(&name("top")).unwrap();
    remove(&kernel, "top").unwrap();
    assert_eq!(open(), 0);
    assert_eq!(kernel.deps(&name("base")), Ok(vec![DISK]));
}
