use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::error::LabelError;
use super::layout::{Area, CRC_FROM, EXT_USED, EXTENSION_VERSION, LABEL_BYTES, PvLabel, SCAN_BYTES};
use super::parse::{find_label, second_label};
use base::bytes::{crc, le};
use base::ids::LvmUuid;
use base::units::Bytes;

const DEVICE: u64 = 64 << 20;

fn default_label() -> PvLabel {
    PvLabel {
        pv_id: LvmUuid::from_random([7; 32]),
        device_size: Bytes::new(DEVICE),
        data_areas: vec![Area { offset: 1 << 20, size: 0 }],
        metadata_areas: vec![Area { offset: 4096, size: 1_044_480 }],
        ext_version: EXTENSION_VERSION,
        ext_flags: EXT_USED,
        bootloader_areas: vec![],
        label_sector: 1,
    }
}

fn window_of(label: &PvLabel) -> Vec<u8> {
    let mut window = vec![0; SCAN_BYTES];
    let at = usize::try_from(label.label_sector).unwrap() * LABEL_BYTES;
    window[at..at + LABEL_BYTES].copy_from_slice(&label.encode().unwrap());
    window
}

fn find(window: &[u8]) -> Result<Option<PvLabel>, LabelError> {
    find_label(window, Bytes::new(DEVICE))
}

/// Recomputes the checksum after a change to the sector that starts at `at`.
fn reseal(window: &mut [u8], at: usize) {
    let sum = crc::lvm(&window[at + CRC_FROM..at + LABEL_BYTES]);
    le::put_u32(window, at + 16, sum).unwrap();
}

/// The error after one 8-byte field of the default label was changed and its checksum renewed.
fn error_with(field: usize, value: u64) -> String {
    let mut window = window_of(&default_label());
    le::put_u64(&mut window, LABEL_BYTES + field, value).unwrap();
    reseal(&mut window, LABEL_BYTES);
    find(&window).unwrap_err().to_string()
}

#[test]
fn a_label_comes_back_from_any_sector() {
    for sector in 0..4 {
        let label = PvLabel { label_sector: sector, ..default_label() };
        assert_eq!(find(&window_of(&label)), Ok(Some(label)));
    }
    assert_eq!(find(&[0; SCAN_BYTES]), Ok(None));
    assert_eq!(find(&[]), Ok(None));
}

#[test]
fn damage_is_said_with_its_place() {
    let mut window = window_of(&default_label());
    window[LABEL_BYTES + 100] ^= 1;
    assert!(matches!(find(&window), Err(LabelError::Checksum { sector: 1, .. })));
    // The same label in another sector: a copy, not this device's own.
    window.rotate_left(LABEL_BYTES);
    assert_eq!(find(&window), Err(LabelError::WrongSector { found: 0, claimed: 1 }));

    let mut window = window_of(&default_label());
    window[LABEL_BYTES + 24..LABEL_BYTES + 32].copy_from_slice(b"LVM3 \xff01");
    reseal(&mut window, LABEL_BYTES);
    let error = find(&window).unwrap_err().to_string();
    assert_eq!(error, r"the label in sector 1 is of type 'LVM3 \xff01', not 'LVM2 001'");
}

#[test]
fn a_damaged_label_does_not_hide_a_valid_one_and_of_two_the_first_counts() {
    let first = PvLabel { label_sector: 0, ..default_label() };
    let mut window = window_of(&default_label());
    window[..LABEL_BYTES].copy_from_slice(&first.encode().unwrap());
    assert_eq!(find(&window), Ok(Some(first)));
    assert_eq!(second_label(&window), Some(1));
    window[200] ^= 1;
    assert_eq!(find(&window), Ok(Some(default_label())));
    assert_eq!(second_label(&window), None);
}

