//! Which volume groups are read but never written.

use serde::Serialize;
use thiserror::Error;

use crate::format::model::{Lv, Pv, Vg};

/// Status words per object. A word outside these makes lvm2 refuse the text, so one we do not know means a
/// format we do not know. Source: lvm2 `lib/format_text/flags.c`.
const VG_STATUS: [&str; 7] = ["EXPORTED", "RESIZEABLE", "PVMOVE", "READ", "WRITE", "CLUSTERED", "SHARED"];
const PV_STATUS: [&str; 3] = ["ALLOCATABLE", "EXPORTED", "MISSING"];
const LV_STATUS: [&str; 9] =
    ["READ", "WRITE", "FIXED_MINOR", "VISIBLE", "PVMOVE", "LOCKED", "NOTSYNCED", "REBUILD", "WRITEMOSTLY"];

/// Why a volume group is not written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Error)]
#[error("{message}")]
pub struct Refusal {
    /// What stands against it.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Whether thinvol may change this volume group, on a host that goes by these system ids (empty if by none).
///
/// # Errors
/// If it is exported, shared, clustered, of another host, read-only or partial, has its metadata copies
/// managed by lvm2, or bears a status word thinvol does not know.
pub fn may_write(vg: &Vg, host_system_ids: &[String]) -> Result<(), Refusal> {
    let name = &vg.name;
    let has = |words: &[String], word: &str| words.iter().any(|have| have == word);
    let refuse = |message: String, hint: String| Err(Refusal { message, hint });
    if has(&vg.status, "EXPORTED") {
        return refuse(format!("volume group {name} is exported"), format!("import it: vgimport {name}"));
    }
    if let Some(kind) = vg.lock_type.as_deref().filter(|kind| !matches!(*kind, "" | "none")) {
        return refuse(
            format!("volume group {name} is shared (lock type {kind})"),
            "shared volume groups are changed with lvm2 and lvmlockd only".into(),
        );
    }
    if let Some(word) = ["CLUSTERED", "SHARED"].into_iter().find(|word| has(&vg.status, word)) {
        return refuse(
            format!("volume group {name} is for clusters (status {word})"),
            format!("if no other host uses it: vgchange --lock-type none --lock-opt force {name}"),
        );
    }
    if let Some(owner) = vg.system_id.as_deref().filter(|id| !id.is_empty())
        && !has(host_system_ids, owner)
    {
        let host = if host_system_ids.is_empty() { "none" } else { &host_system_ids.join(", ") };
        return refuse(
            format!(
                "volume group {name} belongs to the host with system id '{owner}' (this host has {host})"
            ),
            format!("change it on that host; if that host is gone for good, see lvmsystemid(7): {name}"),
        );
    }
    if !has(&vg.status, "WRITE") && !has(&vg.flags, "WRITE_LOCKED") {
        return refuse(format!("volume group {name} is read-only"), "its status has no WRITE".into());
    }
    let missing = vg.pvs.iter().find(|pv| has(&pv.status, "MISSING") || has(&pv.flags, "MISSING"));
    if let Some(pv) = missing {
        return refuse(
            format!("PV {} of volume group {name} is marked missing", pv.id),
            format!("bring it back (vgextend --restoremissing), or drop it: vgreduce --removemissing {name}"),
        );
    }
    if vg.metadata_copies != 0 {
        return refuse(
            format!("lvm2 manages the metadata copies of volume group {name} (metadata_copies is set)"),
            format!("leave the choice of copies to the PVs: vgchange --vgmetadatacopies unmanaged {name}"),
        );
    }
    known_status(vg)
}

fn known_status(vg: &Vg) -> Result<(), Refusal> {
    let unknown = |words: &[String], known: &[&str]| {
        words
            .iter()
            .find(|word| !known.contains(&word.as_str()))
            .map(|word| word.escape_default().to_string())
    };
    let of_vg = unknown(&vg.status, &VG_STATUS).map(|word| (word, format!("volume group {}", vg.name)));
    let of_pv = || {
        let found = |pv: &Pv| Some((unknown(&pv.status, &PV_STATUS)?, format!("PV {}", pv.id)));
        vg.pvs.iter().find_map(found)
    };
    let of_lv = || {
        let found =
            |lv: &Lv| Some((unknown(&lv.status, &LV_STATUS)?, format!("volume {}/{}", vg.name, lv.name)));
        vg.lvs.iter().find_map(found)
    };
    match of_vg.or_else(of_pv).or_else(of_lv) {
        None => Ok(()),
        Some((word, object)) => Err(Refusal {
            message: format!("{object} has the status word '{word}', which thinvol does not know"),
            hint: "a newer lvm2 wrote it: use that lvm2 to change this volume group".into(),
        }),
    }
}
