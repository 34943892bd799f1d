//! iSCSI targets for cases: the kernel's own target (LIO), set up through configfs. Every write is checked.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::Ctx;

/// Where LIO is configured. Source: Linux `Documentation/target/` and `drivers/target/target_core_configfs.c`.
pub const CONFIGFS: &str = "/sys/kernel/config/target";

/// The initiator name of the guest, in `/etc/iscsi/initiatorname.iscsi`.
pub const INITIATOR: &str = "iqn.2024-01.test.thinvol:vm";

/// What the target and the initiator need, loaded in this order.
const MODULES: &[&str] = &[
    "configfs",
    "target_core_mod",
    "target_core_file",
    "target_core_iblock",
    "iscsi_target_mod",
    "iscsi_tcp",
    "sd_mod",
];

/// A backstore: the storage behind a LUN.
#[derive(Clone, Debug)]
pub struct Backstore {
    folder: PathBuf,
    /// The name the kernel gives the disk: `naa.6001405…`.
    pub wwid: String,
}

/// A target with one portal group.
#[derive(Clone, Debug)]
pub struct LioTarget {
    /// Its name.
    pub iqn: String,
    group: PathBuf,
}

impl Ctx {
    /// A sparse file of `bytes` as a backstore called `name`. `serial` tells backstores apart: it becomes the WWID.
    pub fn backstore(&self, name: &str, bytes: u64, serial: u64) -> Result<Backstore> {
        self.start_lio()?;
        let file = self.dir().join(format!("{name}.lun"));
        fs::File::create_new(&file)?.set_len(bytes)?;
        let control = format!("fd_dev_name={},fd_dev_size={bytes}", file.display());
        self.new_backstore("fileio_0", name, &control, serial)
    }

    /// A block device as a backstore: its LUN follows when the device grows.
    pub fn block_backstore(&self, name: &str, device: &Path, serial: u64) -> Result<Backstore> {
        self.start_lio()?;
        self.new_backstore("iblock_0", name, &format!("udev_path={}", device.display()), serial)
    }

    fn new_backstore(&self, hba: &str, name: &str, control: &str, serial: u64) -> Result<Backstore> {
        let folder = Path::new(CONFIGFS).join("core").join(hba).join(name);
        make(&folder)?;
        write(&folder.join("control"), control)?;
        // LIO makes the NAA name of IEEE company 001405 and 25 hexadecimal digits of the serial number.
        let serial = format!("{serial:025x}");
        write(&folder.join("wwn/vpd_unit_serial"), &serial)?;
        write(&folder.join("enable"), "1")?;
        Ok(Backstore { folder, wwid: format!("naa.6001405{serial}") })
    }

    /// An enabled target without LUNs that accepts any initiator, with these portals (`127.0.0.1:3260`, `[::1]:3260`).
    pub fn target(&self, iqn: &str, portals: &[&str]) -> Result<LioTarget> {
        self.start_lio()?;
        let group = Path::new(CONFIGFS).join("iscsi").join(iqn).join("tpgt_1");
        make(&group)?;
        let target = LioTarget { iqn: iqn.to_owned(), group };
        target.attribute("authentication", "0")?;
        target.attribute("generate_node_acls", "1")?;
        target.attribute("cache_dynamic_acls", "1")?;
        target.attribute("demo_mode_write_protect", "0")?;
        for portal in portals {
            target.add_portal(portal)?;
        }
        target.enable(true)?;
        Ok(target)
    }

    fn start_lio(&self) -> Result<()> {
        if Path::new(CONFIGFS).join("iscsi").is_dir() {
            return Ok(());
        }
        fs::create_dir_all("/etc/target")?;
        for module in MODULES {
            self.ok(&format!("modprobe {module}"))?;
        }
        if !Path::new("/sys/kernel/config/target").is_dir() {
            self.ok("mount -t configfs configfs /sys/kernel/config")?;
        }
        make(&Path::new(CONFIGFS).join("iscsi"))
    }
}

impl LioTarget {
    /// Exports a backstore as LUN `number`.
    pub fn add_lun(&self, number: u16, backstore: &Backstore) -> Result<()> {
        let folder = self.group.join(format!("lun/lun_{number}"));
        make(&folder)?;
        symlink(&backstore.folder, folder.join("backstore"))
            .with_context(|| format!("cannot show {} as LUN {number}", backstore.folder.display()))
    }

