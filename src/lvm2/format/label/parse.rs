//! Finds and checks the label in the first sectors of a device.

use super::error::LabelError;
use super::layout::{
    Area, CRC_FROM, DiskLocn, LABEL_BYTES, LABEL_ID, LABEL_TYPE, LabelHeader, PvExtension, PvHeader, PvLabel,
    SCAN_SECTORS, read_struct,
};
use base::bytes::crc;
use base::ids::LvmUuid;
use base::units::{Bytes, SECTOR_BYTES};

/// Smallest metadata area that holds a header and one sector of text.
const MDA_MIN_BYTES: u64 = 2 * SECTOR_BYTES;

/// The label in `window`, the first [`SCAN_BYTES`](super::layout::SCAN_BYTES) bytes of a device that has
/// `device_size` bytes, or `None` where
/// no sector starts like a label.
///
/// As in lvm2, a damaged label counts for nothing where another sector has a valid one, and of valid ones the first.
///
/// # Errors
/// If the only label is damaged, or if a list or an area in it is not where it can be.
pub fn find_label(window: &[u8], device_size: Bytes) -> Result<Option<PvLabel>, LabelError> {
    let mut valid: Option<(u64, LabelHeader, &[u8])> = None;
    let mut damaged = None;
    for (sector, bytes) in (0..).zip(window.chunks_exact(LABEL_BYTES).take(SCAN_SECTORS)) {
        match check_header(sector, bytes) {
            None => {}
            Some(Err(error)) => damaged = damaged.or(Some(error)),
            Some(Ok(header)) => {
                valid = valid.or(Some((sector, header, bytes)));
            }
        }
    }
    match (valid, damaged) {
        (Some((sector, header, bytes)), _) => parse(sector, &header, bytes, device_size).map(Some),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(None),
    }
}

/// The sector of a second valid label, which is not used.
pub fn second_label(window: &[u8]) -> Option<u64> {
    let sectors = (0..).zip(window.chunks_exact(LABEL_BYTES).take(SCAN_SECTORS));
    let valid = sectors.filter(|(sector, bytes)| matches!(check_header(*sector, bytes), Some(Ok(_))));
    valid.map(|(sector, _)| sector).nth(1)
}

/// The header of the label in `bytes`, or `None` if they do not start like one.
fn check_header(sector: u64, bytes: &[u8]) -> Option<Result<LabelHeader, LabelError>> {
    let header: LabelHeader =
        read_struct(bytes, 0).ok().filter(|header: &LabelHeader| header.id == LABEL_ID)?;
    let found = header.crc.get();
    let expected = crc::lvm(bytes.get(CRC_FROM..)?);
    Some(if header.sector.get() != sector {
        Err(LabelError::WrongSector { found: sector, claimed: header.sector.get() })
    } else if found != expected {
        Err(LabelError::Checksum { sector, found, expected })
    } else if header.kind != LABEL_TYPE {
        Err(LabelError::Type { sector, kind: header.kind.escape_ascii().to_string() })
    } else {
        Ok(header)
    })
}

fn parse(sector: u64, header: &LabelHeader, bytes: &[u8], device_size: Bytes) -> Result<PvLabel, LabelError> {
    let offset = header.offset.get();
    let start = usize::try_from(offset)
        .ok()
        .filter(|start| *start >= size_of::<LabelHeader>())
        .ok_or(LabelError::HeaderOffset { sector, offset })?;
    let mut cursor = Cursor { sector, bytes, at: start };
    let pv: PvHeader = cursor.take("PV header")?;
    let pv_id = LvmUuid::from_compact(&pv.pv_uuid).map_err(|source| LabelError::Uuid { sector, source })?;
    let data_areas = cursor.areas("data area")?;
    let metadata_areas = cursor.areas("metadata area")?;
    // A PV made before the extension existed has zeros here, as far as the sector reaches.
    let extension: PvExtension = cursor.take("header extension")?;
    let ext_version = extension.version.get();
    let bootloader_areas = if ext_version == 0 { Vec::new() } else { cursor.areas("bootloader area")? };
    let label = PvLabel {
        pv_id,
        device_size: Bytes::new(pv.device_size.get()),
        data_areas,
        metadata_areas,
        ext_version,
        ext_flags: if ext_version == 0 { 0 } else { extension.flags.get() },
        bootloader_areas,
        label_sector: sector,
    };
    check_areas(&label, device_size)?;
    Ok(label)
}

/// Reads one structure after the other.
struct Cursor<'a> {
    sector: u64,
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn take<T: zerocopy::FromBytes>(&mut self, what: &'static str) -> Result<T, LabelError> {
        let sector = self.sector;
        let value = read_struct(self.bytes, self.at).map_err(|source| LabelError::Truncated {
            sector,
            what,
            source,
        })?;
        // Cannot overflow: the structure was found to end within `bytes`.
        self.at += size_of::<T>();
        Ok(value)
    }

    /// A list up to its end mark. As many turns as fit the sector, at most.
    fn areas(&mut self, what: &'static str) -> Result<Vec<Area>, LabelError> {
        let mut areas = Vec::new();
        loop {
            let locn: DiskLocn = self.take(what)?;
            let area = Area { offset: locn.offset.get(), size: locn.size.get() };
            if area == (Area { offset: 0, size: 0 }) {
                return Ok(areas);
            }
            if area.offset == 0 {
                return Err(bad_area(self.sector, what, area, "would overwrite the label"));
            }
            areas.push(area);
        }
    }
}

fn bad_area(sector: u64, what: &'static str, area: Area, why: impl Into<String>) -> LabelError {
    LabelError::Area { sector, what, area, why: why.into() }
}

/// Every area must be within the device; metadata areas, which we write, also in whole sectors and apart.
fn check_areas(label: &PvLabel, device_size: Bytes) -> Result<(), LabelError> {
    let sector = label.label_sector;
    let lists = [
        ("data area", &label.data_areas),
        ("metadata area", &label.metadata_areas),
        ("bootloader area", &label.bootloader_areas),
    ];
    for (what, areas) in lists {
        for area in areas {
            if area.end().is_none_or(|end| end > device_size.get()) {
                let why = format!("is not within the device of {device_size} bytes");
                return Err(bad_area(sector, what, *area, why));
            }
        }
    }
    for (index, area) in label.metadata_areas.iter().enumerate() {
        let bad = |why: String| Err(bad_area(sector, "metadata area", *area, why));
        if area.size < MDA_MIN_BYTES {
            return bad(format!("is smaller than {MDA_MIN_BYTES} bytes"));
        }
        if !area.offset.is_multiple_of(SECTOR_BYTES) || !area.size.is_multiple_of(SECTOR_BYTES) {
            return bad("is not made of whole sectors".into());
        }
        if area.offset < SECTOR_BYTES * u64::try_from(SCAN_SECTORS).expect("a small constant") {
            return bad("reaches into the first four sectors".into());
        }
        let overlaps =
            |other: &&Area| area.offset < other.offset + other.size && other.offset < area.offset + area.size;
        if let Some(other) = label.metadata_areas[..index].iter().find(overlaps) {
            return bad(format!("overlaps the one at byte {}", other.offset));
        }
        let data_start = |data: &&Area| data.offset >= area.offset && data.offset - area.offset < area.size;
        if let Some(data) = label.data_areas.iter().find(data_start) {
            return bad(format!("overlaps the data area at byte {}", data.offset));
        }
    }
    Ok(())
}
