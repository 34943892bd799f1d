//! What identifies a device: what its disk says of itself, as sysfs shows it. Each thing is read once, and only if an
//! entry of the devices file asks for it.
//!
//! Source: lvm2 2.03.39 `lib/device/device_id.c`, `lib/device/parse_vpd.c` and `lib/device/nvme.c`; what those ask an
//! NVMe disk for is in sysfs, too (Linux `drivers/nvme/host/sysfs.c`).

use std::cell::OnceCell;
use std::path::PathBuf;

use super::names::NameSource;
use super::types::DeviceTypes;
use sys::io::roots::Roots;
use sys::io::sysfs::Device;
use sys::io::udev_db::UdevRecord;

/// The kinds of designator that count. Source: SPC-5, 7.7.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Designator {
    /// T10 vendor identification.
    T10,
    /// EUI-64.
    Eui,
    /// NAA.
    Naa,
}

/// The identifiers of an NVMe namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NvmeId {
    /// The IEEE extended unique identifier.
    Eui64,
    /// The namespace globally unique identifier.
    Nguid,
    /// The UUID.
    Uuid,
}

/// A device whose identity is asked for.
pub struct Identity<'a> {
    roots: &'a Roots,
    types: &'a DeviceTypes,
    names: &'a NameSource,
    /// The device.
    pub device: &'a Device,
    record: Option<&'a UdevRecord>,
    wwid: OnceCell<Option<String>>,
    serial: OnceCell<Option<String>>,
    designators: OnceCell<Vec<(Designator, String)>>,
}

impl<'a> Identity<'a> {
    /// Nothing is read yet. `record` is what udev knows of the device.
    pub fn new(
        roots: &'a Roots,
        types: &'a DeviceTypes,
        names: &'a NameSource,
        device: &'a Device,
        record: Option<&'a UdevRecord>,
    ) -> Self {
        let (wwid, serial, designators) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { roots, types, names, device, record, wwid, serial, designators }
    }

    /// Whether it is of a kind that has its own identifiers instead of those of a disk.
    fn is_special(&self) -> bool {
        self.device.dm.is_some() || self.types.is_md(self.device) || self.types.is_loop(self.device)
    }

    fn of_disk(&self, attribute: &str) -> Option<String> {
        if self.is_special() { None } else { self.roots.disk_attribute(self.device, attribute) }
    }

    /// All its names.
    pub fn names(&self) -> Vec<PathBuf> {
        self.names.of(self.roots, self.device, self.record)
    }

    /// Its WWID in sysfs.
    pub fn wwid(&self) -> Option<&str> {
        let read = || self.of_disk("device/wwid").or_else(|| self.of_disk("wwid"));
        self.wwid.get_or_init(read).as_deref()
    }

    /// Its serial number.
    pub fn serial(&self) -> Option<&str> {
        let page = || {
            let page = self.page("device/vpd_pg80")?;
            let length = usize::from(u16::from_be_bytes([*page.get(2)?, *page.get(3)?]));
            let text = page.get(4..)?;
            Some(printable(text.get(..length).unwrap_or(text)))
        };
        // Only virtio disks have it there.
        let virtio = || self.of_disk("serial").filter(|_| self.device.kernel_name.starts_with("vd"));
        let read = || self.of_disk("device/serial").or_else(page).or_else(virtio);
        self.serial.get_or_init(read).as_deref()
    }

    /// The first of its designators of a kind.
    pub fn designator(&self, kind: Designator) -> Option<&str> {
        let mut all = self.designators().iter();
        all.find(|(of, _)| *of == kind).map(|(_, text)| text.as_str())
    }

    /// An identifier of its namespace, if it is an NVMe disk.
    pub fn nvme(&self, id: NvmeId) -> Option<String> {
        if !self.device.is_nvme() {
            return None;
        }
        let hex = |text: String| text.replace(['-', ' '], "").to_ascii_lowercase();
        match id {
            NvmeId::Uuid => Some(format!("uuid.{}", self.of_disk("uuid")?.to_ascii_lowercase())),
            NvmeId::Nguid => Some(format!("eui.{}", hex(self.of_disk("nguid")?))),
            NvmeId::Eui64 => Some(format!("eui.{}", hex(self.of_disk("eui")?))),
        }
    }

    /// Whether some WWID of it is like that: sysfs shows one of several, and not always the same.
    pub fn has_wwid(&self, is: impl Fn(&str) -> bool) -> bool {
        self.wwid().is_some_and(&is)
            || self.designators().iter().any(|(_, text)| is(text))
            || [NvmeId::Uuid, NvmeId::Nguid, NvmeId::Eui64]
                .into_iter()
                .any(|id| self.nvme(id).is_some_and(|text| is(&text)))
    }

