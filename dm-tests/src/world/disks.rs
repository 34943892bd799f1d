//! The disks of the small machine as its processes find and open them: sysfs and `/dev` in a folder, labels and
//! metadata areas in memory, pool metadata as the model of the kernel holds it.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::rc::Rc;

use base::ids::DevNo;
use base::units::{Bytes, Sectors};
use dm::sim::DM_MAJOR;
use sys::io::block::{Access, BlockDev, Disks};
use sys::io::roots::Roots;
use tempfile::TempDir;
use thin::internals::meta::BLOCK_BYTES;

use super::machine::{DISKS, disk_number};
use super::pool_blocks;
use super::tape::Tape;
use super::text::PV_SECTORS;

/// What a machine shows of its disks, gone with the last process.
#[derive(Debug)]
pub struct DiskTree(TempDir);

impl DiskTree {
    /// A tree that shows so many disks.
    ///
    /// # Panics
    /// If the temporary folder cannot be written.
    pub fn new(disks: usize) -> Rc<Self> {
        let tree = tempfile::tempdir().and_then(|dir| Self(dir).filled(disks));
        Rc::new(tree.expect("the temporary folder can be written"))
    }

    fn filled(self, disks: usize) -> io::Result<Self> {
        let roots = self.roots();
        for name in ["sys/class/block", "sys/dev/block", "proc", "run/udev/data", "dev", "etc"] {
            fs::create_dir_all(self.0.path().join(name))?;
        }
        fs::write(roots.proc.join("devices"), "Block devices:\n  8 sd\n253 device-mapper\n")?;
        for (place, name) in DISKS.iter().enumerate().take(disks) {
            let number = disk_number(place);
            let dir = roots.sys.join("devices").join(name);
            fs::create_dir_all(dir.join("holders"))?;
            let DevNo { major, minor } = number;
            fs::write(dir.join("uevent"), format!("MAJOR={major}\nMINOR={minor}\nDEVTYPE=disk\n"))?;
            fs::write(dir.join("size"), PV_SECTORS.to_string())?;
            symlink(&dir, roots.sys.join("class/block").join(name))?;
            symlink(&dir, roots.sys.join("dev/block").join(number.to_string()))?;
            fs::write(roots.dev.join(name), "")?;
        }
        Ok(self)
    }

    /// Where it shows them.
    pub fn roots(&self) -> Roots {
        let dir = |name: &str| self.0.path().join(name);
        Roots {
            sys: dir("sys"),
            proc: dir("proc"),
            dev: dir("dev"),
            run: dir("run"),
            etc: dir("etc"),
            node: |path| Ok(place_of(path).map(disk_number)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

fn place_of(path: &Path) -> Option<usize> {
    DISKS.iter().position(|name| path.ends_with(name))
}

/// The disks and the devices of device-mapper, as one process opens them.
#[derive(Debug)]
pub struct SimDisks(pub Rc<Tape>);

impl Disks for SimDisks {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn BlockDev>> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        if let Some(place) = place_of(path) {
            let labelled = self.0.disk(place).ok_or_else(missing)?;
            let start = (disk_number(place), 0);
            return Ok(Box::new(SimDisk {
                labelled: Some(labelled),
                access,
                tape: Rc::clone(&self.0),
                start,
            }));
        }
        let name = path.file_name().and_then(|name| name.to_str()?.strip_prefix("dm-"));
        let minor = name.and_then(|minor| minor.parse().ok()).ok_or_else(missing)?;
        let place = self.0.kernel().place_of(DevNo { major: DM_MAJOR, minor });
        let (disk, sector) = place.ok_or_else(|| io::Error::other("this device is not read here"))?;
        let start = (disk, sector.get());
        Ok(Box::new(SimDisk { labelled: None, access, tape: Rc::clone(&self.0), start }))
    }
}

/// An open disk, or a device that begins at a sector of one.
struct SimDisk {
    /// Label and metadata areas, at the start of a disk.
    labelled: Option<Box<dyn BlockDev>>,
    access: Access,
    tape: Rc<Tape>,
    start: (DevNo, u64),
}

impl SimDisk {
    /// What of `labelled` lies in a range.
    fn label(&self, offset: u64, length: usize) -> Option<&dyn BlockDev> {
        let end = offset.checked_add(u64::try_from(length).ok()?)?;
        self.labelled.as_deref().filter(|disk| end <= disk.size().get())
    }

    /// What the kernel keeps at a block of pool metadata; zeros where it keeps nothing.
    fn pool_block(&self, offset: u64) -> io::Result<pool_blocks::Block> {
        let sector = Sectors::new(self.start.1 + Bytes::new(offset).to_sectors_ceil().get());
        let around = self.tape.kernel().pool_dump_around(self.start.0, sector);
        let Some((start, dump, held)) = around else { return Ok([0; BLOCK_BYTES]) };
        const BLOCK_SECTORS: u64 = 8;
        let within = sector.get() - start.get();
        if !within.is_multiple_of(BLOCK_SECTORS) {
            return Err(io::Error::other("only whole blocks of pool metadata are read here"));
        }
        Ok(pool_blocks::block(within / BLOCK_SECTORS, &dump, held.as_ref()))
    }
}

impl BlockDev for SimDisk {
    fn name(&self) -> String {
        self.labelled
            .as_ref()
            .map_or_else(|| format!("{}+{}", self.start.0, self.start.1), |disk| disk.name())
    }

    fn size(&self) -> Bytes {
        Sectors::new(PV_SECTORS).to_bytes().expect("a disk is small")
    }

    fn block_size(&self) -> u32 {
        512
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if let Some(disk) = self.label(offset, buf.len()) {
            return disk.read_at(offset, buf);
        }
        self.tape.look_at_window("is suspended, and its process reads pool metadata");
        if buf.len() != BLOCK_BYTES {
            return Err(io::Error::other("only blocks of pool metadata are read here"));
        }
        buf.copy_from_slice(&self.pool_block(offset)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        if self.access == Access::ReadOnly {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        let disk = self.label(offset, buf.len()).ok_or_else(|| io::Error::from(io::ErrorKind::WriteZero))?;
        disk.write_at(offset, buf)
    }

    fn flush(&self) -> io::Result<()> {
        self.labelled.as_ref().map_or(Ok(()), |disk| disk.flush())
    }
}
