//! What other processes leave in devices that a change suspends and resumes: waiting tables, suspended layers, names of
//! before a rename, guards of dead processes.

use std::cell::Cell;

use base::error_chain::in_words;
use base::error_kind::ErrorKind;
use base::units::Sectors;
use dm::kernel::{Kernel, Suspend, UdevEvent};
use dm::name::{DmName, DmUuid, Layer};
use dm::sim::{Fault, FaultKind, SimKernel, When};
use dm::table::Table;
use dm_tests::world::asks::{Start, activate, create, snapshot};
use dm_tests::world::text::POOL;
use dm_tests::world::{World, device, lv, tpool};
use lvm2::host::lock::VgLock;
use sys::signals::SignalsHeldOff;
use thin::internals::request::Request;
use thin::internals::session::Session;
use thin::internals::suspended_window::{SuspendError, with_suspended};

#[path = "window/beneath.rs"]
mod beneath;
#[path = "window/mismatch.rs"]
mod mismatch;
#[path = "window/signals.rs"]
mod signals;
#[path = "window/strays.rs"]
mod strays;
#[path = "window/watched.rs"]
mod watched;

fn used() -> World {
    Start::Used.world(1)
}

fn kernel(world: &World) -> &SimKernel {
    &world.machine.kernel
}

fn length(world: &World, name: &str) -> u64 {
    let table = kernel(world).table(&device(name)).expect("the kernel answers");
    table.iter().map(|line| line.length.get()).sum()
}

/// A table with which a killed `lvextend` made the device longer than the text says.
fn leave_longer_table(world: &World, name: &str) {
    let mut table = kernel(world).table(&device(name)).expect("the kernel answers");
    table[0].length = Sectors::new(table[0].length.get() * 2);
    kernel(world).load(&device(name), &Table(table), false).expect("the kernel answers");
}

fn waits(world: &World, name: &str) -> bool {
    kernel(world).info(&device(name)).expect("the kernel answers").expect("it is there").inactive_table
}

/// Opens a window by itself, as the executor does: with signals held off.
fn frozen(
    session: &Session<'_>,
    lock: &VgLock,
    devices: &[DmName],
    work: impl FnOnce(),
) -> Result<(), SuspendError> {
    let _signals = SignalsHeldOff::new().expect("the system holds signals off");
    with_suspended(session.kernel, session.host, lock, (devices, Suspend::Flush), work).map(|_| ())
}

#[test]
fn a_snapshot_puts_no_waiting_table_in_place() {
    let world = used();
    let before = length(&world, "a");
    leave_longer_table(&world, "a");
    let ran = world.run(&[snapshot("a", "n")]).unwrap();
    assert_eq!(length(&world, "a"), before, "the device is longer than the text");
    assert!(!waits(&world, "a"));
    assert!(ran.recovered.iter().any(|found| found.contains("never put in place")), "{:?}", ran.recovered);
    assert_eq!(kernel(&world).violations(), []);
}

