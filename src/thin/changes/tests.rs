use super::*;
use crate::lineage::SnapName;
use crate::lineage::fixture::{lv, name, vg};
use crate::request::Request;
use base::ids::{DevNo, VgName};
use config::names::StorageId;
use lvm2::format::model::Vg;

mod batches;
mod pools;
mod removed;
mod renamed;

/// Addresses in VG `pve`, and in storage `st` on its pool `data`.
struct Here;

impl Here {
    fn volume_of(text: &str) -> Volume {
        let vg = VgName::new("pve").unwrap();
        match (text.split_once(':'), text.rsplit_once('/')) {
            (Some((id, lv)), _) => {
                Storage { vg, pool: name("data"), id: Some(StorageId::new(id).unwrap()) }.volume(name(lv))
            }
            (None, Some((_, lv))) => Volume::new(vg, name(lv)),
            _ => panic!("'{text}' is no address"),
        }
    }
}

impl Resolve for Here {
    type Error = Refusal;

    fn storage(&self, text: &str) -> Result<Storage, Refusal> {
        let Volume { vg, lv, .. } = Self::volume_of(text);
        Ok(Storage { vg, pool: lv, id: None })
    }

    fn volume(&self, text: &str) -> Result<Volume, Refusal> {
        Ok(Self::volume_of(text))
    }

    fn snapshot(&self, text: &str) -> Result<Snapshot, Refusal> {
        let (volume, snap) = text.split_once('@').unwrap();
        Ok(Snapshot { volume: Self::volume_of(volume), snap: SnapName::new(snap).unwrap() })
    }

    fn device(&self, path: &str) -> Result<DevNo, Refusal> {
        let number = path.strip_prefix("/dev/sd").and_then(|number| number.parse().ok());
        Ok(DevNo { major: 8, minor: number.expect("a device of a test") })
    }

    fn volume_or_snapshot(&self, text: &str) -> Result<VolumeOrSnapshot, Refusal> {
        match text.contains('@') {
            true => self.snapshot(text).map(VolumeOrSnapshot::Snapshot),
            false => self.volume(text).map(VolumeOrSnapshot::Volume),
        }
    }
}

/// The changes that are written in lines.
fn changes(text: &str) -> Vec<Change> {
    let line = |line| serde_json::from_str::<Change<Written>>(line).unwrap().resolve(&Here).unwrap();
    text.lines().map(line).collect()
}

/// The requests that changes come to, or the first that is refused, with its number before the message.
fn lowered(vg: &Vg, text: &str) -> Result<Vec<Request>, Refusal> {
    match lower(vg, &changes(text)) {
        Ok(lowered) => Ok(lowered.requests),
        Err(refusal) => {
            let line = refusal.request.unwrap() + 1;
            Err(Refusal { message: format!("{line}: {}", refusal.message), ..refusal })
        }
    }
}
