use proptest::prelude::{any, prop, proptest};

use super::{Listed, ListedUuid, parse};

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

/// An entry as the kernel writes it, its `next` left zero.
#[expect(clippy::host_endian_bytes)]
fn entry(device: &Listed, events: bool) -> Vec<u8> {
    let mut bytes = device.dev.to_ne_bytes().to_vec();
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(&device.name);
    bytes.push(0);
    pad(&mut bytes);
    if events {
        let (flags, uuid) = match &device.uuid {
            ListedUuid::Is(uuid) => (1u32, Some(uuid)),
            ListedUuid::None => (2, None),
            ListedUuid::Unknown => (0, None),
        };
        bytes.extend(device.event_nr.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        if let Some(uuid) = uuid {
            bytes.extend(uuid);
            bytes.push(0);
            pad(&mut bytes);
        }
    }
    bytes
}

#[expect(clippy::host_endian_bytes)]
fn list(devices: &[Listed], events: bool) -> Vec<u8> {
    let mut all = Vec::new();
    for (index, device) in devices.iter().enumerate() {
        let mut bytes = entry(device, events);
        if index + 1 < devices.len() {
            let next = u32::try_from(bytes.len()).unwrap();
            bytes[8..12].copy_from_slice(&next.to_ne_bytes());
        }
        all.extend(bytes);
    }
    all
}

fn device(name: &str, uuid: ListedUuid) -> Listed {
    Listed { name: name.into(), dev: 0xfd03, event_nr: 7, uuid }
}

#[test]
fn entries_of_new_and_old_kernels() {
    let new = [device("a", ListedUuid::Is(b"LVM-x".to_vec())), device("b-longer", ListedUuid::None)];
    assert_eq!(parse(&list(&new, true), true).unwrap(), new);
    let middle = [device("seven77", ListedUuid::Unknown), device("c", ListedUuid::Unknown)];
    assert_eq!(parse(&list(&middle, true), true).unwrap(), middle);
    let old = [Listed { event_nr: 0, ..device("a", ListedUuid::Unknown) }];
    assert_eq!(parse(&list(&old, false), false).unwrap(), old);
}

#[test]
fn no_device_at_all() {
    assert_eq!(parse(&[], true).unwrap(), []);
    assert_eq!(parse(&[0; 16], true).unwrap(), []);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..100,
    ) {
        let _ = parse(&bytes, true);
        bytes.splice(0..0, list(&[device("a", ListedUuid::None), device("b", ListedUuid::None)], true));
        bytes.truncate(cut);
        let _ = parse(&bytes, true);
    }
}
