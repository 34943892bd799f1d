//! Device nodes and links without udev, as lvm2 and libdevmapper make them when it is absent.
//! Source: lvm2 `libdm/libdm-common.c` (`_add_dev_node`), `lib/activate/fs.c` (`_mk_link`).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::{Mode, SFlag, major, makedev, minor, mknod};

use super::{UdevError, UdevEvent, UdevFlags, UdevSync};
use crate::kernel::Kernel;
use crate::name::DmName;
use base::ids::DevNo;

/// Owner group of a node: `disk`. Source: Debian's lvm2 is built with `--with-device-gid=6`.
const NODE_GROUP: u32 = 6;
/// Permissions of a node. Source: Debian's lvm2 is built with `--with-device-mode=0660`.
const NODE_MODE: u32 = 0o660;

/// Makes and removes nodes itself. A wait brings `/dev/mapper/<name>` and `/dev/<vg>/<lv>` of every touched
/// device in line with the kernel, whatever the verbs were.
pub struct Nodes<'k, K: ?Sized> {
    kernel: &'k K,
    dev: PathBuf,
    touched: RefCell<BTreeMap<DmName, UdevFlags>>,
}

impl<'k, K: Kernel + ?Sized> Nodes<'k, K> {
    /// Nodes under `/dev`.
    pub fn new(kernel: &'k K) -> Self {
        Self::under(Path::new("/dev"), kernel)
    }

    /// Nodes under another folder.
    pub fn under(dev: &Path, kernel: &'k K) -> Self {
        Self { kernel, dev: dev.to_owned(), touched: RefCell::default() }
    }

    fn bring_in_line(&self, name: &DmName, flags: UdevFlags) -> Result<(), UdevError> {
        let info = self.kernel.info(name).map_err(|source| UdevError::LookUp { source })?;
        let number = info.filter(|info| info.live_table).map(|info| info.dev);
        let node = self.dev.join("mapper").join(name.as_str());
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| UdevError::Node { path, source }
        };
        match number {
            Some(number) => make_node(&self.dev, &node, number).map_err(at(&node))?,
            None => remove_if_there(&node).map_err(at(&node))?,
        }
        let Ok(parts) = name.lvm_parts() else { return Ok(()) };
        if parts.layer.is_some() {
            return Ok(());
        }
        let folder = self.dev.join(parts.vg.as_str());
        let link = folder.join(parts.lv.as_str());
        if number.is_some() && !flags.contains(UdevFlags::DISABLE_SUBSYSTEM_RULES) {
            fs::create_dir_all(&folder).map_err(at(&folder))?;
            make_link(&node, &link).map_err(at(&link))
        } else if link.is_symlink() {
            remove_if_there(&link).map_err(at(&link))?;
            // Only an empty folder goes; one with other volumes in it stays.
            let _ = fs::remove_dir(&folder);
            Ok(())
        } else {
            Ok(())
        }
    }
}

impl<K: Kernel + ?Sized> UdevSync for Nodes<'_, K> {
    fn event(&self, touched: &[&DmName], flags: UdevFlags) -> UdevEvent {
        let names = touched.iter().map(|name| ((*name).clone(), flags));
        self.touched.borrow_mut().extend(names);
        // A udevd that starts later, or listens without the notify rules, still gets the flags.
        flags.unwatched()
    }

    fn not_sent(&self) {}

    fn wait(&self, _: Duration) -> Result<(), UdevError> {
        let touched = self.touched.take();
        // All are tried; the first error is reported.
        let tried = touched.iter().map(|(name, flags)| self.bring_in_line(name, *flags));
        let errors: Vec<UdevError> = tried.filter_map(Result::err).collect();
        errors.into_iter().next().map_or(Ok(()), Err)
    }
}

/// Makes `node` mean the device: a link to the kernel's own `dm-<minor>` where devtmpfs has one, as udev
/// would make it, so that a udevd that starts later finds its own kind; else a node.
fn make_node(dev: &Path, node: &Path, number: DevNo) -> io::Result<()> {
    let own = format!("dm-{}", number.minor);
    if is_device(&dev.join(&own), number) {
        return make_link(&Path::new("..").join(own), node);
    }
    if is_device(node, number) && !node.is_symlink() {
        return Ok(());
    }
    remove_if_there(node)?;
    if let Some(folder) = node.parent() {
        fs::create_dir_all(folder)?;
    }
    let number = makedev(number.major.into(), number.minor.into());
    mknod(node, SFlag::S_IFBLK, Mode::from_bits_truncate(0o600), number)?;
    std::os::unix::fs::chown(node, Some(0), Some(NODE_GROUP))?;
    fs::set_permissions(node, fs::Permissions::from_mode(NODE_MODE))
}

fn is_device(path: &Path, number: DevNo) -> bool {
    fs::metadata(path).is_ok_and(|meta| {
        let (major, minor) = (major(meta.rdev()), minor(meta.rdev()));
        meta.file_type().is_block_device() && (major, minor) == (number.major.into(), number.minor.into())
    })
}

/// Makes `link` point to `target`, in one step for every observer.
fn make_link(target: &Path, link: &Path) -> io::Result<()> {
    if fs::read_link(link).is_ok_and(|now| now == target) {
        return Ok(());
    }
    if let Some(folder) = link.parent() {
        fs::create_dir_all(folder)?;
    }
    let name = link.file_name().unwrap_or_default().to_string_lossy();
    // LVM names cannot start with a hyphen and device-mapper's rarely do, so this is nobody's.
    let beside = link.with_file_name(format!("-thinvol-{}-{name}", std::process::id()));
    remove_if_there(&beside)?;
    symlink(target, &beside)?;
    fs::rename(&beside, link)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
