//! A volume group on disks in memory.

use std::sync::Arc;

use crate::format::label::layout::Area;
use crate::host::fixture::{PvShape, put_text};
use crate::host::store::error::StoreError;
use crate::host::store::vg::VgStore;
use crate::host::store::vg_ref::VgRef;
use base::ids::{LvmUuid, VgName};
use sys::io::block::BlockDev;
use sys::io::mem::crash::crash_images;
use sys::io::mem::disk::{Logged, MemDisk, Timeline};
use sys::io::mem::image::Image;

pub struct Rig {
    pub timeline: Timeline,
    pub disks: Vec<Arc<MemDisk>>,
}

pub fn uuid(number: u8) -> LvmUuid {
    LvmUuid::from_random([number; 32])
}

pub fn vg_ref() -> VgRef {
    VgRef::Name(VgName::new("vg0").unwrap())
}

/// The text of state `seqno` of `name` on the first `pvs` disks, about `filler` bytes longer than it need be.
pub fn text_of(name: &str, id: u8, seqno: u32, pvs: usize, filler: usize) -> Vec<u8> {
    let mut text = format!("{name} {{\nid = \"{}\"\nseqno = {seqno}\nphysical_volumes {{\n", uuid(id));
    for pv in 0..pvs {
        let id = uuid(u8::try_from(pv).unwrap());
        text += &format!("pv{pv} {{\nid = \"{id}\"\n}}\n");
    }
    let fill: String = ('a'..='z').cycle().skip(usize::try_from(seqno).unwrap()).take(filler).collect();
    text += &format!("}}\n}}\ndescription = \"{fill}\"\n\0");
    text.into_bytes()
}

impl Rig {
    /// Physical volumes of this shape (but for their UUIDs), without a text.
    pub fn empty(pvs: usize, block: usize, mdas: [u64; 2]) -> Self {
        let timeline = Timeline::default();
        let shape = |number: usize| PvShape {
            block,
            device_size: 128 << 10,
            mdas,
            ..PvShape::default_with(uuid(u8::try_from(number).unwrap()))
        };
        let disks =
            (0..pvs).map(|number| shape(number).make(&format!("/dev/sd{number}"), &timeline)).collect();
        Self { timeline, disks }
    }

    /// The same with text 1 in every area.
    pub fn new(pvs: usize, block: usize, mdas: [u64; 2]) -> Self {
        let rig = Self::empty(pvs, block, mdas);
        for disk in 0..pvs {
            for area in rig.areas(disk) {
                put_text(&*rig.disks[disk], area, &rig.text(1, 0)).unwrap();
            }
        }
        rig
    }

    /// One metadata area of 32 KiB each, in sectors.
    pub fn small(pvs: usize) -> Self {
        Self::new(pvs, 512, [32 << 10, 0])
    }

    pub fn text(&self, seqno: u32, filler: usize) -> Vec<u8> {
        text_of("vg0", 200, seqno, self.disks.len(), filler)
    }

    pub fn areas(&self, disk: usize) -> Vec<Area> {
        let mut window = vec![0; 2048];
        self.disks[disk].read_at(0, &mut window).unwrap();
        let label = crate::format::label::parse::find_label(&window, self.disks[disk].size());
        label.unwrap().unwrap().metadata_areas
    }

    /// How often devices were flushed so far.
    pub fn flushes(&self) -> usize {
        let is_flush = |(_, logged): &(usize, Logged)| matches!(logged, Logged::Flush);
        self.disks.iter().map(|disk| disk.log().iter().filter(|entry| is_flush(entry)).count()).sum()
    }

    pub fn store(&self) -> VgStore {
        open(&self.disks).unwrap()
    }

    /// Everything that the disks may hold after a crash at that time: texts, as a store reads them.
    pub fn texts_after_crash(&self, at: usize) -> impl Iterator<Item = (Vec<u8>, Vec<Image>)> + use<> {
        let disks: Vec<&MemDisk> = self.disks.iter().map(Arc::as_ref).collect();
        crash_images(&disks, at).map(|images| {
            let store = open(&on_images(&images)).unwrap();
            assert!(!store.issues().iter().any(super::super::issue::StoreIssue::forbids_commit));
            (store.text().to_vec(), images)
        })
    }
}

/// New disks with that content.
pub fn on_images(images: &[Image]) -> Vec<Arc<MemDisk>> {
    let timeline = Timeline::default();
    let disk = |image: &Image| Arc::new(MemDisk::from_image("/dev/crashed", image.clone(), timeline.clone()));
    images.iter().map(disk).collect()
}

pub fn open(disks: &[Arc<MemDisk>]) -> Result<VgStore, StoreError> {
    VgStore::open(boxed(disks), &vg_ref())
}

pub fn boxed(disks: &[Arc<MemDisk>]) -> Vec<Box<dyn BlockDev>> {
    disks.iter().map(|disk| Box::new(Arc::clone(disk)) as Box<dyn BlockDev>).collect()
}
