//! Reports and removes what a case left behind, before the next one. Some leftovers are errors in themselves: a
//! suspended device, or the semaphore of a udev cookie that nobody waited for.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use devicemapper::{DM, DevId, Device, DmFlags, DmName, DmNameBuf, DmOptions};
use nix::mount::{MntFlags, umount2};

use crate::ctx::HOST_VG;
use crate::{iscsi_left, loopdev};

/// Which devices may be removed.
pub enum Scope {
    /// All: the machine is ours.
    Guest,
    /// Loop devices over files in this folder, and what stands on them.
    Folder(PathBuf),
}

/// Number of passes over the devices; each pass removes those that no other device uses.
const MAX_PASSES: usize = 200;

/// How long to wait until a device is closed, most likely by udev.
const BUSY_LIMIT: Duration = Duration::from_secs(10);

/// Files of lvm2 that would make a case depend on the previous one.
const LVM_STATE: &[&str] = &[
    "/etc/lvm/archive",
    "/etc/lvm/backup",
    "/etc/lvm/devices",
    "/run/lock/lvm",
    "/run/lvm",
    "/run/lvm/pvs_online",
    "/run/lvm/vgs_online",
];

/// The leftovers that are errors, one line each.
pub fn faults(scope: &Scope) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    if let Some(dm) = device_mapper() {
        for (name, _) in devices(&dm, scope)? {
            let info = dm.device_info(&DevId::Name(&name))?;
            if info.flags().contains(DmFlags::DM_SUSPEND) {
                faults.push(format!("device {} was left suspended", &*name));
            }
        }
    }
    if matches!(scope, Scope::Guest) {
        faults.extend(iscsi_left::faults());
        let table = std::fs::read_to_string("/proc/sysvipc/sem")?;
        for line in table.lines().skip(1) {
            faults.push(format!("a semaphore was left (udev cookie): {}", line.trim()));
        }
    }
    Ok(faults)
}

/// Removes everything in scope; an error names what could not be removed.
pub fn remove(scope: &Scope) -> Result<()> {
    if let Some(dm) = device_mapper() {
        resume_devices(&dm, scope)?;
    }
    unmount(scope);
    // lvm2's own way first: it tells dmeventd to stop watching.
    match scope {
        Scope::Guest => quietly(&["vgchange", "-an", "--yes"]),
        Scope::Folder(_) => quietly(&["vgchange", "-an", "--yes", HOST_VG]),
    }
    if let Some(dm) = device_mapper() {
        remove_devices(&dm, scope)?;
    }
    if matches!(scope, Scope::Guest) {
        // Before the loop devices that targets may show.
        iscsi_left::remove()?;
        empty(Path::new("/run/thinvol/iscsi"));
    }
    for device in loops(scope)? {
        loopdev::detach(&device)?;
    }
    if matches!(scope, Scope::Guest) {
        quietly(&["ipcrm", "--all=sem"]);
        quietly(&["udevadm", "settle", "--timeout=30"]);
        for folder in LVM_STATE {
            empty(Path::new(folder));
        }
    }
    Ok(())
}

fn device_mapper() -> Option<DM> {
    Path::new("/dev/mapper/control").exists().then(DM::new)?.ok()
}

/// Devices in scope: all, or those that stand, directly or not, on our loop devices.
fn devices(dm: &DM, scope: &Scope) -> Result<Vec<(DmNameBuf, Device)>> {
    let all: Vec<(DmNameBuf, Device)> =
        dm.list_devices()?.into_iter().map(|(name, device, _)| (name, device)).collect();
    if matches!(scope, Scope::Guest) {
        return Ok(all);
    }
    let mut ours: HashSet<Device> = HashSet::new();
    for path in loops(scope)? {
        let rdev = nix::sys::stat::stat(&path)?.st_rdev;
        ours.insert(Device::from(rdev));
    }
    loop {
        let before = ours.len();
        for (name, device) in &all {
            let needs = dm.table_deps(&DevId::Name(name), DmOptions::default())?;
            if needs.iter().any(|need| ours.contains(need)) {
                ours.insert(*device);
            }
        }
        if ours.len() == before {
            return Ok(all.into_iter().filter(|(_, device)| ours.contains(device)).collect());
        }
    }
}

/// Reads of a suspended device hang, and a process that hangs keeps the device open: resume before anything else.
fn resume_devices(dm: &DM, scope: &Scope) -> Result<()> {
    for (name, _) in devices(dm, scope)? {
        let id = DevId::Name(&name);
        if dm.device_info(&id)?.flags().contains(DmFlags::DM_SUSPEND) {
            // Without DM_SUSPEND among the options this ioctl resumes. What fails here fails to be removed
            // below.
            let _ = dm.device_suspend(&id, DmOptions::default());
        }
    }
    Ok(())
}

fn remove_devices(dm: &DM, scope: &Scope) -> Result<()> {
    let mut deadline = Instant::now() + BUSY_LIMIT;
    for _ in 0..MAX_PASSES {
        let left = devices(dm, scope)?;
        if left.is_empty() {
            return Ok(());
        }
        if left.iter().filter(|(name, _)| remove_device(dm, name)).count() > 0 {
            deadline = Instant::now() + BUSY_LIMIT;
        } else if Instant::now() < deadline {
            std::thread::sleep(BUSY_LIMIT / 40);
        } else {
            let names: Vec<String> = left.iter().map(|(name, _)| name.to_string()).collect();
            bail!("cannot remove {}", names.join(", "));
        }
    }
    bail!("devices keep appearing")
}

fn remove_device(dm: &DM, name: &DmName) -> bool {
    let id = DevId::Name(name);
    match dm.device_info(&id) {
        Ok(info) if info.open_count() == 0 => dm.device_remove(&id, DmOptions::default()).is_ok(),
        _ => false,
    }
}

fn loops(scope: &Scope) -> Result<Vec<PathBuf>> {
    let attached = loopdev::attached()?;
    let wanted = attached.into_iter().filter(|(_, file)| match scope {
        Scope::Guest => true,
        Scope::Folder(folder) => file.starts_with(folder),
    });
    Ok(wanted.map(|(device, _)| device).collect())
}

/// Unmounts what a case may have mounted: file systems on dm and loop devices in a guest, below the folder on
/// a host.
fn unmount(scope: &Scope) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for line in mounts.lines().rev() {
        let mut fields = line.split(' ');
        let (Some(source), Some(target)) = (fields.next(), fields.next()) else { continue };
        let ours = match scope {
            Scope::Guest => ["/dev/mapper/", "/dev/dm-", "/dev/loop", "/dev/sd"]
                .iter()
                .any(|start| source.starts_with(start)),
            Scope::Folder(folder) => Path::new(target).starts_with(folder),
        };
        if ours {
            // What stays mounted keeps its device busy, and that is reported.
            let _ = umount2(target, MntFlags::MNT_DETACH);
        }
    }
}

fn empty(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = std::fs::remove_file(entry.path());
    }
}

/// Runs a program that may be missing (fast tier) and may fail (some cases leave broken metadata).
fn quietly(argv: &[&str]) {
    if let Some((program, arguments)) = argv.split_first() {
        let mut command = Command::new(program);
        let _ =
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
