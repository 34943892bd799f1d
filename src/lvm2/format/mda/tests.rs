use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::header::{HEADER_LEN, IGNORED, MdaError, MdaHeader, RawLocn};
use super::ring::TextLocn;
use crate::format::label::layout::Area;
use base::bytes::{crc, le};

const AREA: Area = Area { offset: 4096, size: 1_044_480 };

fn slot(offset: u64, size: u64) -> RawLocn {
    RawLocn { offset, size, checksum: 0x1234_5678, flags: 0 }
}

fn reseal(sector: &mut [u8; HEADER_LEN]) {
    let sum = crc::lvm(&sector[4..]);
    le::put_u32(sector, 0, sum).unwrap();
}

/// The header sector with slot 0 changed behind the type's back.
fn sector_with_slot(raw: &RawLocn) -> [u8; HEADER_LEN] {
    let mut sector = MdaHeader::empty(AREA).encode();
    le::put_u64(&mut sector, 40, raw.offset).unwrap();
    le::put_u64(&mut sector, 48, raw.size).unwrap();
    le::put_u32(&mut sector, 56, raw.checksum).unwrap();
    le::put_u32(&mut sector, 60, raw.flags).unwrap();
    reseal(&mut sector);
    sector
}

#[test]
fn the_layout_is_lvm2s() {
    let locn = TextLocn::new(AREA, &slot(512, 1000)).unwrap();
    let sector = MdaHeader::empty(AREA).with_text(&locn).encode();
    assert_eq!(sector[4..20], *b"\x20\x4c\x56\x4d\x32\x20\x78\x5b\x35\x41\x25\x72\x30\x4e\x2a\x3e");
    assert_eq!(le::u32(&sector, 20), Ok(1));
    assert_eq!((le::u64(&sector, 24), le::u64(&sector, 32)), (Ok(4096), Ok(1_044_480)));
    assert_eq!((le::u64(&sector, 40), le::u64(&sector, 48)), (Ok(512), Ok(1000)));
    assert_eq!((le::u32(&sector, 56), le::u32(&sector, 60)), (Ok(0x1234_5678), Ok(0)));
}

