//! What may be done with a volume group: which are read only, which not even activated.
//! The table of lvm2's own checks, by release, is in docs/lvm2-access.md.

use serde::Serialize;
use thiserror::Error;

use crate::format::model::{Lv, Pv, Vg};

/// Status words per object. A word outside these makes lvm2 refuse the text, so one we do not know means a
/// format we do not know. Source: lvm2 `lib/format_text/flags.c`.
const VG_STATUS: [&str; 7] = ["EXPORTED", "RESIZEABLE", "PVMOVE", "READ", "WRITE", "CLUSTERED", "SHARED"];
const PV_STATUS: [&str; 3] = ["ALLOCATABLE", "EXPORTED", "MISSING"];
const LV_STATUS: [&str; 9] =
    ["READ", "WRITE", "FIXED_MINOR", "VISIBLE", "PVMOVE", "LOCKED", "NOTSYNCED", "REBUILD", "WRITEMOSTLY"];

/// The word in `pr` by which a volume group asks for persistent reservations on its disks before anything else. Source:
/// lvm2 2.03.34 `lib/format_text/export.c`.
const PR_REQUIRE: &str = "require";

/// How a volume group is to be used; each use requires more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// Devices are removed. No metadata is written, and no data becomes accessible.
    Deactivate,
    /// Devices come. The metadata stays.
    Activate,
    /// The metadata is written.
    Change,
}

/// Why something is not done with a volume group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Error)]
#[error("{message}")]
pub struct Refusal {
    /// Why it is forbidden.
    pub message: String,
    /// A hint for the user.
    pub hint: String,
}

/// Whether thinvol may do that with this volume group, on a host that goes by these system ids (empty if by none).
/// Whether its physical volumes are there is another matter.
///
/// # Errors
/// If it is exported, shared or clustered; to activate it, if it is of another host or read-only, wants persistent
/// reservations, or bears a status word thinvol does not know; to change it, if a physical volume is marked missing.
pub fn may_use(vg: &Vg, usage: Use, host_system_ids: &[String]) -> Result<(), Refusal> {
    common(vg)?;
    if usage >= Use::Activate {
        to_activate(vg, host_system_ids)?;
    }
    if usage >= Use::Change {
        to_change(vg)?;
    }
    Ok(())
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|have| have == word)
}

fn refuse(message: String, hint: String) -> Result<(), Refusal> {
    Err(Refusal { message, hint })
}

fn common(vg: &Vg) -> Result<(), Refusal> {
    let name = &vg.name;
    if has(&vg.status, "EXPORTED") {
        return refuse(
            format!("volume group {name} is exported"),
            format!("if no vgsplit is at work on it: vgimport {name}"),
        );
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
    Ok(())
}

fn to_activate(vg: &Vg, host_system_ids: &[String]) -> Result<(), Refusal> {
    let name = &vg.name;
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
    if has(&vg.pr, PR_REQUIRE) {
        return refuse(
            format!("volume group {name} requires persistent reservations on its disks"),
            "thinvol neither takes nor checks them: use lvm2 2.03.34 or later for this volume group".into(),
        );
    }
    if !has(&vg.status, "WRITE") && !has(&vg.flags, "WRITE_LOCKED") {
        return refuse(format!("volume group {name} is read-only"), "its status has no WRITE".into());
    }
    known_status(vg)
}

fn to_change(vg: &Vg) -> Result<(), Refusal> {
    match vg.pvs.iter().find(|pv| pv.is_marked_missing()) {
        None => Ok(()),
        Some(pv) => refuse(
            format!("PV {} of volume group {} is marked missing", pv.id, vg.name),
            format!(
                "bring it back (vgextend --restoremissing), or drop it: vgreduce --removemissing {}",
                vg.name
            ),
        ),
    }
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
        // A plain record has no words but READ, WRITE and VISIBLE.
        vg.lvs.others().find_map(found)
    };
    match of_vg.or_else(of_pv).or_else(of_lv) {
        None => Ok(()),
        Some((word, object)) => Err(Refusal {
            message: format!("{object} has the status word '{word}', which thinvol does not know"),
            hint: "a newer lvm2 wrote it: use that lvm2 to change this volume group".into(),
        }),
    }
}