    /// Removes LUN `number`.
    pub fn remove_lun(&self, number: u16) -> Result<()> {
        let folder = self.group.join(format!("lun/lun_{number}"));
        fs::remove_file(folder.join("backstore"))?;
        fs::remove_dir(&folder).with_context(|| format!("cannot remove {}", folder.display()))
    }

    /// Adds a portal.
    pub fn add_portal(&self, portal: &str) -> Result<()> {
        make(&self.portal_folder(portal))
    }

    /// Where a portal is configured.
    pub fn portal_folder(&self, portal: &str) -> PathBuf {
        self.group.join("np").join(portal)
    }

    /// Removes a portal; its connections stay.
    pub fn remove_portal(&self, portal: &str) -> Result<()> {
        Ok(fs::remove_dir(self.portal_folder(portal))?)
    }

    /// Turns the portal group on or off; off drops all connections.
    pub fn enable(&self, on: bool) -> Result<()> {
        write(&self.group.join("enable"), if on { "1" } else { "0" })
    }

    /// Sets an attribute of the portal group.
    pub fn attribute(&self, name: &str, value: &str) -> Result<()> {
        write(&self.group.join("attrib").join(name), value)
    }

    /// Sets what the target answers at login, such as `HeaderDigest`.
    pub fn parameter(&self, name: &str, value: &str) -> Result<()> {
        write(&self.group.join("param").join(name), value)
    }

    /// Requires CHAP of every initiator; with `mutual` the target authenticates itself, too.
    pub fn demand_chap(&self, user: (&str, &str), mutual: Option<(&str, &str)>) -> Result<()> {
        self.attribute("authentication", "1")?;
        write(&self.group.join("auth/userid"), user.0)?;
        write(&self.group.join("auth/password"), user.1)?;
        if let Some((name, secret)) = mutual {
            write(&self.group.join("auth/userid_mutual"), name)?;
            write(&self.group.join("auth/password_mutual"), secret)?;
        }
        Ok(())
    }

    /// The initiators that are logged in, as the target sees them: one line each.
    pub fn sessions(&self) -> Result<Vec<String>> {
        let path = self.group.join("dynamic_sessions");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(text.trim_end_matches('\0').lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }
}

/// Removes every target and backstore; an error names what is left.
pub fn remove_all() -> Result<()> {
    let root = Path::new(CONFIGFS);
    // Beside the targets there is the default group of discovery, which stays.
    for target in folders(&root.join("iscsi")).filter(|folder| is_called(folder, "iqn.")) {
        for group in folders(&target).filter(|folder| is_called(folder, "tpgt_")) {
            remove_group(&group)?;
        }
        remove(&target)?;
    }
    // Beside the adapters there is the default group of ALUA, which stays.
    let is_ours = |hba: &PathBuf| is_called(hba, "fileio_") || is_called(hba, "iblock_");
    for hba in folders(&root.join("core")).filter(is_ours) {
        for backstore in folders(&hba) {
            remove(&backstore)?;
        }
        remove(&hba)?;
    }
    Ok(())
}

fn remove_group(group: &Path) -> Result<()> {
    // One that is off cannot be turned off again.
    if fs::read_to_string(group.join("enable"))?.trim() == "1" {
        write(&group.join("enable"), "0")?;
    }
    for acl in folders(&group.join("acls")) {
        for lun in folders(&acl).filter(|folder| is_called(folder, "lun_")) {
            remove_links(&lun)?;
            remove(&lun)?;
        }
        remove(&acl)?;
    }
    for lun in folders(&group.join("lun")) {
        remove_links(&lun)?;
        remove(&lun)?;
    }
    for portal in folders(&group.join("np")) {
        remove(&portal)?;
    }
    remove(group)
}

fn remove_links(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_symlink() {
            fs::remove_file(entry.path())
                .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn folders(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

fn is_called(folder: &Path, start: &str) -> bool {
    folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
}

fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn write(path: &Path, value: &str) -> Result<()> {
    ensure!(path.exists(), "{} does not exist", path.display());
    fs::write(path, value).with_context(|| format!("cannot write {value:?} to {}", path.display()))
}
