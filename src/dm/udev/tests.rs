use std::fs;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};

use super::{
    Cookies, DeviceRole, Layer, Missing, NoSync, Nodes, Places, UdevError, UdevSync, flags_for, missing,
};
use crate::kernel::{DeviceInfo, DmError, Kernel, ListedDevice, StatusFlush, Suspend, UdevEvent, Uevent};
use crate::name::{DmName, DmUuid};
use crate::table::{Table, TargetLine};
use base::ids::DevNo;

fn name(text: &str) -> DmName {
    DmName::new(text).unwrap()
}

#[test]
fn flags_are_lvms() {
    assert_eq!(flags_for(DeviceRole::Volume).bits(), 0x60);
    for layer in [Layer::Tmeta, Layer::Tdata, Layer::Tpool, Layer::Pool, Layer::Real] {
        assert_eq!(flags_for(DeviceRole::of_layer(layer)).bits(), 0x6e);
    }
    assert_eq!(flags_for(DeviceRole::of_layer(Layer::Plain)).bits(), 0x60);
    assert_eq!(flags_for(DeviceRole::NewPool).bits(), 0x6c);
    assert_eq!(flags_for(DeviceRole::PoolStack).event(0xb64b), UdevEvent(7_255_627));
}

#[test]
fn without_sync_the_flags_still_go_along() {
    let event = NoSync.event(&[&name("vg-a")], flags_for(DeviceRole::Volume));
    assert_eq!(event, UdevEvent(0x60_0000));
    assert!(NoSync.wait(Duration::ZERO).is_ok());
}

/// Whether a semaphore with this event's cookie exists on the system.
fn semaphore_exists(event: UdevEvent) -> bool {
    let key = 0x0D4D_0000 | (event.0 & 0xFFFF);
    let table = fs::read_to_string("/proc/sysvipc/sem").unwrap_or_default();
    table.lines().any(|line| line.split_ascii_whitespace().next() == Some(&key.to_string()))
}

#[test]
fn one_cookie_for_a_batch_and_none_left_behind() {
    let cookies = Cookies::default();
    let flags = flags_for(DeviceRole::Volume);
    let first = cookies.event(&[&name("vg-a")], flags);
    if first.0 & 0xFFFF == 0 {
        let error = cookies.wait(Duration::ZERO).unwrap_err();
        assert!(matches!(error, UdevError::NoSemaphore { events: 1, .. }));
        eprintln!("SKIPPED: this kernel gives no System V semaphores");
        return;
    }
    assert_eq!(cookies.event(&[&name("vg-b")], flags), first);
    assert_eq!(first.0 >> 16, 0x60);
    assert!(semaphore_exists(first));
    cookies.not_sent();
    let error = cookies.wait(Duration::from_millis(10)).unwrap_err();
    assert!(matches!(error, UdevError::Timeout { pending: 1, .. }), "{error}");
    let said = "waited 0.010 s for udev, which got through nothing; 1 event(s) are still not processed";
    assert_eq!(error.to_string(), said);
    assert!(!semaphore_exists(first));
    let second = cookies.event(&[&name("vg-c")], flags);
    cookies.not_sent();
    assert!(cookies.wait(Duration::ZERO).is_ok());
    assert!(!semaphore_exists(second));
    let third = cookies.event(&[&name("vg-d")], flags);
    drop(cookies);
    assert!(!semaphore_exists(third));
    assert!(Cookies::default().wait(Duration::ZERO).is_ok());
}

#[test]
fn a_dead_udevd_and_missing_rules_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let places = Places { control: folder.path().join("control"), rules: vec![folder.path().join("rules")] };
    let dead = Some(Missing::Daemon { control: places.control.clone() });
    assert_eq!(missing(&places), dead);
    fs::create_dir(&places.rules[0]).unwrap();
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::empty(), None).unwrap();
    bind(socket.as_raw_fd(), &UnixAddr::new(&places.control).unwrap()).unwrap();
    assert_eq!(missing(&places), dead, "a socket that nobody listens on");
    listen(&socket, Backlog::new(1).unwrap()).unwrap();
    assert_eq!(missing(&places), Some(Missing::Rules { folders: places.rules.clone() }));
    let rules = places.rules[0].join("95-dm-notify.rules");
    std::os::unix::fs::symlink("/dev/null", &rules).unwrap();
    assert!(matches!(missing(&places), Some(Missing::Rules { .. })), "a masked file");
    fs::remove_file(&rules).unwrap();
    fs::write(&rules, "RUN+=…").unwrap();
    assert_eq!(missing(&places), None);
    for _ in 0..3 {
        assert_eq!(missing(&places), None, "a backlog that is full");
    }
    drop(socket);
    assert_eq!(missing(&places), dead, "a socket file that a dead udevd left");
}

