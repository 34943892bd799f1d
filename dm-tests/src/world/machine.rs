//! What lasts while processes come and go: the kernel, the disks, the host.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use base::ids::{DevNo, LvmUuid};
use base::units::Sectors;
use dm::sim::{Crash, SimKernel};
use lvm2::host::fixture::{PvShape, put_text};
use sys::io::mem::disk::{MemDisk, Timeline};
use sys::io::mem::image::Image;
use thin::internals::ports::Host as _;

use super::disks::DiskTree;
use super::host::{HostState, SimHost};
use super::text::{PV_SECTORS, fresh, pv_uuid};

/// Bytes of a metadata area: room for two texts of 32 KiB.
const MDA_BYTES: u64 = 64 << 10;

/// Bytes of a disk that holds no more than a label and a metadata area.
const DISK_BYTES: usize = 72 << 10;

/// A machine with one or two physical volumes.
#[derive(Debug)]
pub struct Machine {
    /// device-mapper, with the data of all disks.
    pub kernel: Rc<SimKernel>,
    /// The disks, as far as LVM's labels and metadata areas go.
    pub disks: Vec<Arc<MemDisk>>,
    /// The order of writes and flushes on them.
    pub timeline: Timeline,
    /// The host.
    pub host: SimHost,
    /// How many UUIDs were made.
    pub uuids: Rc<Cell<u32>>,
    /// What it shows of its disks.
    pub tree: Rc<DiskTree>,
}

/// The kernel's names of the disks, by their places.
pub const DISKS: [&str; 2] = ["sda", "sdb"];

/// The device number of a disk by its place: `/dev/sda` is 8:0, `/dev/sdb` is 8:16.
pub fn disk_number(place: usize) -> DevNo {
    DevNo { major: 8, minor: u32::try_from(place).expect("there are few disks") * 16 }
}

fn disk_name(place: usize) -> String {
    format!("/dev/{}", DISKS[place])
}

/// The physical volumes by their identity.
pub fn pvs(count: usize) -> BTreeMap<LvmUuid, DevNo> {
    (0..count).map(|place| (pv_uuid(place), disk_number(place))).collect()
}

impl Machine {
    /// A machine as lvm2 leaves it with a fresh pool on `pvs` physical volumes; nothing is active.
    pub fn new(pvs: usize) -> Rc<Self> {
        Self::with_text(pvs, fresh(pvs, 1).as_bytes(), MDA_BYTES)
    }

    /// The same with two fresh pools.
    pub fn with_two_pools(pvs: usize) -> Rc<Self> {
        Self::with_text(pvs, fresh(pvs, 2).as_bytes(), MDA_BYTES)
    }

    /// The same with another text, and metadata areas of `mda` bytes.
    ///
    /// # Panics
    /// If the text does not fit.
    pub fn with_text(pvs: usize, text: &[u8], mda: u64) -> Rc<Self> {
        let kernel = SimKernel::new();
        let timeline = Timeline::default();
        let text = [text, b"\0"].concat();
        let mut images = Vec::new();
        for place in 0..pvs {
            kernel.add_disk_with_discard(disk_number(place), Sectors::new(PV_SECTORS));
            let shape =
                PvShape { device_size: DISK_BYTES, mdas: [mda, 0], ..PvShape::default_with(pv_uuid(place)) };
            let disk = shape.make(&disk_name(place), &timeline);
            let area = shape.label().metadata_areas[0];
            put_text(disk.as_ref(), area, &text).expect("the text fits");
            images.push(disk.image());
        }
        let tree = DiskTree::new(pvs);
        Self::of_parts(kernel, &images, HostState::default(), 0, tree)
    }

    /// A machine put together from what this one left.
    pub fn from_parts(&self, kernel: SimKernel, images: &[Image], host: HostState, uuids: u32) -> Rc<Self> {
        Self::of_parts(kernel, images, host, uuids, Rc::clone(&self.tree))
    }

    fn of_parts(
        kernel: SimKernel,
        images: &[Image],
        host: HostState,
        uuids: u32,
        tree: Rc<DiskTree>,
    ) -> Rc<Self> {
        let timeline = Timeline::default();
        let disk = |(place, image): (usize, &Image)| {
            Arc::new(MemDisk::from_image(&disk_name(place), image.clone(), timeline.clone()))
        };
        let (kernel, uuids) = (Rc::new(kernel), Rc::new(Cell::new(uuids)));
        Rc::new(Self {
            disks: images.iter().enumerate().map(disk).collect(),
            host: SimHost::new(Rc::clone(&kernel), host, Rc::clone(&uuids)),
            kernel,
            timeline,
            uuids,
            tree,
        })
    }

    /// A machine of its own in the same state.
    pub fn fork(&self) -> Rc<Self> {
        self.from_parts(self.kernel.as_ref().clone(), &self.images(), self.host.state(), self.uuids.get())
    }

    /// The same machine after it was switched off in an orderly way and on again: nothing is active.
    pub fn rebooted(&self) -> Rc<Self> {
        let kernel = self.kernel.as_ref().clone();
        kernel.crash(Crash::KeepUncommitted);
        let host = HostState { check_fails: self.host.state().check_fails, ..HostState::default() };
        self.from_parts(kernel, &self.images(), host, self.uuids.get())
    }

    /// What the disks hold.
    pub fn images(&self) -> Vec<Image> {
        self.disks.iter().map(|disk| disk.image()).collect()
    }

    /// The next UUID, never one of before.
    pub fn new_uuid(&self) -> LvmUuid {
        self.host.new_uuid()
    }
}
