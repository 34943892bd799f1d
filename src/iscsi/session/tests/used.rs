//! Sessions with disks that somebody uses, or that do not come.

use std::time::Duration;

use super::kernel::{FakeLun, Fault};
use super::{Machine, dies, spec};
use crate::host::limit::{Limit, Limits};
use crate::host::registry::Phase;
use crate::host::sysfs;
use crate::protocol::interface::message::SessionId;
use crate::session::attach::{AttachedSession, LunSelection, log_in, rescan};
use crate::session::diskless::WhyDiskless;
use crate::session::error::SessionError;
use crate::session::establish::SessionOutcome;
use crate::session::lun_set::LunSet;
use crate::session::sweep::sweep;
use base::error_kind::ErrorKind;
use sys::calls::{Becomes, Seen, judged};

const TWO: [FakeLun; 2] = [
    FakeLun { number: 0, disk: Some("sda"), qualifier: 0 },
    FakeLun { number: 1, disk: Some("sdb"), qualifier: 0 },
];

impl Machine {
    fn with_luns(luns: &[FakeLun]) -> Self {
        let machine = Self::new();
        machine.kernel.show_luns(luns);
        machine
    }

    fn log_in_with(&self, set: Option<LunSet>, allowed: Duration) -> Result<AttachedSession, SessionError> {
        log_in(&self.env(), &spec(), &LunSelection { set, wwid: None }, &Limits::from(&Limit::new(allowed)))
    }

    /// udev keeps records, and has one of these disks, by the numbers of their LUNs.
    fn udev_is_done_with(&self, luns: &[u64]) {
        let folder = self.folder.path().join("run/udev/data");
        std::fs::create_dir_all(&folder).unwrap();
        for lun in luns {
            std::fs::write(folder.join(format!("b4000:{lun}")), "").unwrap();
        }
    }

    fn set_used(&self, disk: &str, used: bool) {
        let path = self.folder.path().join("dev").join(format!("{disk}.used"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if used { std::fs::write(path, "") } else { std::fs::remove_file(path) }.unwrap();
    }
}

const LONG: Duration = Duration::from_secs(60);
/// Not so short that a busy machine needs it for the login itself.
const SHORT: Duration = Duration::from_secs(3);

#[test]
fn a_login_that_fails_keeps_a_session_whose_disk_is_in_use() {
    // None is ready in time, and one is in use all the same.
    let machine = Machine::with_luns(&TWO);
    machine.udev_is_done_with(&[]);
    machine.set_used("sda", true);
    let ready = machine.log_in_with(Some(LunSet::All), SHORT).unwrap();
    assert_eq!((machine.kernel.sessions(), ready.outcome), (vec![1], SessionOutcome::LoggedIn));
    assert!(matches!(ready.missing[0], SessionError::Diskless { lun: 0, .. }), "{:?}", ready.missing);
    assert!(matches!(ready.missing[1], SessionError::InUse { lun: 0, .. }), "{:?}", ready.missing);
    let record = machine.record();
    assert_eq!((record.phase, record.only), (Phase::Up, None));
    assert_eq!(record.luns.len(), 2, "it is known which disks they are");
    assert!(sweep(&machine.env()).unwrap().is_empty());

    // A LUN that is not there, while the other one is in use.
    let machine = Machine::with_luns(&TWO);
    machine.set_used("sdb", true);
    let ready = machine.log_in_with(Some(LunSet::Only([1, 7].into())), LONG).unwrap();
    assert_eq!(machine.kernel.sessions(), [1]);
    assert!(matches!(ready.missing[0], SessionError::NoLun { lun: 7, .. }), "{:?}", ready.missing);
}

#[test]
fn a_login_that_fails_ends_a_session_that_nobody_uses() {
    let machine = Machine::with_luns(&TWO);
    machine.udev_is_done_with(&[]);
    let error = machine.log_in_with(Some(LunSet::All), SHORT).unwrap_err();
    assert!(error.to_string().contains("udev's work on /dev/sda did not come to an end"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Busy);
    machine.assert_clean("nothing is ready");
}

#[test]
fn a_login_that_is_interrupted_is_undone_unless_a_disk_is_in_use() {
    for used in [false, true] {
        let machine = Machine::with_luns(&TWO);
        machine.udev_is_done_with(&[0]);
        if used {
            machine.set_used("sda", true);
        }
        let limit = Limit::new(LONG);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(SHORT);
                limit.call_off();
            });
            let luns = LunSelection { set: Some(LunSet::All), wwid: None };
            let outcome = log_in(&machine.env(), &spec(), &luns, &Limits::from(&limit));
            match (used, outcome) {
                (true, Ok(ready)) => assert!(ready.missing[0].to_string().contains("interrupted")),
                (false, Err(error)) => {
                    assert!(error.to_string().contains("interrupted"), "{error}");
                    machine.assert_clean("it was interrupted");
                }
                (used, outcome) => panic!("used: {used}, {outcome:?}"),
            }
        });
    }
}

