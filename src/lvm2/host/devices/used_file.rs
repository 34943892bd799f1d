//! The devices file: the only devices that may be PVs, where it is in use.
//!
//! Source: lvm2 `lib/device/device_id.c`. A line: `IDTYPE=sys_wwid IDNAME=naa.5000… DEVNAME=/dev/sda PVID=… PART=1`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::identity::{Designator, Identity, NvmeId};
use base::ids::LvmUuid;

/// How an entry identifies its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdType {
    /// By a WWID.
    SysWwid,
    /// By its serial number.
    SysSerial,
    /// By its name, which may change.
    DevName,
    /// By the dm uuid of a multipath device, an encrypted device or an LV.
    DmUuid,
    /// By the uuid of an md array.
    MdUuid,
    /// By the file behind a loop device.
    LoopFile,
    /// By a designator of its disk.
    Wwid(Designator),
    /// By an identifier of its NVMe namespace.
    Nvme(NvmeId),
    /// In a way that is not known here.
    Unknown(String),
}

impl IdType {
    fn parse(word: &str) -> Self {
        match word {
            "sys_wwid" => Self::SysWwid,
            "sys_serial" => Self::SysSerial,
            "devname" => Self::DevName,
            "mpath_uuid" | "crypt_uuid" | "lvmlv_uuid" => Self::DmUuid,
            "md_uuid" => Self::MdUuid,
            "loop_file" => Self::LoopFile,
            "wwid_naa" => Self::Wwid(Designator::Naa),
            "wwid_eui" => Self::Wwid(Designator::Eui),
            "wwid_t10" => Self::Wwid(Designator::T10),
            "nvme_eui64" => Self::Nvme(NvmeId::Eui64),
            "nvme_nguid" => Self::Nvme(NvmeId::Nguid),
            "nvme_uuid" => Self::Nvme(NvmeId::Uuid),
            _ => Self::Unknown(word.to_owned()),
        }
    }
}

/// An entry of the devices file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedDevice {
    /// How it identifies its device.
    pub id_type: IdType,
    /// By what; `None` if only the PV is known, and not where it is.
    pub id_name: Option<String>,
    /// Where it was last seen.
    pub dev_name: Option<PathBuf>,
    /// The PV that was on it.
    pub pv_id: Option<LvmUuid>,
    /// The partition of the device.
    pub partition: u32,
    /// Its line in the file, from 1.
    pub line: usize,
}

/// The devices file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsedDevices {
    /// Its entries, in order.
    pub entries: Vec<UsedDevice>,
}

impl UsedDevices {
    /// Reads the file; `None` if it does not exist: it is not in use then.
    ///
    /// # Errors
    /// If it exists and cannot be read.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(text) => Ok(Some(Self::parse(&String::from_utf8_lossy(&text)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the entries of a text. As in lvm2, a line without an IDTYPE and an IDNAME is no entry.
    pub fn parse(text: &str) -> Self {
        let entry = |(index, line): (usize, &str)| {
            let field = |key: &str| {
                let (_, value) = line.split_once(key)?;
                let value = value.trim_start_matches(' ').split(' ').next().unwrap_or_default();
                Some((!value.is_empty() && !value.starts_with('.')).then(|| value.to_owned()))
            };
            let id_type = IdType::parse(&field("IDTYPE=")??);
            Some(UsedDevice {
                id_type,
                id_name: field("IDNAME=")?,
                dev_name: field("DEVNAME=").flatten().map(PathBuf::from),
                pv_id: field("PVID=").flatten().and_then(|id| LvmUuid::from_compact(id.as_bytes()).ok()),
                partition: field("PART=").flatten().and_then(|part| part.parse().ok()).unwrap_or(0),
                line: index + 1,
            })
        };
        let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
        Self { entries: lines.filter_map(entry).collect() }
    }
}

impl UsedDevice {
    /// Whether this entry means that device.
    pub fn matches(&self, identity: &Identity<'_>) -> bool {
        let Some(id_name) = &self.id_name else { return false };
        if identity.device.partition.unwrap_or(0) != self.partition {
            return false;
        }
        // Later versions of lvm2 cut off what earlier ones made of blanks at the ends.
        let bare = |text: &str| squeeze(&text.replace('"', "")).trim_matches('_').to_owned();
        let found = match &self.id_type {
            IdType::DevName => {
                return identity.names().iter().any(|name| name.as_os_str() == id_name.as_str());
            }
            IdType::SysWwid => return identity.has_wwid(|wwid| bare(wwid) == bare(id_name)),
            IdType::SysSerial => return identity.serial().is_some_and(|found| bare(found) == bare(id_name)),
            IdType::Wwid(kind) => return identity.designator(*kind) == Some(id_name),
            IdType::Nvme(id) => return identity.nvme(*id).as_ref() == Some(id_name),
            IdType::DmUuid => identity.dm_uuid().map(str::to_owned),
            IdType::MdUuid => identity.md_uuid(),
            IdType::LoopFile => identity.loop_file(),
            IdType::Unknown(_) => None,
        };
        found.is_some_and(|found| squeeze(&found) == squeeze(id_name))
    }
}

/// lvm2 writes blanks and control characters as `_`; later versions make one of several.
fn squeeze(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let c = if c.is_whitespace() || c.is_control() { '_' } else { c };
        if c != '_' || !out.ends_with('_') {
            out.push(c);
        }
    }
    out
}
