//! The writes of one commit to one metadata area.

use super::place::{Ring, RoomError};
use crate::format::label::layout::Area;
use crate::format::mda::header::{MdaHeader, RawLocn};
use crate::format::mda::ring::TextLocn;
use base::bytes::crc;
use base::bytes::shared::SharedBytes;

/// How much of the room for a text of `length` bytes is used, in percent, rounded up. Above 100 it is too
/// large.
pub fn percent_used(length: u64, limit: u64) -> u64 {
    let percent = (u128::from(length) * 100).div_ceil(u128::from(limit.max(1)));
    u64::try_from(percent).unwrap_or(u64::MAX)
}

/// One write to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskWrite {
    /// From the device's start, in bytes.
    pub offset: u64,
    /// What to write there.
    pub bytes: SharedBytes,
}

/// The writes that commit a text to one metadata area. The header's is the commit: it must reach the disk
/// after those of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyPlan {
    /// Where the text goes.
    pub locn: TextLocn,
    /// The text, padded with zeros to whole blocks; two writes where it wraps.
    pub text: Vec<DiskWrite>,
    /// The header that points to it.
    pub header: DiskWrite,
    /// That header, decoded.
    pub new_header: MdaHeader,
}

/// Plans the commit of `text`, which ends with its NUL, to the area of `header` on a device with blocks of
/// `block_size` bytes.
///
/// # Errors
/// If there is no room for it.
pub fn plan_copy(header: &MdaHeader, block_size: u32, text: &SharedBytes) -> Result<CopyPlan, RoomError> {
    let area = header.area();
    let ring = Ring::new(area, block_size);
    let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
    let offset = ring.place(header.text()?.as_ref(), size)?;
    let slot = RawLocn { offset, size, checksum: crc::lvm(text), flags: 0 };
    let locn = TextLocn::new(area, &slot)?;
    let (first, second) = locn.parts();
    // The place was chosen with room for zeros up to a whole block.
    let block = usize::try_from(ring.padding()).expect("a block fits the address space");
    let writes = match second {
        None => vec![DiskWrite { offset: first.offset, bytes: text.padded(block) }],
        Some(second) => {
            let split = usize::try_from(first.size).unwrap_or(usize::MAX).min(text.len());
            let (head, tail) = text.split_at(split);
            let part = |part: Area, bytes: &[u8]| DiskWrite {
                offset: part.offset,
                bytes: SharedBytes::from(bytes).padded(block),
            };
            vec![part(first, head), part(second, tail)]
        }
    };
    let new_header = header.with_text(&locn);
    let header_write = DiskWrite { offset: area.offset, bytes: new_header.encode().to_vec().into() };
    Ok(CopyPlan { locn, text: writes, header: header_write, new_header })
}