#[test]
fn fields_that_lie_are_refused() {
    // The PV header starts at 32: uuid, size at 64, data areas at 72, metadata areas at 104.
    assert!(error_with(32, u64::MAX).contains("no valid UUID"));
    assert!(error_with(72, DEVICE + 1).contains("is not within the device"));
    assert!(error_with(80, u64::MAX).contains("is not within the device"));
    assert!(error_with(104, 1024).contains("first four sectors"));
    assert!(error_with(104, 4097).contains("whole sectors"));
    assert!(error_with(104, DEVICE).contains("is not within the device"));
    assert!(error_with(104, 8192).contains("overlaps the data area"));
    assert!(error_with(112, 512).contains("is smaller than"));
    let mut window = window_of(&default_label());
    le::put_u32(&mut window, LABEL_BYTES + 20, 24).unwrap();
    reseal(&mut window, LABEL_BYTES);
    assert_eq!(find(&window), Err(LabelError::HeaderOffset { sector: 1, offset: 24 }));
    le::put_u32(&mut window, LABEL_BYTES + 20, 480).unwrap();
    reseal(&mut window, LABEL_BYTES);
    assert!(matches!(find(&window), Err(LabelError::Truncated { what: "PV header", .. })));
}

#[test]
fn a_list_without_end_is_refused() {
    let mut window = window_of(&default_label());
    for at in (LABEL_BYTES + 72..LABEL_BYTES + 504).step_by(8) {
        le::put_u64(&mut window, at, 4096).unwrap();
    }
    reseal(&mut window, LABEL_BYTES);
    assert!(matches!(find(&window), Err(LabelError::Truncated { what: "data area", .. })));
}

#[test]
fn metadata_areas_must_be_apart() {
    let mut label = default_label();
    label.metadata_areas.push(Area { offset: 4096 + 512, size: 8192 });
    let error = find(&window_of(&label)).unwrap_err().to_string();
    assert!(error.ends_with("overlaps the one at byte 4096"), "{error}");
}

prop_compose! {
    fn any_label()(
        id: [u8; 32],
        data in vec((2048..4096_u64).prop_map(|sector| Area { offset: sector * 512, size: 512 }), 0..4),
        first in 1024..524_288_u64,
        second in any::<bool>(),
        ext in prop_oneof![Just((0, 0)), Just((1, 0)), Just((2, 0)), Just((2, 1))],
        boot in vec((1..1000_u64).prop_map(|n| Area { offset: n * 4096, size: n }), 0..3),
        label_sector in 0..4_u64,
    ) -> PvLabel {
        let mut metadata_areas = vec![Area { offset: 4096, size: first & !511 }];
        if second {
            metadata_areas.push(Area { offset: DEVICE - (1 << 20), size: 1 << 20 });
        }
        PvLabel {
            pv_id: LvmUuid::from_random(id),
            device_size: Bytes::new(DEVICE),
            data_areas: data,
            metadata_areas,
            ext_version: ext.0,
            ext_flags: ext.1,
            bootloader_areas: if ext.0 == 0 { vec![] } else { boot },
            label_sector,
        }
    }
}

use proptest::prop_compose;

proptest! {
    #[test]
    fn what_is_encoded_is_parsed(label in any_label()) {
        prop_assert_eq!(find(&window_of(&label)), Ok(Some(label)));
    }

    /// Arbitrary bytes behind a valid checksum reach every parser, and none of them panics.
    #[test]
    fn byte_soup_never_panics(
        mut window in vec(any::<u8>(), SCAN_BYTES),
        offset in prop_oneof![Just(32_u32), any::<u32>(), 0..600_u32],
        zeros in vec(0..LABEL_BYTES - 8, 0..40),
        device_size: u64,
    ) {
        let at = LABEL_BYTES;
        window[at..at + 8].copy_from_slice(b"LABELONE");
        le::put_u64(&mut window, at + 8, 1).unwrap();
        le::put_u32(&mut window, at + 20, offset).unwrap();
        window[at + 24..at + 32].copy_from_slice(b"LVM2 001");
        window[at + 32..at + 64].copy_from_slice(&[b'a'; 32]);
        for zero in zeros {
            window[at + 64 + zero % 440..][..8].fill(0);
        }
        reseal(&mut window, at);
        if let Ok(Some(label)) = find_label(&window, Bytes::new(device_size)) {
            prop_assert!(label.metadata_areas.iter().all(|area| area.end().unwrap() <= device_size));
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed(byte in 0..LABEL_BYTES, bit in 0..8_u32) {
        let mut window = window_of(&default_label());
        window[LABEL_BYTES + byte] ^= 1 << bit;
        prop_assert!(find(&window) != Ok(Some(default_label())));
    }
}
