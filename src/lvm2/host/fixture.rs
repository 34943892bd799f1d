//! Physical volumes on disks in memory, for tests.

use std::io;
use std::sync::Arc;

use crate::format::label::layout::{Area, EXT_USED, EXTENSION_VERSION, LABEL_BYTES, PvLabel};
use crate::format::mda::header::MdaHeader;
use crate::format::placement::plan::plan_copy;
use base::ids::LvmUuid;
use base::units::Bytes;
use sys::io::block::BlockDev;
use sys::io::mem::disk::{MemDisk, Timeline};
use sys::io::mem::image::Image;

/// Where the first metadata area starts, as lvm2 has it on machines with pages of 4 KiB.
pub const MDA_START: u64 = 4096;

/// What a physical volume is to look like.
#[derive(Clone, Debug)]
pub struct PvShape {
    /// Its identity.
    pub pv_id: LvmUuid,
    /// The device's size in bytes.
    pub device_size: usize,
    /// The device's logical block size in bytes.
    pub block: usize,
    /// Sizes of the metadata areas in bytes: of the first, and of one at the device's end. Zero: none.
    pub mdas: [u64; 2],
}

impl PvShape {
    /// The shape that `pvcreate` gives by default, on a device that is little longer than its first MiB.
    pub fn default_with(pv_id: LvmUuid) -> Self {
        Self { pv_id, device_size: 2 << 20, block: 512, mdas: [(1 << 20) - MDA_START, 0] }
    }

    /// The label of that physical volume.
    pub fn label(&self) -> PvLabel {
        let device_size = u64::try_from(self.device_size).expect("memory is smaller than 2^64 bytes");
        let [first, last] = self.mdas;
        let areas = [
            Area { offset: MDA_START, size: first },
            Area { offset: device_size.saturating_sub(last), size: last },
        ];
        PvLabel {
            pv_id: self.pv_id,
            device_size: Bytes::new(device_size),
            data_areas: vec![Area { offset: (MDA_START + first).next_multiple_of(4096), size: 0 }],
            metadata_areas: areas.into_iter().filter(|area| area.size > 0).collect(),
            ext_version: EXTENSION_VERSION,
            ext_flags: EXT_USED,
            bootloader_areas: Vec::new(),
            label_sector: 1,
        }
    }

    /// A disk with that physical volume, whose metadata areas are empty.
    pub fn make(&self, name: &str, timeline: &Timeline) -> Arc<MemDisk> {
        let mut bytes = vec![0; self.device_size];
        let label = self.label();
        bytes[LABEL_BYTES..2 * LABEL_BYTES]
            .copy_from_slice(&label.encode().expect("a label with few areas fits its sector"));
        for area in label.metadata_areas {
            let at = usize::try_from(area.offset).expect("the area is on the disk");
            let header = MdaHeader::empty(area).encode();
            bytes[at..at + header.len()].copy_from_slice(&header);
        }
        Arc::new(MemDisk::from_image(name, Image::new(bytes, self.block), timeline.clone()))
    }
}

/// Puts `text` (with its NUL) into the metadata area at `area`, whatever state the volume group is in
/// elsewhere.
///
/// # Errors
/// If the disk fails, or there is no room.
pub fn put_text(disk: &dyn BlockDev, area: Area, text: &[u8]) -> io::Result<()> {
    change_header(disk, area, |header| {
        let plan = plan_copy(&header, disk.block_size(), &text.into()).map_err(io::Error::other)?;
        for write in &plan.text {
            disk.write_at(write.offset, &write.bytes)?;
        }
        Ok(plan.new_header)
    })
}

/// Replaces the header of a metadata area.
///
/// # Errors
/// If the disk fails, or the header is damaged, or `change` fails.
pub fn change_header(
    disk: &dyn BlockDev,
    area: Area,
    change: impl FnOnce(MdaHeader) -> io::Result<MdaHeader>,
) -> io::Result<()> {
    let mut sector = [0; LABEL_BYTES];
    disk.read_at(area.offset, &mut sector)?;
    let header = change(MdaHeader::parse(&sector, area).map_err(io::Error::other)?)?;
    disk.write_at(area.offset, &header.encode())?;
    disk.flush()
}
