//! A machine in a temporary directory: sysfs, `/proc`, `/dev` with regular files for nodes, udev's database.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use base::ids::DevNo;
use sys::io::roots::Roots;

/// The machine. Numbers: sd is 8, md is 9, loop is 7, dm is 254, nvme and big partitions are 259, sr is 11.
pub(crate) struct FakeMachine {
    _dir: tempfile::TempDir,
    pub roots: Roots,
}

/// A node of the fake `/dev` is a regular file; its device is the one of the same name in the fake sysfs.
fn fake_node(path: &Path) -> io::Result<Option<DevNo>> {
    let real = fs::canonicalize(path)?;
    let Some(name) = real.file_name().and_then(|name| name.to_str()) else { return Ok(None) };
    let top = real.ancestors().find(|dir| dir.join("sys/class/block").is_dir());
    let Some(top) = top else { return Ok(None) };
    match fs::read_to_string(top.join("sys/class/block").join(name).join("dev")) {
        Ok(number) => Ok(number.trim().parse().ok()),
        Err(_) => Ok(None),
    }
}

impl FakeMachine {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(dir.path()).unwrap();
        for sub in ["sys/class/block", "sys/dev/block", "sys/devices", "proc", "dev/mapper", "run/lvm", "etc"]
        {
            fs::create_dir_all(top.join(sub)).unwrap();
        }
        let majors = "Character devices:\n  1 mem\n\nBlock devices:\n  7 loop\n  8 sd\n  9 md\n 11 sr\n 65 sd\n\
                      253 zram\n254 device-mapper\n259 blkext\n";
        fs::write(top.join("proc/devices"), majors).unwrap();
        let roots = Roots {
            sys: top.join("sys"),
            proc: top.join("proc"),
            dev: top.join("dev"),
            run: top.join("run"),
            etc: top.join("etc"),
            node: fake_node,
        };
        Self { _dir: dir, roots }
    }

    fn add(&self, place: &Path, name: &str, number: &str, mib: u64, more: &str) -> PathBuf {
        let dir = self.roots.sys.join("devices").join(place);
        for sub in ["holders", "slaves"] {
            fs::create_dir_all(dir.join(sub)).unwrap();
        }
        let (major, minor) = number.split_once(':').unwrap();
        fs::write(dir.join("uevent"), format!("MAJOR={major}\nMINOR={minor}\nDEVNAME={name}\n{more}\n"))
            .unwrap();
        fs::write(dir.join("dev"), format!("{number}\n")).unwrap();
        fs::write(dir.join("size"), format!("{}\n", mib * 2048)).unwrap();
        symlink(&dir, self.roots.sys.join("class/block").join(name)).unwrap();
        symlink(&dir, self.roots.sys.join("dev/block").join(number)).unwrap();
        fs::File::create(self.roots.dev.join(name)).unwrap().set_len(mib << 20).unwrap();
        dir
    }

    /// A whole disk, with an empty image.
    pub fn disk(&self, name: &str, number: &str, mib: u64) -> PathBuf {
        self.add(Path::new(name), name, number, mib, "DEVTYPE=disk")
    }

    /// A partition of a disk that is there.
    pub fn partition(&self, disk: &str, name: &str, number: &str, mib: u64) -> PathBuf {
        let part = name.trim_start_matches(disk).trim_start_matches('p');
        self.add(&Path::new(disk).join(name), name, number, mib, &format!("DEVTYPE=partition\nPARTN={part}"))
    }

    /// A device-mapper device standing on others.
    pub fn dm(&self, minor: u32, name: &str, uuid: &str, mib: u64, on: &[&str]) -> PathBuf {
        let kernel_name = format!("dm-{minor}");
        let dir = self.disk(&kernel_name, &format!("254:{minor}"), mib);
        self.set(&kernel_name, "dm/name", name);
        self.set(&kernel_name, "dm/uuid", uuid);
        self.set(&kernel_name, "dm/suspended", "0");
        self.hold(&kernel_name, on);
        symlink(format!("../{kernel_name}"), self.roots.dev.join("mapper").join(name)).unwrap();
        dir
    }

    /// Makes a device stand on others.
    pub fn hold(&self, holder: &str, on: &[&str]) {
        for below in on {
            let block = self.roots.sys.join("class/block");
            symlink(block.join(holder), block.join(below).join("holders").join(holder)).unwrap();
            symlink(block.join(below), block.join(holder).join("slaves").join(below)).unwrap();
        }
    }

    /// Sets an attribute of a device.
    pub fn set(&self, kernel_name: &str, attribute: &str, value: &str) {
        let path = self.roots.sys.join("class/block").join(kernel_name).join(attribute);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{value}\n")).unwrap();
    }

    /// Gives a device a record in udev's database.
    pub fn udev(&self, number: &str, text: &str) {
        let data = self.roots.run.join("udev/data");
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join(format!("b{number}")), text).unwrap();
    }

    /// Makes a link below `/dev`.
    pub fn link(&self, link: &str, target: &str) {
        let path = self.roots.dev.join(link);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(self.roots.dev.join(target), path).unwrap();
    }

    /// Writes bytes to a device.
    pub fn write(&self, name: &str, offset: u64, bytes: &[u8]) {
        use std::os::unix::fs::FileExt;
        let file = fs::OpenOptions::new().write(true).open(self.roots.dev.join(name)).unwrap();
        file.write_all_at(bytes, offset).unwrap();
    }
}
