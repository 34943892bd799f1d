//! LVM's hints: which devices had a PV when lvm2 last looked at all of them.
//!
//! Source: lvm2 `lib/label/hints.c`. The file says under which settings and for which set of devices it was written;
//! it is used only where all of that is still so. It is never written here: a change inside a VG does not concern it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::host::conf::DevicesConf;
use base::bytes::crc::LvmCrc;
use base::ids::{DevNo, LvmUuid, VgName};

/// The only major version that is understood: 2 came with the devices file.
const VERSION: &str = "2.";

/// A device that had a PV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Its preferred name.
    pub path: PathBuf,
    /// The PV.
    pub pv_id: LvmUuid,
    /// Its number then.
    pub no: Option<DevNo>,
    /// The VG of the PV, if known.
    pub vg: Option<VgName>,
}

/// The hints file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The settings it was written under.
    settings: BTreeMap<String, String>,
    /// Checksum over the names of all devices that may have PVs; zero if not given.
    devices_hash: u32,
    /// The devices that had PVs.
    pub devices: Vec<Hint>,
}

impl Hints {
    /// Reads the file in `run` (`/run`), unless it is marked as out of date or just being changed.
    pub fn read(run: &Path) -> Option<Self> {
        let dir = run.join("lvm");
        if dir.join("nohints").exists() || dir.join("newhints").exists() {
            return None;
        }
        let file = File::open(dir.join("hints")).ok()?;
        // Who changes the set of PVs holds this lock exclusively: the hints are void then.
        let mut file = Flock::lock(file, FlockArg::LockSharedNonblock).ok()?;
        let mut text = String::new();
        file.by_ref().take(1 << 24).read_to_string(&mut text).ok()?;
        Self::parse(&text)
    }

    /// Reads the text; `None` if it is of another version or has no devices.
    pub fn parse(text: &str) -> Option<Self> {
        let mut hints = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((key, value)) = line.split_once(':') else { continue };
            match key {
                "scan" => hints.devices.extend(parse_device(value)),
                "devs_hash" => hints.devices_hash = value.split_whitespace().next()?.parse().ok()?,
                _ => {
                    hints.settings.insert(key.to_owned(), value.trim_start_matches(' ').to_owned());
                }
            }
        }
        let is_ours = hints.settings.get("hints_version")?.starts_with(VERSION);
        (is_ours && !hints.devices.is_empty()).then_some(hints)
    }

    /// Whether it was written under these settings and for these devices: `devices` are the preferred names of all
    /// devices that may have PVs, whether they have or not.
    pub fn hold_for<'a>(
        &self,
        conf: &DevicesConf,
        devicesfile_in_use: bool,
        devices: impl IntoIterator<Item = (DevNo, &'a Path)>,
    ) -> bool {
        let patterns = |list: &Option<Vec<String>>| {
            list.as_ref().map_or_else(|| "a|.*|".to_owned(), |list| list.concat())
        };
        let expected = [
            ("global_filter", patterns(&conf.global_filter)),
            ("filter", patterns(&conf.filter)),
            ("scan_lvs", u8::from(conf.scan_lvs).to_string()),
            ("devices_file", if devicesfile_in_use { conf.devicesfile_name.clone() } else { ".".to_owned() }),
        ];
        let same = |(key, value): &(&str, String)| self.settings.get(*key).is_none_or(|found| found == value);
        expected.iter().all(same) && (self.devices_hash == 0 || self.devices_hash == hash(devices))
    }

    /// The devices of a VG, and those whose VG is not known; of all VGs if none is given.
    pub fn of_vg(&self, vg: Option<&VgName>) -> impl Iterator<Item = &Hint> {
        self.devices.iter().filter(move |hint| match (vg, &hint.vg) {
            (Some(wanted), Some(vg)) => vg == wanted,
            _ => true,
        })
    }
}

/// `/dev/sda pvid:<32 characters> devn:8:0 vg:<name or ->`.
fn parse_device(line: &str) -> Option<Hint> {
    let mut words = line.split_whitespace();
    let path = PathBuf::from(words.next()?);
    let mut field = |key: &str| words.next().and_then(|word| word.strip_prefix(key));
    let pv_id = LvmUuid::from_compact(field("pvid:")?.as_bytes()).ok()?;
    let no = field("devn:").and_then(|no| no.parse().ok());
    let vg = field("vg:").filter(|vg| *vg != "-").and_then(|vg| VgName::new(vg).ok());
    Some(Hint { path, pv_id, no, vg })
}

/// The checksum of a set of devices. lvm2 goes through them in the order of its tree: by the bytes of the device
/// number, backwards. Source: lvm2 `lib/datastruct/btree.c` (`_shuffle`), `lib/label/hints.c`.
fn hash<'a>(devices: impl IntoIterator<Item = (DevNo, &'a Path)>) -> u32 {
    let mut devices: Vec<(u32, &Path)> =
        devices.into_iter().map(|(no, path)| (encode(no).swap_bytes(), path)).collect();
    devices.sort_unstable();
    let mut crc = LvmCrc::new();
    for (_, path) in devices {
        crc.update(path.as_os_str().as_encoded_bytes());
    }
    crc.finish()
}

/// The low 32 bits of a `dev_t`. Source: glibc `bits/sysmacros.h`.
fn encode(no: DevNo) -> u32 {
    (no.minor & 0xff) | ((no.major & 0xfff) << 8) | ((no.minor & 0xfff00) << 12)
}

#[cfg(test)]
mod tests;
