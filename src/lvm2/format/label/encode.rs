//! Writes a label, as `pvcreate` would.

use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::{U32, U64};

use super::layout::{
    Area, CRC_FROM, DiskLocn, LABEL_BYTES, LABEL_ID, LABEL_TYPE, LabelHeader, PvExtension, PvHeader, PvLabel,
};
use base::bytes::le::OutOfBounds;
use base::bytes::{crc, le};

impl PvLabel {
    /// The sector that holds this label.
    ///
    /// # Errors
    /// If its lists are longer than a sector holds.
    pub fn encode(&self) -> Result<[u8; LABEL_BYTES], OutOfBounds> {
        let mut body = Vec::new();
        let pv_uuid = self.pv_id.compact().as_bytes();
        body.extend_from_slice(pv_uuid);
        body.extend_from_slice(&self.device_size.get().to_le_bytes());
        debug_assert_eq!(body.len(), size_of::<PvHeader>());
        put_areas(&mut body, &self.data_areas);
        put_areas(&mut body, &self.metadata_areas);
        let extension = PvExtension { version: U32::new(self.ext_version), flags: U32::new(self.ext_flags) };
        body.extend_from_slice(extension.as_bytes());
        if self.ext_version != 0 {
            put_areas(&mut body, &self.bootloader_areas);
        }
        let start = size_of::<LabelHeader>();
        let mut sector = [0; LABEL_BYTES];
        le::slice_mut(&mut sector, start, body.len())?.copy_from_slice(&body);
        let mut header = LabelHeader {
            id: LABEL_ID,
            sector: U64::new(self.label_sector),
            crc: U32::new(0),
            offset: U32::new(u32::try_from(start).expect("a small constant")),
            kind: LABEL_TYPE,
        };
        sector[..start].copy_from_slice(header.as_bytes());
        header.crc = U32::new(crc::lvm(&sector[CRC_FROM..]));
        sector[..start].copy_from_slice(header.as_bytes());
        Ok(sector)
    }
}

fn put_areas(body: &mut Vec<u8>, areas: &[Area]) {
    for area in areas.iter().chain(&[Area { offset: 0, size: 0 }]) {
        let locn = DiskLocn { offset: U64::new(area.offset), size: U64::new(area.size) };
        body.extend_from_slice(locn.as_bytes());
    }
}
