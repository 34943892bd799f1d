//! A failure at every ioctl, every write and every flush of a change: the change is either taken back whole, or
//! reported as unfinished and completed by recovery. Nothing stays suspended, nobody is lied to.

use std::collections::BTreeSet;

use base::error_chain::in_words;
use base::error_kind::ErrorKind;
use base::units::Sectors;
use dm::kernel::Kernel as _;
use dm::sim::{Fault, FaultKind, When};
use dm_tests::world::asks::{SECTORS, Start, activate, activate_anyway, create, discard, remove, snapshot};
use dm_tests::world::changes::{
    Change, across_pools, activations, alterations, altering_batches, batches, creates, on_two_disks, pools,
    removals, removed_pools, snapshots, written,
};
use dm_tests::world::lines::Work;
use dm_tests::world::machine::{disk_number, pvs};
use dm_tests::world::place::metadata_place;
use dm_tests::world::rest::{Expect, at_rest, devices_match, names_group, unharmed};
use dm_tests::world::text::{POOL, PV_SECTORS};
use dm_tests::world::{World, device, lv, tpool};
use lvm2::format::model::PoolMessage;
use nix::errno::Errno;
use sys::io::mem::disk::Logged;
use sys::io::mem::fault::{self, Effect, Operation};

/// How a change went that something failed in.
#[derive(Default)]
struct Tally {
    done: usize,
    taken_back: usize,
    unfinished: usize,
    bad: Vec<String>,
}

struct Case<'a> {
    name: &'a str,
    world: World,
    work: &'a dyn Work,
    old: Expect,
    new: Expect,
    devices: BTreeSet<String>,
}

fn devices(world: &World) -> BTreeSet<String> {
    let listed = world.machine.kernel.list().expect("the list can be had");
    listed.into_iter().map(|device| device.name.to_string()).collect()
}

impl<'a> Case<'a> {
    fn new<W: Work>((name, start, work): &'a (&'static str, Start, W), pvs: usize) -> Self {
        let world = start.world(pvs);
        let whole = world.fork();
        work.run(&whole).unwrap_or_else(|error| panic!("{name}: {}", in_words(&error)));
        let (old, new) = (Expect::of(&world).expect("at rest"), Expect::of(&whole).expect("at rest"));
        let devices = devices(&world);
        world.machine.kernel.clear_log();
        Self { name, world, work, old, new, devices }
    }

    /// How many ioctls, and what writes and flushes, the change makes when nothing fails.
    fn cost(&self) -> (usize, Vec<(usize, Operation, usize)>) {
        let fork = self.world.fork();
        fork.machine.kernel.clear_log();
        self.work.run(&fork).expect("it ran before");
        let mut disk_faults = Vec::new();
        for (place, disk) in fork.machine.disks.iter().enumerate() {
            let log = disk.log();
            let writes = log.iter().filter(|(_, logged)| matches!(logged, Logged::Write { .. })).count();
            disk_faults.extend((0..writes).map(|nth| (place, Operation::Write, nth)));
            disk_faults.extend((0..log.len() - writes).map(|nth| (place, Operation::Flush, nth)));
        }
        (fork.machine.kernel.log().len(), disk_faults)
    }

    /// Runs the change on `fork`, where something fails, and judges. `precise`: a failure means that nothing happened.
    fn judge(&self, fork: &World, precise: bool, tally: &mut Tally) -> Result<(), String> {
        let result = self.work.run(fork);
        fork.machine.kernel.revive();
        fork.machine.disks.iter().for_each(|disk| disk.heal());
        unharmed(fork)?;
        if let Some(error) = result.as_ref().err().filter(|error| !names_group(error)) {
            return Err(format!("which group it is about is not said: {}", in_words(error)));
        }
        let undone = match &result {
            Ok(_) => false,
            Err(error) => error.kind() != ErrorKind::Partial,
        };
        if undone && precise {
            at_rest(fork)?;
            if devices(fork) != self.devices {
                return Err(format!("{:?} are active instead of {:?}", devices(fork), self.devices));
            }
            devices_match(fork)?;
        }
        fork.recover().map_err(|error| format!("recovery: {}", in_words(&error)))?;
        at_rest(fork)?;
        devices_match(fork)?;
        if fork.machine.kernel.held_devices(&tpool()).is_ok() {
            return Err("a metadata snapshot stays after recovery".into());
        }
        let now = Expect::of(fork)?;
        match &result {
            Ok(_) if now == self.new => tally.done += 1,
            Err(_) if undone && now == self.old => tally.taken_back += 1,
            Err(_) if !undone && (now == self.old || now == self.new) => tally.unfinished += 1,
            Ok(_) => return Err("it says done, but it is not".into()),
            Err(error) => {
                let names: Vec<&str> = now.volumes.keys().map(base::ids::LvName::as_str).collect();
                return Err(format!(
                    "'{}', but the volumes are {names:?}, {:?}",
                    in_words(error),
                    now.contents
                ));
            }
        }
        if fork.metadata().vg.lv(&lv(POOL)).is_none() {
            return Ok(());
        }
        fork.run(&[create("next", false)]).map_err(|error| format!("next change: {}", in_words(&error)))?;
        at_rest(fork).map(|_| ())
    }

    fn note(&self, tally: &mut Tally, at: &str, verdict: Result<(), String>) {
        if let Err(why) = verdict {
            tally.bad.push(format!("{}, {at}: {why}", self.name));
        }
    }
}