#[test]
fn a_header_that_is_not_this_areas_is_refused() {
    let good = MdaHeader::empty(AREA).encode();
    assert_eq!(MdaHeader::parse(&good, AREA), Ok(MdaHeader::empty(AREA)));
    let elsewhere = Area { offset: 8192, ..AREA };
    let error = MdaHeader::parse(&good, elsewhere).unwrap_err().to_string();
    assert_eq!(error, "the metadata area header at byte 8192 has start 4096 instead of 8192");
    let longer = Area { size: AREA.size + 512, ..AREA };
    assert!(MdaHeader::parse(&good, longer).unwrap_err().to_string().contains("has size 1044480"));
    for (at, what) in [(4, "magic"), (20, "version")] {
        let mut sector = good;
        sector[at] ^= 0x40;
        // What makes it no header of lvm2's is told whatever its checksum.
        let unsealed = MdaHeader::parse(&sector, AREA).unwrap_err();
        assert_eq!(unsealed.is_foreign(), what == "magic", "{unsealed}");
        assert_eq!(matches!(unsealed, MdaError::HeaderChecksum { .. }), what == "version");
        reseal(&mut sector);
        match MdaHeader::parse(&sector, AREA) {
            Err(MdaError::Header { what: found, .. }) => assert_eq!(found, what),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_text_must_be_within_the_ring() {
    for (offset, size) in
        [(1, 1), (511, 1), (AREA.size, 1), (512, 0), (512, AREA.size - 511), (512, u64::MAX), (u64::MAX, 1)]
    {
        let header = MdaHeader::parse(&sector_with_slot(&slot(offset, size)), AREA).unwrap();
        assert!(matches!(header.text(), Err(MdaError::TextLocation { .. })), "{offset} {size}");
        let ignored = RawLocn { flags: IGNORED, ..slot(offset, size) };
        let header = MdaHeader::parse(&sector_with_slot(&ignored), AREA).unwrap();
        assert_eq!((header.is_ignored(), header.text()), (true, Ok(None)), "an ignored slot is not read");
    }
    assert_eq!(MdaHeader::empty(AREA).text(), Ok(None));
}

#[test]
fn a_text_wraps_behind_the_header() {
    let parts = |offset, size| TextLocn::new(AREA, &slot(offset, size)).unwrap().parts();
    let at = |offset, size| Area { offset: AREA.offset + offset, size };
    assert_eq!(parts(512, 9), (at(512, 9), None));
    assert_eq!(parts(AREA.size - 512, 512), (at(AREA.size - 512, 512), None));
    assert_eq!(parts(AREA.size - 512, 513), (at(AREA.size - 512, 512), Some(at(512, 1))));
    assert_eq!(parts(AREA.size - 1, AREA.size - 512), (at(AREA.size - 1, 1), Some(at(512, AREA.size - 513))));
}

#[test]
fn a_commit_keeps_flags_and_clears_the_precommit_slot() {
    let header = MdaHeader::empty(AREA).with_precommitted(slot(1024, 7));
    assert_eq!(header.precommitted(), Some(slot(1024, 7)));
    let locn = TextLocn::new(AREA, &slot(512, 9)).unwrap();
    let committed = header.with_text(&locn);
    assert_eq!((committed.text(), committed.precommitted()), (Ok(Some(locn)), None));
    let ignored = committed.with_ignored(true);
    assert_eq!((ignored.is_ignored(), ignored.committed().offset), (true, 512));
    assert_eq!(ignored.with_ignored(false), committed);
}

proptest! {
    #[test]
    fn headers_come_back(offset: u64, size: u64, checksum: u32, flags: u32, pre: u64) {
        let raw = RawLocn { offset, size, checksum, flags };
        let sector = sector_with_slot(&raw);
        let header = MdaHeader::parse(&sector, AREA).unwrap();
        prop_assert_eq!(header.committed(), raw);
        prop_assert_eq!(header.encode(), sector);
        let header = header.with_precommitted(slot(pre, size));
        prop_assert_eq!(MdaHeader::parse(&header.encode(), AREA), Ok(header));
    }

    /// Whatever a header says, the parts it leads to are within its ring and as long as the text.
    #[test]
    fn parts_are_within_the_ring(offset in 0..2_000_000_u64, size in 0..2_000_000_u64) {
        if let Ok(locn) = TextLocn::new(AREA, &slot(offset, size)) {
            let (first, second) = locn.parts();
            let ring = AREA.offset + 512..=AREA.end().unwrap();
            for part in [Some(first), second].into_iter().flatten() {
                prop_assert!(ring.contains(&part.offset) && ring.contains(&part.end().unwrap()));
            }
            prop_assert_eq!(first.size + second.map_or(0, |part| part.size), size);
            prop_assert!(second.is_none_or(|second| second.end().unwrap() <= first.offset));
        }
    }

    #[test]
    fn byte_soup_never_panics(soup in vec(any::<u8>(), HEADER_LEN), area_size: u64, sealed: bool) {
        let mut sector: [u8; HEADER_LEN] = soup.try_into().unwrap();
        sector[4..20].copy_from_slice(b" LVM2 x[5A%r0N*>");
        if sealed {
            le::put_u32(&mut sector, 20, 1).unwrap();
            le::put_u64(&mut sector, 24, 4096).unwrap();
            le::put_u64(&mut sector, 32, area_size).unwrap();
            reseal(&mut sector);
        }
        let area = Area { offset: 4096, size: area_size };
        if let Ok(header) = MdaHeader::parse(&sector, area)
            && let Ok(Some(locn)) = header.text()
        {
            locn.parts();
        }
    }
}