#[test]
fn a_waiting_table_that_cannot_be_mended_refuses_the_snapshot() {
    let world = used();
    // A live table that is not the text's: which of all counts, nobody can tell here.
    let mut table = kernel(&world).table(&device("a")).unwrap();
    let pool = table[0].params.clone();
    table[0].params = pool.replace(" 1", " 2");
    kernel(&world).load(&device("a"), &Table(table.clone()), false).unwrap();
    kernel(&world).resume(&device("a"), UdevEvent(0)).unwrap();
    kernel(&world).load(&device("a"), &Table(table), false).unwrap();
    let error = world.run(&[snapshot("a", "n")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{}", in_words(&error));
    assert!(in_words(&error).contains("a table waits in the device of pve/a"), "{}", in_words(&error));
    assert!(waits(&world, "a"));
    assert!(kernel(&world).suspended().is_empty());
}

/// The resume after a suspend that failed is for a device that is suspended all the same, and for no other.
#[test]
fn a_failed_suspend_leaves_a_waiting_table_where_it_is() {
    for when in [When::Before, When::After] {
        let world = used();
        let before = length(&world, "a");
        let outcome = world.session(|session, lock| {
            leave_longer_table(&world, "a");
            let fault = Fault {
                verb: Some(dm::kernel::Verb::Suspend),
                nth: 1,
                when,
                kind: FaultKind::Errno(nix::errno::Errno::EIO),
            };
            kernel(&world).inject(fault);
            let devices = [device("a")];
            Ok(frozen(session, lock, &devices, || ()))
        });
        assert!(matches!(outcome.unwrap(), Err(SuspendError::Suspend(_))));
        assert_eq!(length(&world, "a"), before);
        assert!(kernel(&world).suspended().is_empty());
    }
}

#[test]
fn a_table_that_comes_to_wait_in_the_window_is_dropped() {
    let world = used();
    let before = length(&world, "a");
    let outcome = world.session(|session, lock| {
        let devices = [device("a")];
        let work = || leave_longer_table(&world, "a");
        Ok(frozen(session, lock, &devices, work))
    });
    assert!(matches!(outcome.unwrap(), Err(SuspendError::Waiting { .. })));
    assert_eq!(length(&world, "a"), before);
    assert!(!waits(&world, "a") && kernel(&world).suspended().is_empty());
}

/// The guard of a dead process that thaws an origin before or during the messages is found out.
#[test]
fn an_origin_that_goes_on_meanwhile_is_an_error() {
    for thawed_before in [true, false] {
        let world = used();
        world.run(&[activate("b")]).unwrap();
        let worked = Cell::new(false);
        let outcome = world.session(|session, lock| {
            world.machine.host.set(|host| host.thaws = thawed_before.then(|| device("a")));
            let devices = [device("a"), device("b")];
            let work = || {
                worked.set(true);
                kernel(&world).resume(&device("a"), UdevEvent(0)).unwrap();
            };
            Ok(frozen(session, lock, &devices, work))
        });
        assert!(
            matches!(outcome.unwrap(), Err(SuspendError::Thawed { device: thawed }) if thawed == device("a"))
        );
        assert_eq!(worked.get(), !thawed_before);
        assert!(kernel(&world).suspended().is_empty());
    }
}

/// The messages of such a window are taken back.
#[test]
fn what_was_made_of_an_origin_that_went_on_is_taken_back() {
    let mut world = used();
    world.thaw = Some(device("a"));
    let before = kernel(&world).thin_devices(&tpool()).unwrap().len();
    let error = world.run(&[snapshot("a", "n")]).unwrap_err();
    assert!(in_words(&error).contains("went on meanwhile"), "{}", in_words(&error));
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(kernel(&world).thin_devices(&tpool()).unwrap().len(), before);
    assert!(world.metadata().vg.lv(&lv("n")).is_none());
}

/// A file system that is frozen already is suspended without being frozen again.
#[test]
fn a_frozen_file_system_is_left_so() {
    let world = used();
    let fault = Fault {
        verb: Some(dm::kernel::Verb::Suspend),
        nth: 1,
        when: When::Before,
        kind: FaultKind::Errno(nix::errno::Errno::EBUSY),
    };
    kernel(&world).inject(fault);
    let ran = world.run(&[snapshot("a", "n")]).unwrap();
    assert!(ran.warnings.iter().any(|warning| warning.contains("was frozen already")));
    let log: Vec<String> = kernel(&world).log().iter().map(ToString::to_string).collect();
    assert!(log.iter().any(|call| call.starts_with("suspend pve-a flush, nolockfs")), "{log:?}");
}

fn suspend(world: &World, name: &DmName) {
    kernel(world).suspend(name, Suspend::HoldBack).expect("the kernel answers");
}

/// Layers that no volume's own uuid accounts for are resumed, too, and each after those below it.
#[test]
fn suspended_layers_are_resumed_from_below() {
    let world = used();
    let [tmeta, tdata] = ["data_tmeta", "data_tdata"].map(device);
    // A part of a volume of a kind that thinvol does not know, with a leg below it.
    let [top, leg] = ["x", "x_leg"].map(device);
    let vg = world.metadata().vg.id.compact().to_owned();
    for (name, uuid, on) in [(&leg, "1", None), (&top, "2", Some(&leg))] {
        let uuid = DmUuid::new(&format!("LVM-{vg}{}{uuid}-cow", "x".repeat(31))).unwrap();
        let below =
            on.map_or_else(|| "8:0".into(), |on| kernel(&world).info(on).unwrap().unwrap().dev.to_string());
        kernel(&world).create(name, &uuid, None).unwrap();
        let line = dm::table::TargetLine {
            start: Sectors::ZERO,
            length: Sectors::new(8),
            target: "linear".into(),
            params: format!("{below} 0"),
        };
        kernel(&world).load(name, &Table(vec![line]), false).unwrap();
        kernel(&world).resume(name, UdevEvent(0)).unwrap();
    }
    for name in [&device("a"), &tpool(), &tmeta, &tdata, &top, &leg] {
        suspend(&world, name);
    }
    kernel(&world).clear_log();
    let repair = world.recover().unwrap();
    assert!(kernel(&world).suspended().is_empty(), "{:?}", repair.warnings);
    let log: Vec<String> = kernel(&world).log().iter().map(ToString::to_string).collect();
    let place = |name: &DmName| log.iter().position(|call| *call == format!("resume {name}")).unwrap();
    assert!(place(&tmeta) < place(&tpool()) && place(&tdata) < place(&tpool()));
    assert!(place(&tpool()) < place(&device("a")) && place(&leg) < place(&top), "{log:?}");
    assert_eq!(kernel(&world).violations(), []);
}

/// What stands on a device that is not ours and is suspended would wait for it, with the lock held.
#[test]
fn what_stands_on_a_foreign_suspended_device_is_left() {
    let world = used();
    let vg = world.metadata().vg.id.compact().to_owned();
    let [top, foreign] = ["pve-top", "crypt"].map(|name| DmName::new(name).unwrap());
    for (name, uuid, below) in [
        (&foreign, "CRYPT-1".to_owned(), "8:0".to_owned()),
        (&top, format!("LVM-{vg}{}-cow", "x".repeat(32)), String::new()),
    ] {
        kernel(&world).create(name, &DmUuid::new(&uuid).unwrap(), None).unwrap();
        let below = match kernel(&world).info(&foreign) {
            Ok(Some(info)) if below.is_empty() => info.dev.to_string(),
            _ => below,
        };
        let line = dm::table::TargetLine {
            start: Sectors::ZERO,
            length: Sectors::new(8),
            target: "linear".into(),
            params: format!("{below} 0"),
        };
        kernel(&world).load(name, &Table(vec![line]), false).unwrap();
        kernel(&world).resume(name, UdevEvent(0)).unwrap();
    }
    suspend(&world, &top);
    suspend(&world, &foreign);
    let repair = world.recover().unwrap();
    assert_eq!(kernel(&world).suspended(), [foreign.clone(), top.clone()]);
    assert!(
        repair.warnings.iter().any(|left| left.contains("it stands on crypt, which is suspended")),
        "{:?}",
        repair.warnings
    );
    // With the foreign one awake it goes on.
    kernel(&world).resume(&foreign, UdevEvent(0)).unwrap();
    world.recover().unwrap();
    assert!(kernel(&world).suspended().is_empty());
}

/// A suspended layer with a table waiting: whether that one counts, thinvol cannot tell of what it does not build.
#[test]
fn a_waiting_table_of_an_unknown_layer_is_left_to_lvm2() {
    let world = used();
    let vg = world.metadata().vg.id.compact().to_owned();
    let name = DmName::new("pve-x-cow").unwrap();
    kernel(&world)
        .create(&name, &DmUuid::new(&format!("LVM-{vg}{}-cow", "x".repeat(32))).unwrap(), None)
        .unwrap();
    let line = |at: u64| dm::table::TargetLine {
        start: Sectors::ZERO,
        length: Sectors::new(8),
        target: "linear".into(),
        params: format!("8:0 {at}"),
    };
    kernel(&world).load(&name, &Table(vec![line(0)]), false).unwrap();
    kernel(&world).resume(&name, UdevEvent(0)).unwrap();
    kernel(&world).load(&name, &Table(vec![line(8)]), false).unwrap();
    suspend(&world, &name);
    let repair = world.recover().unwrap();
    assert_eq!(kernel(&world).table(&name).unwrap(), [line(0)]);
    assert!(repair.warnings.iter().any(|left| left.contains("lvchange --refresh")), "{:?}", repair.warnings);
}

/// A pool, or the whole group, that was renamed by a command killed before it renamed the devices.
#[test]
fn devices_with_names_of_before_get_those_of_the_text() {
    let world = used();
    let old = |name: &str| DmName::new(&name.replace("pve-", "old-")).unwrap();
    let names: Vec<DmName> = kernel(&world).list().unwrap().into_iter().map(|listed| listed.name).collect();
    for name in &names {
        kernel(&world).rename(name, &old(name.as_str()), UdevEvent(0)).unwrap();
    }
    let [mended, changed, let_go] = [world.fork(), world.fork(), world.fork()];
    let listed = |world: &World| -> Vec<DmName> {
        kernel(world).list().unwrap().into_iter().map(|listed| listed.name).collect()
    };
    let repair = mended.recover().unwrap();
    assert_eq!(listed(&mended), names, "{:?}", repair.warnings);
    // A change finds the pool under its old name, and mends it with all that belongs to it.
    changed.run(&[create("n", false)]).unwrap();
    assert!(changed.exists(&tpool()) && changed.exists(&device("data_tmeta")));
    let_go.run(&[Request::DeactivateAll]).unwrap();
    assert_eq!(listed(&let_go), [], "what has an old name was not let go");
}

/// A name that another device has cannot be given; the devices are found by their uuid all the same.
#[test]
fn a_pool_whose_name_is_taken_is_let_go_under_the_name_it_has() {
    let world = used();
    let aside = DmName::new("pve-was-tpool").unwrap();
    kernel(&world).rename(&tpool(), &aside, UdevEvent(0)).unwrap();
    kernel(&world).create(&tpool(), &DmUuid::new("somebody's").unwrap(), None).unwrap();
    let ran = world.run(&[Request::DeactivateAll]).unwrap();
    assert!(ran.warnings.iter().any(|left| left.contains("which another device is")), "{:?}", ran.warnings);
    assert!(!world.exists(&aside), "it is still there");
    let uuid =
        DmUuid::of_lv(&world.metadata().vg.id, &world.metadata().vg.lv(&lv(POOL)).unwrap().id, Layer::Tpool);
    assert_eq!(kernel(&world).info_by_uuid(&uuid).unwrap(), None);
}

/// A volume that goes between the look and its status is shown as inactive.
#[test]
fn a_volume_that_goes_meanwhile_is_shown_as_inactive() {
    use thin::Detail;
    use thin::internals::observe::Scope;
    use thin::internals::view::view;
    let world = used();
    let shown = world.session(|session, _| {
        let observed = session.look(&Scope::all(false).without_inventory())?;
        kernel(&world).remove(&device("a"), UdevEvent(0)).unwrap();
        let vg = &session.metadata.vg;
        Ok(view(vg, &observed, session.kernel, Detail::Volumes, Vec::new(), Vec::new()))
    });
    let shown = shown.unwrap().unwrap();
    let a = shown.volumes.iter().find(|volume| volume.name == lv("a")).unwrap();
    assert!(!a.active && a.mapped.is_none() && a.dev.is_none() && a.open_count == 0);
}

#[test]
fn a_pool_that_goes_meanwhile_is_not_active() {
    let world = used();
    world.run(&[Request::DeactivateAll]).unwrap();
    world.run(&[activate("a")]).unwrap();
    let listed = kernel(&world).list().unwrap();
    world.run(&[Request::DeactivateAll]).unwrap();
    let repair = world.session(|session, _| {
        session.listed.set(Some(listed.clone()));
        session.pending(&thin::internals::observe::Scope::all(false).without_inventory())
    });
    assert!(repair.unwrap().plan.steps.is_empty());
}

/// A device of a hidden volume, alone and read-only, as a killed `lvconvert --repair` leaves it.
fn leave_part(world: &World, part: &str, layer: Layer) -> DmName {
    let vg = world.metadata().vg;
    let uuid = DmUuid::of_lv(&vg.id, &vg.lv(&lv(part)).expect("it is in the text").id, layer);
    let name = device(part);
    let line = dm::table::TargetLine {
        start: Sectors::ZERO,
        length: Sectors::new(8192),
        target: "linear".into(),
        params: "8:0 8192".into(),
    };
    kernel(world).create(&name, &uuid, None).expect("the kernel answers");
    kernel(world).load(&name, &Table(vec![line]), true).expect("the kernel answers");
    kernel(world).resume(&name, UdevEvent(0)).expect("the kernel answers");
    name
}

#[test]
fn the_spare_of_a_killed_repair_goes_with_the_group_once_nobody_reads_it() {
    let world = used();
    let spare = leave_part(&world, "lvol0_pmspare", Layer::Plain);
    kernel(&world).open(&spare).unwrap();
    let ran = world.run(&[Request::DeactivateAll]).unwrap();
    assert!(world.exists(&spare));
    let left: Vec<&str> = ran.plan.left.iter().map(|left| left.message.as_str()).collect();
    assert!(matches!(left.as_slice(), [told] if told.contains("1 devices") && told.contains(spare.as_str())));
    kernel(&world).close(&spare).unwrap();
    let ran = world.run(&[Request::DeactivateAll]).unwrap();
    assert!(ran.plan.left.is_empty(), "{:?}", ran.plan.left);
    assert!(!world.exists(&spare));
}

/// The metadata, read-only, with the wrong extents: a pool over it would have been another one.
#[test]
fn a_pool_is_not_started_over_parts_of_it_that_were_left_active() {
    let world = used();
    world.run(&[Request::DeactivateAll]).unwrap();
    let tmeta = leave_part(&world, "data_tmeta", Layer::Tmeta);
    kernel(&world).open(&tmeta).unwrap();
    for request in [activate("a"), create("n", true)] {
        let error = world.run(&[request]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{}", in_words(&error));
        assert!(in_words(&error).contains("pve-data_tmeta is active and in use"), "{}", in_words(&error));
    }
    let ran = world.run(&[Request::ActivateAll { auto: false }]).unwrap();
    assert!(!world.exists(&tpool()));
    assert!(ran.plan.left.iter().any(|left| left.message.contains("in use")), "{:?}", ran.plan.left);
    kernel(&world).close(&tmeta).unwrap();
    world.run(&[activate("a")]).unwrap();
    let tmeta = kernel(&world).info(&tmeta).unwrap().unwrap();
    assert!(!tmeta.read_only && world.exists(&device("a")));
    dm_tests::world::rest::devices_match(&world).unwrap();
    assert_eq!(kernel(&world).violations(), []);
}

/// A lock file that somebody deleted is no lock: another may have one of the same name.
#[test]
fn a_plan_is_not_run_without_its_lock() {
    let world = used();
    let before = world.metadata().to_disk();
    let error = world.session(|session, lock| {
        let plan = session.plan(&[create("n", true)])?;
        kernel(&world).clear_log();
        std::fs::remove_file(lock.path()).expect("it is there");
        session.execute(&plan, lock)
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(kernel(&world).log(), [], "something was done before it was noticed");
    assert_eq!(world.metadata().to_disk(), before);
    // Nor by a lock of another group, nor by one that is given back.
    let error = world.session(|session, lock| {
        let mut plan = session.plan(&[create("n", true)])?;
        plan.vg = base::ids::VgName::new("other").expect("a name");
        session.execute(&plan, lock)
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Busy);
    let error = world.session(|session, lock| {
        let plan = session.plan(&[create("n", true)])?;
        lock.release();
        session.execute(&plan, lock)
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(world.metadata().to_disk(), before);
}
