//! The configurations of guests, as far as they name volumes. Source of the form: qemu-server `PVE/QemuConfig.pm` and
//! pve-container `PVE/LXC/Config.pm` (`parse_vm_config`, `parse_pct_config`).
//!
//! A configuration has lines `key: value`; `[name]` begins what it was at a snapshot, or something special.

use super::names::VolumeId;

/// What of a guest a volume is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The guest as it is, or as it is to be after its next start.
    Current,
    /// A snapshot of it.
    Snapshot(String),
    /// What a program keeps for itself.
    Special,
}

/// A place where a configuration names a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// In which part.
    pub part: Part,
    /// Under which key, such as `scsi0`.
    pub key: String,
    /// The volume: `<storage>:<name>`, or the path of a device.
    pub what: What,
    /// Whether it is the medium of a drive that is not snapshotted with the guest.
    pub is_medium: bool,
}

/// How a volume is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// By its storage.
    Volume(VolumeId),
    /// By the path of its device.
    Device(String),
}

/// The volumes that a configuration names, in the order of its lines. What is not understood names none.
pub fn volumes(text: &str) -> Vec<Named> {
    let mut part = Part::Current;
    let mut named = Vec::new();
    for line in text.lines() {
        let line = line.trim_end();
        if let Some(begun) = section(line) {
            part = begun;
            continue;
        }
        let Some((key, value)) = line.split_once(':').filter(|(key, _)| is_key(key)) else { continue };
        let is_medium = value.split(',').any(|word| word.trim() == "media=cdrom");
        let words = value.split([',', ';', ' ', '\t']);
        named.extend(words.filter_map(what).map(|what| Named {
            part: part.clone(),
            key: key.to_owned(),
            what,
            is_medium,
        }));
    }
    named
}

/// The names of the snapshots that a configuration has.
pub fn snapshots(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter_map(|line| section(line.trim_end())?.snapshot().map(ToOwned::to_owned))
}

/// The part that a line begins.
fn section(line: &str) -> Option<Part> {
    Some(match line.strip_prefix('[')?.strip_suffix(']')? {
        "PENDING" | "pve:pending" => Part::Current,
        name if name.contains(':') => Part::Special,
        name => Part::Snapshot(name.to_owned()),
    })
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// What a word of a value names: `file=` and `volume=` may stand before it.
fn what(word: &str) -> Option<What> {
    let word = ["file=", "volume="].iter().find_map(|name| word.strip_prefix(name)).unwrap_or(word);
    if word.starts_with("/dev/") {
        return Some(What::Device(word.to_owned()));
    }
    VolumeId::parse(word).ok().filter(|_| !word.contains('=')).map(What::Volume)
}

impl Part {
    /// Whether a volume that is a disk of it should have this snapshot: of the guest as it is, none.
    pub fn snapshot(&self) -> Option<&str> {
        match self {
            Self::Snapshot(name) => Some(name),
            Self::Current | Self::Special => None,
        }
    }
}

/// Whether a key is one of a disk that is snapshotted with its guest: not the memory that a snapshot keeps, nor what is
/// not in use.
pub fn is_disk(key: &str) -> bool {
    let kind = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let has_number = kind.len() < key.len();
    key == "rootfs"
        || has_number && matches!(kind, "ide" | "sata" | "scsi" | "virtio" | "efidisk" | "tpmstate" | "mp")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
#a comment, with local-lvm:vm-100-disk-9
boot: order=scsi0;ide2
efidisk0: local-lvm:vm-100-disk-1,efitype=4m,size=4M
ide2: local-lvm:vm-100-cloudinit,media=cdrom
net0: virtio=BC:24:11:00:00:01,bridge=vmbr0
parent: monday
scsi0: file=local-lvm:vm-100-disk-0,iothread=1,size=32G
scsi1: cache=none,file=/dev/disk/by-id/scsi-36001405,size=1G
unused0: local-lvm:vm-100-disk-3

[PENDING]
scsi2: local-lvm:vm-100-disk-4

[monday]
scsi0: local-lvm:vm-100-disk-0,size=32G\r
vmstate: local-lvm:vm-100-state-monday

[special:fleecing]
fleecing-images: local-lvm:vm-100-fleece-0;local-lvm:vm-100-fleece-1
";

    #[test]
    fn volumes_are_found_wherever_they_are_named() {
        let shown = |named: &Named| {
            let what = match &named.what {
                What::Volume(id) => format!("{}:{}", id.storage, id.volname),
                What::Device(path) => path.clone(),
            };
            let part = match &named.part {
                Part::Current => "",
                Part::Snapshot(name) => name,
                Part::Special => "special",
            };
            format!("{part} {} {what}{}", named.key, if named.is_medium { " medium" } else { "" })
        };
        assert_eq!(
            volumes(CONFIG).iter().map(shown).collect::<Vec<_>>(),
            [
                " efidisk0 local-lvm:vm-100-disk-1",
                " ide2 local-lvm:vm-100-cloudinit medium",
                " scsi0 local-lvm:vm-100-disk-0",
                " scsi1 /dev/disk/by-id/scsi-36001405",
                " unused0 local-lvm:vm-100-disk-3",
                " scsi2 local-lvm:vm-100-disk-4",
                "monday scsi0 local-lvm:vm-100-disk-0",
                "monday vmstate local-lvm:vm-100-state-monday",
                "special fleecing-images local-lvm:vm-100-fleece-0",
                "special fleecing-images local-lvm:vm-100-fleece-1",
            ]
        );
        let container =
            volumes("rootfs: local-lvm:vm-101-disk-0,size=8G\nmp0: volume=local-lvm:vm-101-disk-1,mp=/x\n");
        assert_eq!(container.len(), 2);
        assert_eq!(
            volumes("\0[\n]\n:\n: x\n[a\nx: \n[]\ny:/dev/"),
            [Named {
                part: Part::Snapshot(String::new()),
                key: "y".to_owned(),
                what: What::Device("/dev/".to_owned()),
                is_medium: false,
            }]
        );
    }

    #[test]
    fn snapshots_are_parts_of_their_own() {
        assert_eq!(snapshots(CONFIG).collect::<Vec<_>>(), ["monday"]);
    }

    #[test]
    fn disks_are_told_by_their_keys() {
        for key in ["scsi0", "virtio15", "rootfs", "mp255", "efidisk0", "tpmstate0"] {
            assert!(is_disk(key), "{key}");
        }
        for key in ["unused0", "vmstate", "scsihw", "scsi", "net0", "fleecing-images"] {
            assert!(!is_disk(key), "{key}");
        }
    }
}