#[test]
fn luns_that_are_ready_serve_and_those_that_are_late_are_told() {
    let machine = Machine::with_luns(&TWO);
    machine.udev_is_done_with(&[0]);
    let ready = machine.log_in_with(Some(LunSet::All), SHORT).unwrap();
    assert_eq!(ready.attached.luns.len(), 1);
    let [SessionError::Diskless { lun: 1, why: WhyDiskless::Unfinished { .. }, .. }] = &ready.missing[..]
    else {
        panic!("{:?}", ready.missing)
    };
    // Later it is there.
    machine.udev_is_done_with(&[1]);
    let env = machine.env();
    let session = sysfs::session(&env.roots, SessionId(1)).unwrap();
    let ready = rescan(&env, &session, &Limit::new(LONG)).unwrap();
    assert_eq!((ready.attached.luns.len(), ready.missing.len()), (2, 0));
}

#[test]
fn a_lun_that_is_not_connected_is_not_waited_for() {
    let not_connected = FakeLun { number: 1, disk: None, qualifier: 1 };
    let machine = Machine::with_luns(&[TWO[0], not_connected]);
    let ready = machine.log_in_with(Some(LunSet::All), LONG).unwrap();
    assert_eq!((ready.attached.luns.len(), ready.missing.len()), (1, 0));
    assert_eq!(ready.attached.diskless[0].why, WhyDiskless::NotConnected);
    // Asked for by its number, it is missing; alone, there is nothing to serve.
    let machine = Machine::with_luns(&[TWO[0], not_connected]);
    let ready = machine.log_in_with(Some(LunSet::Only([0, 1].into())), LONG).unwrap();
    assert_eq!((ready.attached.luns.len(), ready.missing.len()), (1, 1));
    let machine = Machine::with_luns(&[TWO[0], not_connected]);
    let error = machine.log_in_with(Some(LunSet::Only([1].into())), LONG).unwrap_err();
    assert!(error.to_string().contains("not connected at present"), "{error}");
    machine.assert_clean("the only LUN has no disk");
}

/// A logout dies, and then somebody begins to use a disk: the claims died with it.
#[test]
fn a_logout_that_died_is_not_finished_while_a_disk_is_in_use() {
    for number in 1.. {
        let machine = Machine::with_luns(&TWO);
        machine.log_in_with(Some(LunSet::All), LONG).unwrap();
        machine.kernel.set_fault(Some(Fault::DiesBefore(number)));
        let died = dies(|| drop(machine.log_out()));
        machine.kernel.set_fault(None);
        if !died {
            break;
        }
        assert_eq!(machine.record().phase, Phase::Leaving);
        machine.set_used("sdb", true);
        let swept = sweep(&machine.env()).unwrap();
        assert!(swept[0].kept.as_deref().is_some_and(|why| why.contains("/dev/sdb")), "{swept:?}");
        assert_eq!((machine.kernel.sessions(), machine.record().phase), (vec![1], Phase::Up));
        assert!(matches!(machine.log_out(), Err(SessionError::InUse { lun: 1, .. })));
        // Also where a LUN is gone already; and when nobody uses any, it ends.
        machine.kernel.remove_lun(1, 0);
        machine
            .env()
            .registry
            .put(&crate::host::registry::Record { phase: Phase::Leaving, ..machine.record() })
            .unwrap();
        sweep(&machine.env()).unwrap();
        assert_eq!(machine.kernel.sessions(), [1]);
        machine.set_used("sdb", false);
        machine.log_out().unwrap();
        machine.assert_clean("nobody uses a disk");
    }
}

/// What the page cache holds of a disk is written back while its device is there. Only the system call shows that.
#[test]
fn a_logout_writes_back_what_was_written_before_the_devices_go() {
    let machine = Machine::with_luns(&TWO);
    machine.log_in_with(Some(LunSet::All), LONG).unwrap();
    let dev = machine.folder.path().join("dev");
    std::fs::create_dir_all(&dev).unwrap();
    let nodes = ["sda", "sdb"].map(|disk| dev.join(disk));
    nodes.iter().for_each(|node| std::fs::write(node, "").unwrap());
    let written = std::sync::Mutex::new(Vec::new());
    let judge = |call: &Seen| {
        let whole = |lun: u64| {
            let asked = std::fs::read_to_string(machine.kernel.lun_folder(1, lun).join("delete"));
            asked.is_ok_and(|asked| asked.is_empty())
        };
        assert!(whole(0) && whole(1), "a device is gone already");
        let node = std::fs::read_link(format!("/proc/self/fd/{}", call.args[0])).unwrap();
        written.lock().unwrap().push(node);
        Becomes::Done
    };
    judged(&[libc::SYS_fsync, libc::SYS_fdatasync], judge, || machine.log_out().unwrap());
    assert_eq!(written.into_inner().unwrap(), nodes);
    machine.assert_clean("after the logout");
}
