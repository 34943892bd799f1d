//! Reads the label, the metadata area headers and the texts of one device.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use super::summary::{SummaryError, TextCopy, TextPool};
use crate::format::label::error::LabelError;
use crate::format::label::layout::{Area, PvLabel, SCAN_BYTES};
use crate::format::label::parse::{find_label, second_label};
use crate::format::mda::header::{HEADER_LEN, MdaError, MdaHeader};
use crate::format::mda::ring::TextLocn;
use sys::io::block::BlockDev;

/// How often an area is read before its damage is believed: a reader without the lock may meet a writer that
/// overwrites the text, or even the header, between two reads. lvm2 retries once.
const READ_TRIES: u32 = 5;

/// Why the start of a device cannot be used.
#[derive(Clone, Debug, Error)]
pub enum DeviceError {
    /// It cannot be read.
    #[error("the device cannot be read")]
    Io(#[source] Arc<io::Error>),
    /// Its label is damaged.
    #[error(transparent)]
    Label(#[from] LabelError),
}

/// Why a metadata area gives no text.
#[derive(Clone, Debug, Error)]
pub enum CopyError {
    /// It cannot be read.
    #[error("the metadata area at byte {at} cannot be read")]
    Io {
        /// Where the area starts.
        at: u64,
        /// What the device reports.
        #[source]
        source: Arc<io::Error>,
    },
    /// Its header or the text's checksum is wrong.
    #[error(transparent)]
    Format(#[from] MdaError),
    /// The text's checksum is right and its content is wrong.
    #[error("the metadata area at byte {at} holds an unusable text")]
    Text {
        /// Where the area starts.
        at: u64,
        /// The problem.
        #[source]
        source: SummaryError,
    },
}

/// What a metadata area holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// It is set aside and was not looked at.
    Ignored,
    /// It never held a text, or its volume group was removed.
    Empty,
    /// A text that is whole.
    Text(TextCopy),
    /// Nothing that can be used.
    Damaged(CopyError),
}

/// A metadata area as read.
#[derive(Clone, Debug)]
pub struct MdaRead {
    /// Where it is.
    pub area: Area,
    /// Its header, unless that is what is damaged.
    pub header: Option<MdaHeader>,
    /// What it holds.
    pub content: Content,
}

/// A device with a valid label, as read.
#[derive(Clone, Debug)]
pub struct PvRead {
    /// Its label.
    pub label: PvLabel,
    /// Its metadata areas, in the label's order.
    pub mdas: Vec<MdaRead>,
    /// The sector of another label, which does not count.
    pub second_label: Option<u64>,
}

/// Reads a device; `None` if it has no label. Texts seen before are taken from `pool`.
///
/// # Errors
/// If its start cannot be read or its label is damaged. A damaged metadata area is no error but part of the answer.
pub fn read_device(device: &dyn BlockDev, pool: &mut TextPool) -> Result<Option<PvRead>, DeviceError> {
    let scan = u64::try_from(SCAN_BYTES).expect("a small constant").min(device.size().get());
    let mut window = vec![0; usize::try_from(scan).expect("at most the small constant")];
    device.read_at(0, &mut window).map_err(|error| DeviceError::Io(Arc::new(error)))?;
    let Some(label) = find_label(&window, device.size())? else { return Ok(None) };
    let mdas = label.metadata_areas.iter().map(|area| read_area(device, *area, pool)).collect();
    Ok(Some(PvRead { label, mdas, second_label: second_label(&window) }))
}

/// Reads one metadata area, again if it seems damaged and is not twice the same.
pub(super) fn read_area(device: &dyn BlockDev, area: Area, pool: &mut TextPool) -> MdaRead {
    let mut last = read_area_once(device, area, pool);
    for _ in 1..READ_TRIES {
        let Content::Damaged(CopyError::Format(before)) = &last.content else { return last };
        let again = read_area_once(device, area, pool);
        let same = matches!(&again.content, Content::Damaged(CopyError::Format(now)) if now == before);
        last = again;
        if same {
            return last;
        }
    }
    last
}

fn read_area_once(device: &dyn BlockDev, area: Area, pool: &mut TextPool) -> MdaRead {
    let header = match read_header(device, area) {
        Ok(header) => header,
        Err(error) => return MdaRead { area, header: None, content: Content::Damaged(error) },
    };
    let content = match header.text() {
        _ if header.is_ignored() => Content::Ignored,
        Ok(None) => Content::Empty,
        Ok(Some(locn)) => match read_text(device, &locn, area, pool) {
            Ok(copy) => Content::Text(copy),
            Err(error) => Content::Damaged(error),
        },
        Err(error) => Content::Damaged(error.into()),
    };
    MdaRead { area, header: Some(header), content }
}

/// Reads and checks the header of a metadata area.
pub(super) fn read_header(device: &dyn BlockDev, area: Area) -> Result<MdaHeader, CopyError> {
    let mut sector = [0; HEADER_LEN];
    device
        .read_at(area.offset, &mut sector)
        .map_err(|error| CopyError::Io { at: area.offset, source: Arc::new(error) })?;
    Ok(MdaHeader::parse(&sector, area)?)
}

/// Whether a text that is known already is what is in the area: it is read piece by piece, so that no memory is taken
/// for it once more.
fn is_there(device: &dyn BlockDev, locn: &TextLocn, known: &[u8], at: u64) -> Result<bool, CopyError> {
    const PIECE: usize = 256 << 10;
    let mut buffer = vec![0; PIECE.min(known.len())];
    let (first, second) = locn.parts();
    let mut rest = known;
    for part in [Some(first), second].into_iter().flatten() {
        let length = usize::try_from(part.size).unwrap_or(usize::MAX).min(rest.len());
        let (here, behind) = rest.split_at(length);
        let mut offset = part.offset;
        for piece in here.chunks(PIECE) {
            let read = &mut buffer[..piece.len()];
            device.read_at(offset, read).map_err(|error| CopyError::Io { at, source: Arc::new(error) })?;
            if read != piece {
                return Ok(false);
            }
            offset += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        }
        rest = behind;
    }
    Ok(true)
}

fn read_text(
    device: &dyn BlockDev,
    locn: &TextLocn,
    area: Area,
    pool: &mut TextPool,
) -> Result<TextCopy, CopyError> {
    let at = area.offset;
    let too_long = |_| CopyError::Io { at, source: Arc::new(io::Error::from(io::ErrorKind::OutOfMemory)) };
    let length = usize::try_from(locn.size()).map_err(too_long)?;
    for known in pool.of_length(length) {
        if is_there(device, locn, &known.text, at)? {
            locn.check(&known.text)?;
            return Ok(known.clone());
        }
    }
    let mut text = vec![0; length];
    let (first, second) = locn.parts();
    let split = usize::try_from(first.size).map_err(too_long)?;
    let (head, tail) = text.split_at_mut(split);
    for (part, buf) in [(Some(first), head), (second, tail)] {
        let Some(part) = part else { continue };
        device.read_at(part.offset, buf).map_err(|error| CopyError::Io { at, source: Arc::new(error) })?;
    }
    locn.check(&text)?;
    pool.take(text).map_err(|source| CopyError::Text { at, source })
}
