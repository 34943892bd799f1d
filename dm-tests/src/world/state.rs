//! States as numbers: two that differ in nothing that matters have the same one.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use base::units::Sectors;
use dm::kernel::{Kernel as _, StatusFlush};
use dm::sim::SimKernel;
use lvm2::host::fixture::MDA_START;
use sys::io::mem::image::Image;

use super::host::HostState;
use super::machine::disk_number;
use super::text::{METADATA_2_SECTOR, METADATA_SECTOR, SPARE_SECTOR};

/// Where slot 0 of a metadata area's header is. Source: lvm2 `lib/format_text/layout.h` (`struct mda_header`).
const SLOT_0: usize = 40;

/// Bytes of a metadata area's header, where its ring starts.
const HEADER: usize = 512;

fn area_start() -> usize {
    usize::try_from(MDA_START).expect("a small constant")
}

fn number(bytes: &[u8]) -> usize {
    let bytes = bytes.try_into().expect("eight bytes were cut out");
    usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX)
}

/// The header of a disk's metadata area and the bytes it points to: all that a reader looks at.
fn visible(image: &Image) -> (Vec<u8>, Vec<u8>) {
    let mut header = vec![0; HEADER];
    image.read(area_start(), &mut header);
    let ring_end = number(&header[32..40]).min(image.size() - area_start());
    let (offset, size) = (number(&header[SLOT_0..SLOT_0 + 8]), number(&header[SLOT_0 + 8..SLOT_0 + 16]));
    if offset < HEADER || offset > ring_end || size > ring_end {
        return (header, Vec::new());
    }
    let mut text = vec![0; size];
    let first = size.min(ring_end - offset);
    image.read(area_start() + offset, &mut text[..first]);
    image.read(area_start() + HEADER, &mut text[first..]);
    (header, text)
}

/// Everything a reader of these disks sees, exactly.
pub fn exact_disks(images: &[Image]) -> u64 {
    let mut hash = DefaultHasher::new();
    images.iter().map(visible).for_each(|seen| seen.hash(&mut hash));
    hash.finish()
}

/// What a reader of these disks sees, whatever the number of the commit: the texts without it, and which are newest.
pub fn disks(images: &[Image]) -> u64 {
    let mut hash = DefaultHasher::new();
    let seen: Vec<(u64, Vec<u8>)> = images.iter().map(|image| without_seqno(&visible(image).1)).collect();
    let newest = seen.iter().map(|(seqno, _)| *seqno).max();
    for (seqno, text) in &seen {
        (Some(*seqno) == newest, text).hash(&mut hash);
    }
    hash.finish()
}

fn without_seqno(text: &[u8]) -> (u64, Vec<u8>) {
    const KEY: &[u8] = b"\nseqno = ";
    let Some(at) = text.windows(KEY.len()).position(|window| window == KEY) else {
        return (0, text.to_vec());
    };
    let digits = &text[at + KEY.len()..];
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let seqno = digits[..length].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    (seqno, [&text[..at], &digits[length..]].concat())
}

/// Devices, their tables and states, and the pools' metadata on disk.
pub fn kernel(kernel: &SimKernel, pvs: usize) -> u64 {
    let mut hash = DefaultHasher::new();
    for listed in kernel.list().unwrap_or_default() {
        let Ok(Some(info)) = kernel.info(&listed.name) else { continue };
        let table: Vec<String> =
            kernel.table(&listed.name).unwrap_or_default().iter().map(ToString::to_string).collect();
        let status = kernel.status(&listed.name, StatusFlush::NoFlush).map(|(_, lines)| lines);
        let status: Vec<String> = status.unwrap_or_default().iter().map(ToString::to_string).collect();
        let flags = (info.suspended, info.read_only, info.live_table, info.inactive_table, info.open_count);
        (listed.name.as_str(), listed.dev.minor, flags, table, status).hash(&mut hash);
    }
    for (place, sector) in [(pvs - 1, METADATA_SECTOR), (pvs - 1, METADATA_2_SECTOR), (0, SPARE_SECTOR)] {
        let on_disk = kernel.metadata_on_disk(disk_number(place), Sectors::new(sector));
        format!("{on_disk:?}").hash(&mut hash);
    }
    hash.finish()
}

/// What the host remembers that matters to a next process.
pub fn host(state: &HostState) -> u64 {
    let mut hash = DefaultHasher::new();
    (&state.clean, &state.reading, format!("{:?}", state.making)).hash(&mut hash);
    hash.finish()
}
