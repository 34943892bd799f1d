use std::fs;
use std::time::{Duration, Instant};

use super::{Endangered, ResumeGuard};

/// A control node that refuses every ioctl: enough to see the child come and go.
const NO_CONTROL: &str = "/dev/null";

/// No test takes as long.
const LONG: Duration = Duration::from_secs(3600);

fn devices() -> [Endangered<'static>; 2] {
    [Endangered { name: "a", event_nr: 0 }, Endangered { name: "b", event_nr: 0x60_0000 }]
}

fn state(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit(')').next()?.trim_start().chars().take(1).collect())
}

/// The child's command name once it has set it, within a generous time.
fn has_started(pid: i32) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count).unwrap_or_default();
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if (name.as_str(), open) == ("thinvol-guard\n", 2) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

#[test]
fn a_disarmed_child_is_gone_without_a_zombie() {
    let guard = ResumeGuard::arm(NO_CONTROL, &devices(), LONG, None).unwrap();
    let child = guard.child;
    assert!(state(child).is_some());
    guard.disarm().unwrap();
    assert_eq!(state(child), None);
}

#[test]
fn a_dropped_child_is_gone_without_a_zombie() {
    let guard = ResumeGuard::arm(NO_CONTROL, &devices(), LONG, None).unwrap();
    let child = guard.child;
    drop(guard);
    assert_eq!(state(child), None);
}

#[test]
fn the_child_keeps_only_its_two_descriptors_and_lives_through_signals() {
    let guard = ResumeGuard::arm(NO_CONTROL, &devices(), LONG, None).unwrap();
    assert!(has_started(guard.child));
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
        // SAFETY: kill takes no pointer; the pid is this test's own child, not yet reaped.
        assert_eq!(unsafe { libc::kill(guard.child, signal) }, 0);
    }
    assert!(has_started(guard.child));
    guard.disarm().unwrap();
}

#[test]
fn a_killed_child_is_told_of() {
    let guard = ResumeGuard::arm(NO_CONTROL, &devices(), LONG, None).unwrap();
    let child = guard.child;
    // SAFETY: kill takes no pointer; the pid is this test's own child, not yet reaped.
    assert_eq!(unsafe { libc::kill(child, libc::SIGKILL) }, 0);
    let start = Instant::now();
    while state(child).as_deref() != Some("Z") && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(guard.disarm().is_err());
    assert_eq!(state(child), None);
}

#[test]
fn what_cannot_be_guarded_is_refused() {
    let long = "x".repeat(128);
    let device = Endangered { name: &long, event_nr: 0 };
    assert!(ResumeGuard::arm(NO_CONTROL, &[device], LONG, None).is_err());
    assert!(ResumeGuard::arm("/nowhere/control", &devices(), LONG, None).is_err());
}

#[test]
fn a_clock_that_is_stopped_in_time_changes_nothing() {
    let mut guard = ResumeGuard::arm(NO_CONTROL, &devices(), LONG, None).unwrap();
    guard.start_clock();
    assert!(guard.hold());
    assert!(state(guard.child).is_some_and(|state| state != "Z"));
    guard.disarm().unwrap();
}

#[test]
fn a_clock_that_runs_out_makes_the_child_act_and_the_parent_notice() {
    let mut guard = ResumeGuard::arm(NO_CONTROL, &devices(), Duration::from_millis(20), None).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert!(state(guard.child).is_some_and(|state| state != "Z"), "no clock was started");
    guard.start_clock();
    // Long past its time it still watches for what is suspended late.
    std::thread::sleep(Duration::from_millis(500));
    assert!(state(guard.child).is_some_and(|state| state != "Z"));
    assert!(!guard.hold());
    let child = guard.child;
    drop(guard);
    assert_eq!(state(child), None);
}

/// What is locked on that file stays locked until the devices are resumed, whatever becomes of this process.
#[test]
fn the_child_keeps_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("V_vg");
    let file = fs::File::create(&path).unwrap();
    let guard =
        ResumeGuard::arm(NO_CONTROL, &devices(), LONG, Some(std::os::fd::AsFd::as_fd(&file))).unwrap();
    let kept = || fs::read_link(format!("/proc/{}/fd/2", guard.child));
    assert_eq!(kept().unwrap(), path);
    assert_eq!(fs::read_dir(format!("/proc/{}/fd", guard.child)).unwrap().count(), 3);
    drop(file);
    assert_eq!(kept().unwrap(), path);
    guard.disarm().unwrap();
}