fn report(what: &str, tally: &Tally) {
    let Tally { done, taken_back, unfinished, bad } = tally;
    println!(
        "{what}: {done} done all the same, {taken_back} taken back, {unfinished} unfinished and completed"
    );
    assert!(bad.is_empty(), "{} failures, such as\n{}", bad.len(), bad[..bad.len().min(12)].join("\n"));
}

fn every_ioctl<W: Work>(changes: &[(&'static str, Start, W)]) {
    let cases: Vec<Case<'_>> = changes.iter().map(|change| Case::new(change, 1)).collect();
    every_ioctl_of(&cases);
}

fn every_ioctl_of(cases: &[Case<'_>]) {
    let mut tally = Tally::default();
    for case in cases {
        for nth in 1..=case.cost().0 {
            for when in [When::Before, When::After] {
                let fork = case.world.fork();
                let kind = FaultKind::Errno(Errno::EIO);
                fork.machine.kernel.inject(Fault { verb: None, nth, when, kind });
                let verdict = case.judge(&fork, when == When::Before, &mut tally);
                let log = fork.machine.kernel.log();
                let failed = log.get(nth - 1).map(ToString::to_string).unwrap_or_default();
                case.note(&mut tally, &format!("{when:?} '{failed}'"), verdict);
            }
        }
    }
    report("failed ioctls", &tally);
}

#[test]
fn every_change_from_its_line_on_with_a_failing_ioctl() {
    every_ioctl(&written());
}

#[test]
fn creates_with_a_failing_ioctl() {
    every_ioctl(&creates());
}

#[test]
fn snapshots_with_a_failing_ioctl() {
    every_ioctl(&snapshots());
}

#[test]
fn removals_with_a_failing_ioctl() {
    every_ioctl(&removals());
}

#[test]
fn activations_with_a_failing_ioctl() {
    every_ioctl(&activations());
}

#[test]
fn batches_with_a_failing_ioctl() {
    every_ioctl(&batches());
}

#[test]
fn alterations_with_a_failing_ioctl() {
    every_ioctl(&alterations());
}

#[test]
fn changes_of_pools_with_a_failing_ioctl() {
    every_ioctl(&pools());
    every_ioctl(&removed_pools());
}

#[test]
fn altering_batches_with_a_failing_ioctl() {
    every_ioctl(&altering_batches());
}

#[test]
fn changes_of_two_pools_with_a_failing_ioctl() {
    every_ioctl(&across_pools());
}

/// After a change that did not run through, the devices in a running pool are looked at before the next one, by a
/// metadata snapshot; after a reader that was killed, its snapshot is released first. That can fail, too.
#[test]
fn changes_that_look_into_the_pool_first_with_a_failing_ioctl() {
    let changes: Vec<Change> =
        [creates(), snapshots(), removals(), alterations()].into_iter().flatten().collect();
    let unclean = |case: &Case<'_>| case.world.machine.host.set(|host| host.clean.clear());
    let killed_reader = |case: &Case<'_>| {
        unclean(case);
        let vg = case.world.metadata().vg;
        let pools: Vec<_> = vg.pools().map(|(lv, _)| vg.pool_id(lv)).collect();
        case.world.machine.host.set(|host| host.reading.extend(pools));
        // A stopped pool has none.
        let _ = case.world.machine.kernel.message(&tpool(), "reserve_metadata_snap");
    };
    let prepare: [&dyn Fn(&Case<'_>); 2] = [&unclean, &killed_reader];
    for prepare in prepare {
        let cases: Vec<Case<'_>> = changes.iter().map(|change| Case::new(change, 1)).collect();
        cases.iter().for_each(prepare);
        let sent = |case: &Case<'_>| {
            let fork = case.world.fork();
            fork.machine.kernel.clear_log();
            case.work.run(&fork).expect("it ran before");
            let log: Vec<String> = fork.machine.kernel.log().iter().map(ToString::to_string).collect();
            log.iter().filter(|call| call.contains("release_metadata_snap")).count()
        };
        let releases: usize = cases.iter().map(sent).sum();
        assert!(releases >= 10, "the changes release {releases} metadata snapshots");
        every_ioctl_of(&cases);
    }
}

fn every_write(changes: &[Change], pvs: usize) {
    let mut tally = Tally::default();
    for change in changes {
        let case = Case::new(change, pvs);
        for (disk, operation, after) in case.cost().1 {
            for (lasting, effect) in
                [(false, Effect::Nothing), (false, Effect::Everything), (true, Effect::Nothing)]
            {
                let fork = case.world.fork();
                fork.machine.disks[disk].inject(fault::Fault { operation, after, lasting, effect });
                let verdict = case.judge(&fork, true, &mut tally);
                let at = format!("{operation:?} {after} of disk {disk}, lasting {lasting}, {effect:?}");
                case.note(&mut tally, &at, verdict);
            }
        }
    }
    report("failed writes and flushes", &tally);
}

#[test]
fn changes_with_a_failing_disk() {
    let changes: Vec<Change> =
        [creates(), snapshots(), removals(), batches(), alterations(), altering_batches(), pools()]
            .into_iter()
            .flatten()
            .collect();
    every_write(&changes, 1);
}

#[test]
fn changes_with_one_failing_disk_of_two() {
    every_write(&on_two_disks(), 2);
}

/// The kernel throws away the error of the commit behind a message, drops what the message did and goes read-only. What
/// the text names then must be there, or be asked for by a message that is still pending.
#[test]
fn commits_that_the_kernel_swallows() {
    let mut failed = 0;
    let changes = [creates(), snapshots(), removals(), batches(), alterations(), altering_batches(), pools()];
    for change in changes.iter().flatten() {
        let case = Case::new(change, 1);
        for swallow in 1..20 {
            let mut fork = case.world.fork();
            fork.swallow = swallow;
            let Err(error) = case.work.run(&fork) else { continue };
            failed += 1;
            fork.swallow = 0;
            let at = format!("{}, message {swallow}, {}", case.name, in_words(&error));
            unharmed(&fork).unwrap_or_else(|why| panic!("{at}: {why}"));
            let vg = fork.metadata().vg;
            let (pool_lv, pool) = vg.pools().next().unwrap();
            let (disk, sector) = metadata_place(&vg, pool, &pvs(1)).unwrap();
            let (kernel, devices) = fork.machine.kernel.metadata_on_disk(disk, sector).unwrap_or_default();
            let text = pool.transaction_id.0;
            assert!(kernel == text || kernel + 1 == text, "{at}: kernel {kernel}, text {text}");
            for (volume, thin) in vg.thins_of(&pool_lv.name) {
                let pending = pool.messages.contains(&PoolMessage::Create(volume.name.clone()));
                assert!(
                    devices.contains_key(&thin.device_id) || pending && kernel < text,
                    "{at}: nothing is behind {}",
                    volume.name
                );
            }
        }
    }
    assert!(failed > 50, "only {failed} changes noticed");
    println!("swallowed commits: {failed}");
}

/// What is committed is committed: only the device is missing, and the words say so.
#[test]
fn an_activation_that_fails_after_the_last_commit_is_only_that() {
    let world = Start::Used.world(1);
    let whole = world.fork();
    whole.run(&[create("n", true)]).unwrap();
    let load = |call: &str| call.starts_with("load pve-n");
    let log: Vec<String> = whole.machine.kernel.log().iter().map(ToString::to_string).collect();
    let nth = log.iter().position(|call| load(call)).unwrap() + 1;
    let kind = FaultKind::Errno(Errno::ENOMEM);
    world.machine.kernel.inject(Fault { verb: None, nth, when: When::Before, kind });
    let error = world.run(&[create("n", true)]).unwrap_err();
    let words = in_words(&error);
    assert_eq!(error.kind(), ErrorKind::Partial);
    assert!(words.contains("the change is made and stays") && words.contains("activate pve-n"), "{words}");
    assert!(error.hint().unwrap().contains("thinvol activate"), "{:?}", error.hint());
    world.machine.kernel.revive();
    assert!(at_rest(&world).unwrap().lv(&lv("n")).is_some());
    world.run(&[activate("n")]).unwrap();
    assert!(world.exists(&device("n")));
}

/// A device that cannot be given its table is removed again; if that fails too, the user hears of it, and recovery
/// removes it.
#[test]
fn a_device_left_without_a_table_is_told_of_and_removed_later() {
    let world = Start::Used.world(1);
    let whole = world.fork();
    whole.run(&[activate("b")]).unwrap();
    let log: Vec<String> = whole.machine.kernel.log().iter().map(ToString::to_string).collect();
    let nth = log.iter().position(|call| call.starts_with("load pve-b")).unwrap() + 1;
    for at in [nth, nth + 1] {
        let kind = FaultKind::Errno(Errno::ENOMEM);
        world.machine.kernel.inject(Fault { verb: None, nth: at, when: When::Before, kind });
    }
    let error = world.run(&[activate("b")]).unwrap_err();
    assert!(
        error.aside().warnings.iter().any(|warning| warning.contains("pve-b was left without a table")),
        "{:?}",
        error.aside()
    );
    world.machine.kernel.revive();
    let repair = world.recover().unwrap();
    assert!(
        repair.recovered.iter().any(|found| found.contains("pve-b has no table")),
        "{:?}",
        repair.recovered
    );
    assert!(!world.exists(&device("b")));
}

/// One origin is slow to suspend: nothing was changed, nothing stays suspended, and a retry may work.
#[test]
fn origins_that_are_slow_to_suspend_do_not_wait_for_each_other() {
    let world = Start::Used.world(1);
    world.run(&[activate("b")]).unwrap();
    let requests = [snapshot("a", "n"), snapshot("b", "m")];
    let seqno = world.metadata().vg.seqno;
    world.machine.host.set(|host| host.is_slow = true);
    let error = world.run(&requests).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(in_words(&error).contains("suspended within 20 s"), "{}", in_words(&error));
    unharmed(&world).unwrap();
    assert_eq!(at_rest(&world).unwrap().seqno, seqno);
    assert_eq!(world.machine.kernel.suspended(), Vec::new());
    // One origin alone makes nobody else wait.
    world.run(&requests[..1]).unwrap();
    world.machine.host.set(|host| host.is_slow = false);
    world.run(&requests[1..]).unwrap();
}

/// From the first piece on that the kernel was given to discard, no failure says that nothing was changed: the volumes
/// are all there, and those that were emptied are named. Before it, nothing has changed.
#[test]
fn what_was_discarded_before_a_failure_is_named() {
    let requests = [discard("a"), discard("s"), discard("b"), remove("a"), remove("s"), remove("b")];
    let world = Start::Used.world(1);
    let whole = world.fork();
    whole.run(&requests).unwrap();
    let calls: Vec<String> = whole.machine.kernel.log().iter().map(ToString::to_string).collect();
    let (mut before, mut after) = (0, 0);
    for nth in 1..=calls.len() {
        let fork = world.fork();
        let kind = FaultKind::Errno(Errno::ENOMEM);
        fork.machine.kernel.inject(Fault { verb: None, nth, when: When::Before, kind });
        let Err(error) = fork.run(&requests) else { continue };
        fork.machine.kernel.revive();
        unharmed(&fork).unwrap();
        let (words, at) = (in_words(&error), &calls[nth - 1]);
        let holds = |volume: &str| {
            fork.run(&[activate_anyway(volume)]).unwrap();
            let read = fork.read_active(&[lv(volume)], &SECTORS);
            read[&lv(volume)].iter().any(|value| *value != 0)
        };
        if fork.metadata().vg.lv(&lv("a")).is_none() {
            assert_eq!(error.kind(), ErrorKind::Partial, "{at}: {words}");
            continue;
        }
        fork.recover().unwrap();
        let emptied: Vec<&str> = ["a", "b", "s"].into_iter().filter(|volume| !holds(volume)).collect();
        if emptied.is_empty() {
            before += 1;
            assert_ne!(error.kind(), ErrorKind::Partial, "{at}: {words}");
            continue;
        }
        after += 1;
        assert_eq!(error.kind(), ErrorKind::Partial, "{at}: {words}");
        for volume in emptied {
            assert!(words.contains(&format!("{volume} (all 8 MiB)")), "{at}: {words}");
        }
    }
    assert!(before > 3 && after > 3, "{before} failures before, {after} after the first discard");
}

/// A chunk that two volumes share is given back by the last of them, so all are discarded before any is deleted.
#[test]
fn chunks_shared_by_what_goes_are_given_back() {
    let world = Start::Used.world(1);
    let held = || {
        (0..PV_SECTORS).filter(|at| world.machine.kernel.read_disk(disk_number(0), Sectors::new(*at)) != 0)
    };
    let before: BTreeSet<u64> = held().collect();
    world.run(&[discard("a"), discard("s"), discard("b"), remove("a"), remove("s"), remove("b")]).unwrap();
    let after: BTreeSet<u64> = held().collect();
    // What is written to them is not zero: two chunks of a, one of them shared with s, and one of b.
    assert!(before.len() >= 4 && after.is_empty(), "{before:?} before, {after:?} after");
}
