//! The start of a disk: label, metadata area headers, the ring and the texts in it.

use base::bytes::{crc, le};
use lvm2::host::store::read::{Content, read_device};
use lvm2::host::store::summary::TextPool;
use lvm2::host::store::vg::VgStore;
use lvm2::host::store::vg_ref::VgRef;
use sys::io::mem::disk::{MemDisk, Timeline};
use sys::io::mem::image::Image;

use crate::samples;
use crate::world::machine::Machine;

/// The sectors of the disk.
const SECTOR: usize = 512;

/// Where the first metadata area starts on the disks that mutation starts from.
const AREA: usize = 4096;

/// Reads the bytes as a disk, as they are and with all checksums made right: else few damaged ones are looked into.
pub fn label_and_areas(bytes: &[u8]) {
    let mut content = bytes.to_vec();
    content.resize(bytes.len().next_multiple_of(SECTOR).max(SECTOR), 0);
    read(&content);
    seal(&mut content);
    read(&content);
}

/// Makes the checksums right of the label, of the text that the first area's header points to, and of that header.
/// Source of the offsets: docs/on-disk.md.
fn seal(content: &mut [u8]) {
    if let Some(text_sum) = text_checksum(content) {
        let _ = le::put_u32(content, AREA + 40 + 16, text_sum);
    }
    for (at, sum_at, from) in [(SECTOR, 16, 20), (AREA, 0, 4)] {
        if let Some(sector) = content.get_mut(at..at + SECTOR) {
            let sum = crc::lvm(&sector[from..]);
            let _ = le::put_u32(sector, sum_at, sum);
        }
    }
}

/// The checksum of the text in use, wherever it lies in the ring; `None` if its place makes no sense.
fn text_checksum(content: &[u8]) -> Option<u32> {
    let field = |offset| le::u64(content, AREA + offset).ok().and_then(|value| usize::try_from(value).ok());
    let (size, at, length) = (field(32)?, field(40)?, field(48)?);
    let first = length.min(size.checked_sub(at)?);
    let head = content.get(AREA.checked_add(at)?..)?.get(..first)?;
    let tail = content.get(AREA + SECTOR..)?.get(..length - first)?;
    let mut sum = crc::LvmCrc::new();
    sum.update(head);
    sum.update(tail);
    Some(sum.finish())
}

/// A text that counts is one that can be summarized, and a store on it can be opened.
fn read(content: &[u8]) {
    let disk = || MemDisk::from_image("/dev/sda", Image::new(content.to_vec(), SECTOR), Timeline::default());
    let Ok(Some(pv)) = read_device(&disk(), &mut TextPool::default()) else { return };
    for mda in &pv.mdas {
        let Content::Text(copy) = &mda.content else { continue };
        let opened = VgStore::open(vec![Box::new(disk())], &VgRef::Id(copy.summary.id));
        let mut store = opened.expect("a text that was read is there when it is read again");
        // Whether it may be changed or not: the answer is one, and the old text is still there after a refusal.
        let before = store.text().to_vec();
        if store.commit(&before).is_err() {
            assert_eq!(store.text(), before, "a refused commit changed the text");
        }
    }
}

/// A disk of the small machine, and the starts of physical volumes that lvm2 wrote.
///
/// # Panics
/// If the recorded volumes cannot be read.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![Machine::new(1).images()[0].to_vec()];
    let volumes = samples::volumes().expect("the volumes are part of the source");
    seeds.extend(volumes.iter().step_by(3).map(|volume| volume.head(64 << 10)));
    seeds
}
