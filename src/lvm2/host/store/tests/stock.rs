//! A physical volume as lvm2 2.03.16 left it: `vgcreate --metadatasize 60k --dataalignment 64k`, then a tag
//! added three times. What is cut off behind the text is zeros.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{prop_assert, proptest};

use crate::format::label::layout::{Area, LABEL_BYTES, PvLabel};
use crate::format::mda::header::{HEADER_LEN, MdaHeader};
use crate::host::store::error::StoreError;
use crate::host::store::vg::VgStore;
use crate::host::store::vg_ref::VgRef;
use base::ids::VgName;
use base::units::Bytes;
use sys::io::block::BlockDev;
use sys::io::mem::disk::{MemDisk, Timeline};
use sys::io::mem::image::Image;

const HEAD: &[u8] = include_bytes!("../testdata/pv-of-lvm2-2.03.16.img");
const AREA: Area = Area { offset: 4096, size: 61_440 };

/// The start of the device, as far as the label's areas need it.
fn bytes() -> Vec<u8> {
    let mut bytes = HEAD.to_vec();
    bytes.resize(128 << 10, 0);
    bytes
}

fn open(bytes: Vec<u8>) -> Result<VgStore, StoreError> {
    let disk = Arc::new(MemDisk::from_image("/dev/loop3", Image::new(bytes, 512), Timeline::default()));
    let devices: Vec<Box<dyn BlockDev>> = vec![Box::new(disk)];
    VgStore::open(devices, &VgRef::Name(VgName::new("fixture").unwrap()))
}

#[test]
fn it_is_read() {
    let store = open(bytes()).unwrap();
    assert!(store.issues().is_empty(), "{:?}", store.issues());
    assert_eq!(store.summary().id.to_string(), "pKKABh-EQya-Dwyf-uaf2-OPql-uB8f-YipYMv");
    assert_eq!(store.summary().seqno.0, 4);
    assert_eq!(store.text().len(), 749);
    assert!(store.text().starts_with(b"fixture {\n") && store.text().ends_with(b"\n\0"));
    let member = store.members().next().unwrap();
    let expected = PvLabel {
        pv_id: "FmYjhu-8VeV-9jmu-FaKG-JhjC-UoHg-MbWhGI".parse().unwrap(),
        device_size: Bytes::new(8 << 20),
        data_areas: vec![Area { offset: 65_536, size: 0 }],
        metadata_areas: vec![AREA],
        ext_version: 2,
        ext_flags: 1,
        bootloader_areas: vec![],
        label_sector: 1,
    };
    assert_eq!(member.pv.label, expected);
    assert_eq!(member.pv.mdas[0].header.as_ref().unwrap().committed().offset, 3584);
}

#[test]
fn our_encoders_make_the_same_bytes() {
    let store = open(bytes()).unwrap();
    let pv = store.members().next().unwrap().pv;
    assert_eq!(pv.label.encode().unwrap(), HEAD[LABEL_BYTES..2 * LABEL_BYTES]);
    let sector: &[u8; HEADER_LEN] = HEAD[4096..4608].try_into().unwrap();
    assert_eq!(MdaHeader::parse(sector, AREA).unwrap().encode(), *sector);
}

proptest! {
    /// Damage is found out: what is read is what lvm2 wrote, or nothing.
    #[test]
    fn damage_never_passes_for_a_text(
        hits in vec((0..8500_usize, 1..=255_u8), 1..6),
        zeroed in proptest::option::of(0..16_usize),
    ) {
        let mut damaged = bytes();
        for (at, mask) in hits {
            damaged[at] ^= mask;
        }
        if let Some(sector) = zeroed {
            damaged[sector * 512..(sector + 1) * 512].fill(0);
        }
        if let Ok(store) = open(damaged) {
            prop_assert!(store.text() == &bytes()[7680..7680 + 749]);
        }
    }
}