    /// Its device-mapper uuid.
    pub fn dm_uuid(&self) -> Option<&str> {
        self.device.dm.as_ref().map(|dm| dm.uuid.as_str())
    }

    /// The uuid of the md array that it is.
    pub fn md_uuid(&self) -> Option<String> {
        self.roots.disk_attribute(self.device, "md/uuid").filter(|_| self.types.is_md(self.device))
    }

    /// The file behind it, if it is a loop device and the file is there.
    pub fn loop_file(&self) -> Option<String> {
        let file = self.roots.disk_attribute(self.device, "loop/backing_file");
        file.filter(|file| self.types.is_loop(self.device) && !file.contains("(deleted)"))
    }

    /// Whether lvm2 would know it by something else than its name. What QEMU gives its disks does not count: earlier
    /// versions did not use it.
    pub fn is_stable(&self) -> bool {
        let known = |uuid: &str| {
            let uuid =
                uuid.strip_prefix("part").and_then(|rest| rest.split_once('-')).map_or(uuid, |it| it.1);
            ["mpath-", "CRYPT-", "LVM-"].iter().any(|prefix| uuid.starts_with(prefix))
        };
        self.wwid().is_some_and(|wwid| !wwid.contains("QEMU"))
            || self.designators().iter().any(|(_, text)| !text.contains("QEMU"))
            || self.serial().is_some()
            || self.dm_uuid().is_some_and(known)
            || self.md_uuid().is_some()
            || self.loop_file().is_some()
    }

    fn designators(&self) -> &[(Designator, String)] {
        self.designators.get_or_init(|| designators(&self.page("device/vpd_pg83").unwrap_or_default()))
    }

    fn page(&self, attribute: &str) -> Option<Vec<u8>> {
        if self.is_special() { None } else { self.roots.disk_bytes(self.device, attribute) }
    }
}

/// The designators in page 83h of a disk's vital product data, in their order.
fn designators(page: &[u8]) -> Vec<(Designator, String)> {
    let mut found = Vec::new();
    let mut rest = page.get(4..).unwrap_or_default();
    while let [_, kind, _, length, more @ ..] = rest {
        let length = usize::from(*length);
        found.extend(designator(kind & 0xf, more.get(..length).unwrap_or(more)));
        rest = more.get(length..).unwrap_or_default();
    }
    found
}

fn designator(kind: u8, value: &[u8]) -> Option<(Designator, String)> {
    let hex = || value.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match (kind, value.len()) {
        (1, _) => Some((Designator::T10, format!("t10.{}", printable(value)))),
        (2, 8 | 12 | 16) => Some((Designator::Eui, format!("eui.{}", hex()))),
        (3, 8 | 16) => Some((Designator::Naa, format!("naa.{}", hex()))),
        // A SCSI name string.
        (8, _) => {
            let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
            let text = String::from_utf8_lossy(text).to_ascii_lowercase();
            let kind = [("eui.", Designator::Eui), ("naa.", Designator::Naa)];
            let (_, kind) = kind.into_iter().find(|(prefix, _)| text.starts_with(prefix))?;
            Some((kind, text))
        }
        _ => None,
    }
}

/// What can be printed of a text, each row of blanks inside as one `_`.
fn printable(text: &[u8]) -> String {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let kept: String =
        text.iter().map(|byte| char::from(*byte)).filter(|c| matches!(c, ' '..='~') && *c != '"').collect();
    kept.split_ascii_whitespace().collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    #[test]
    fn page_83_has_designators() {
        let mut page = vec![0, 0x83, 0, 0];
        for (kind, value) in [
            (1, b" ATA  QEMU\" DISK ".as_slice()),
            (3, &[0x50, 0, 0xc5, 0, 1, 2, 3, 4]),
            (3, &[1, 2]),
            (2, &[0, 0x25, 0x38, 1, 2, 3, 4, 5]),
            (4, &[0, 0, 0, 1]),
            (8, b"naa.5000C500ABCDEF01\0\0\0\0"),
            (8, b"iqn.2001-04.com.example:x"),
        ] {
            page.extend([1, kind, 0, u8::try_from(value.len()).unwrap()]);
            page.extend(value);
        }
        let found = designators(&page);
        let found: Vec<_> = found.iter().map(|(kind, text)| (*kind, text.as_str())).collect();
        let expected = [
            (Designator::T10, "t10.ATA_QEMU_DISK"),
            (Designator::Naa, "naa.5000c50001020304"),
            (Designator::Eui, "eui.0025380102030405"),
            (Designator::Naa, "naa.5000c500abcdef01"),
        ];
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn any_page_is_read(page in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = designators(&page);
            let _ = printable(&page);
        }
    }
}