/// A kernel that only knows which devices exist.
struct Known(Vec<(&'static str, DevNo)>);

impl Kernel for Known {
    fn info(&self, name: &DmName) -> Result<Option<DeviceInfo>, DmError> {
        let found = self.0.iter().find(|(known, _)| *known == name.as_str());
        Ok(found.map(|(_, dev)| DeviceInfo {
            name: name.clone(),
            uuid: None,
            dev: *dev,
            open_count: 0,
            suspended: false,
            read_only: false,
            live_table: true,
            inactive_table: false,
            event_nr: 0,
        }))
    }

    fn info_by_uuid(&self, _: &DmUuid) -> Result<Option<DeviceInfo>, DmError> {
        unreachable!()
    }
    fn list(&self) -> Result<Vec<ListedDevice>, DmError> {
        unreachable!()
    }
    fn create(&self, _: &DmName, _: &DmUuid, _: Option<u32>) -> Result<DevNo, DmError> {
        unreachable!()
    }
    fn load(&self, _: &DmName, _: &Table, _: bool) -> Result<(), DmError> {
        unreachable!()
    }
    fn clear(&self, _: &DmName) -> Result<(), DmError> {
        unreachable!()
    }
    fn suspend(&self, _: &DmName, _: Suspend) -> Result<(), DmError> {
        unreachable!()
    }
    fn resume(&self, _: &DmName, _: UdevEvent) -> Result<Uevent, DmError> {
        Ok(Uevent::NotSent)
    }
    fn remove(&self, _: &DmName, _: UdevEvent) -> Result<Uevent, DmError> {
        unreachable!()
    }
    fn rename(&self, _: &DmName, _: &DmName, _: UdevEvent) -> Result<Uevent, DmError> {
        unreachable!()
    }
    fn message(&self, _: &DmName, _: &str) -> Result<(), DmError> {
        unreachable!()
    }
    fn table(&self, _: &DmName) -> Result<Vec<TargetLine>, DmError> {
        unreachable!()
    }
    fn status(&self, _: &DmName, _: StatusFlush) -> Result<(DeviceInfo, Vec<TargetLine>), DmError> {
        unreachable!()
    }
    fn deps(&self, _: &DmName) -> Result<Vec<DevNo>, DmError> {
        unreachable!()
    }
}

#[test]
fn a_verb_without_an_event_completes_its_cookie() {
    let (kernel, cookies) = (Known(vec![]), Cookies::default());
    super::resume(&kernel, &cookies, &name("vg-a"), flags_for(DeviceRole::Volume)).unwrap();
    assert!(cookies.wait(Duration::ZERO).is_ok());
}

#[test]
fn nodes_follow_the_kernel_without_udev() {
    let dev = tempfile::tempdir().unwrap();
    let path = |text: &str| dev.path().join(text);
    let volume = flags_for(DeviceRole::Volume);
    let there = Known(vec![
        ("my--vg-a", DevNo { major: 253, minor: 1 }),
        ("my--vg-data-tpool", DevNo { major: 253, minor: 2 }),
        ("my--vg-data", DevNo { major: 253, minor: 3 }),
    ]);
    let nodes = Nodes::under(dev.path(), &there);
    assert_eq!(nodes.event(&[&name("my--vg-a")], volume), UdevEvent(0x60_0000));
    for stack in ["my--vg-data-tpool", "my--vg-data"] {
        nodes.event(&[&name(stack)], flags_for(DeviceRole::PoolStack));
    }
    match nodes.wait(Duration::ZERO) {
        Ok(()) => {}
        Err(UdevError::Node { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
            eprintln!("SKIPPED: making device nodes needs root");
            return;
        }
        Err(error) => panic!("{error}"),
    }
    assert_eq!(fs::read_link(path("my-vg/a")).unwrap(), path("mapper/my--vg-a"));
    for node in ["mapper/my--vg-a", "mapper/my--vg-data-tpool", "mapper/my--vg-data"] {
        assert!(fs::symlink_metadata(path(node)).is_ok(), "{node}");
    }
    assert!(!path("my-vg/data").is_symlink());
    let gone = Known(vec![]);
    let nodes = Nodes::under(dev.path(), &gone);
    nodes.event(&[&name("my--vg-a"), &name("my--vg-b")], volume);
    nodes.wait(Duration::ZERO).unwrap();
    assert!(fs::symlink_metadata(path("mapper/my--vg-a")).is_err());
    assert!(!path("my-vg").exists());
    nodes.wait(Duration::ZERO).unwrap();
}
