//! From an address to what it means in a volume group as it is now.

use super::address::{NamedObject, Snapshot, Storage, Volume, VolumeOrSnapshot};
use crate::lineage::{Lineage, LineageError};
use crate::refusal::Refusal;
use base::error_kind::ErrorKind;
use base::ids::{LvName, VgName};
use lvm2::format::model::{Lv, Vg};

/// The LV at an address.
///
/// # Errors
/// If there is none, or it is no longer like what was chosen.
pub fn volume<'a>(vg: &'a Vg, volume: &Volume) -> Result<&'a Lv, Refusal> {
    still_chosen(vg, volume)?;
    let lv = vg.lv(&volume.lv).filter(|lv| lv.is_visible()).ok_or_else(|| {
        let hint = match &volume.storage {
            Some(storage) => format!("'thinvol list {storage}' shows the volumes of the storage"),
            None => format!("'thinvol list {}/<pool>' shows the volumes of a pool", volume.vg),
        };
        Refusal::new(ErrorKind::NotFound, format!("volume '{volume}' does not exist")).hint(hint)
    })?;
    in_storage(lv, volume)?;
    Ok(lv)
}

/// Makes sure that a volume that was not named is still what was asked for.
fn still_chosen(vg: &Vg, volume: &Volume) -> Result<(), Refusal> {
    let Some(filter) = &volume.chosen_by else { return Ok(()) };
    if vg.lv(&volume.lv).is_some_and(|lv| filter.takes(&lv.name, &lv.tags)) {
        return Ok(());
    }
    let message = format!("'{volume}' was changed meanwhile, and is no longer what was asked for");
    Err(Refusal::new(ErrorKind::Busy, message).hint("run the command again"))
}

/// Makes sure that a volume that was named by a storage is in the pool of it: Proxmox VE looks at the name alone, and
/// takes volumes of other pools for those of the storage.
///
/// # Errors
/// If it is not.
pub fn in_storage(lv: &Lv, volume: &Volume) -> Result<(), Refusal> {
    match &volume.storage {
        Some(storage) if lv.thin().is_none_or(|thin| thin.pool != storage.pool) => {
            let Storage { vg, pool, .. } = storage;
            let message = format!(
                "volume '{volume}' does not exist: '{vg}/{}' is not in thin pool '{vg}/{pool}'",
                lv.name
            );
            Err(Refusal::new(ErrorKind::NotFound, message)
                .hint(format!("'thinvol info {vg}/{}' shows what it is", lv.name)))
        }
        _ => Ok(()),
    }
}

/// The LV of a snapshot, found by what is recorded of it.
///
/// # Errors
/// If its volume does not exist, or has no such snapshot.
pub fn snapshot<'a>(vg: &'a Vg, lineage: &Lineage<'a>, snapshot: &Snapshot) -> Result<&'a Lv, Refusal> {
    let of = volume(vg, &snapshot.volume)?;
    lineage.find_snapshot(of, &snapshot.snap).map_err(|error| explained(&vg.name, &error))
}

/// The LV of a volume or of a snapshot of one.
///
/// # Errors
/// If there is none.
pub fn source<'a>(vg: &'a Vg, lineage: &Lineage<'a>, source: &VolumeOrSnapshot) -> Result<&'a Lv, Refusal> {
    match source {
        VolumeOrSnapshot::Volume(address) => volume(vg, address),
        VolumeOrSnapshot::Snapshot(address) => snapshot(vg, lineage, address),
    }
}

/// The LV of a volume, a snapshot or a pool.
///
/// # Errors
/// If there is none.
pub fn object<'a>(vg: &'a Vg, object: &NamedObject) -> Result<&'a Lv, Refusal> {
    match object {
        NamedObject::Vg(vg) => {
            let message = format!("'{vg}' is a volume group, not a volume or pool");
            Err(Refusal::new(ErrorKind::Usage, message)
                .hint(format!("'thinvol scan lvmthin {vg}' lists its thin pools")))
        }
        NamedObject::Storage(storage) => {
            vg.lv(&storage.pool).filter(|lv| lv.thin_pool().is_some()).ok_or_else(|| no_pool(storage))
        }
        NamedObject::Volume(address) => volume(vg, address),
        NamedObject::Snapshot(address) => snapshot(vg, &Lineage::of(vg), address),
    }
}

/// The error of a pool that is not there.
pub fn no_pool(storage: &Storage) -> Refusal {
    let Storage { vg, pool, id } = storage;
    let message = match id {
        Some(id) => format!("storage '{id}': no such thin pool '{vg}/{pool}'"),
        None => format!("storage '{vg}/{pool}' does not exist: no such thin pool"),
    };
    Refusal::new(ErrorKind::NotFound, message)
        .hint(format!("'thinvol scan lvmthin {vg}' lists the thin pools"))
}

/// An error of lineage with its exit code and what to do about it.
pub fn explained(vg: &VgName, error: &LineageError) -> Refusal {
    match error {
        LineageError::NoSuchSnapshot { former: Some(lv), .. } => Refusal::caused(ErrorKind::NotFound, error)
            .hint(format!(
                "'{vg}/{lv}' was made as that snapshot; it was renamed or may be written to since, and counts as a \
                 volume of its own: address it as '{vg}/{lv}'"
            )),
        LineageError::NoSuchSnapshot { namesake: Some(lv), volume, .. } => {
            Refusal::caused(ErrorKind::NotFound, error).hint(format!(
                "'{vg}/{lv}' has the name of one but nothing records that it was made from '{volume}'; \
                 'thinvol info {vg}/{lv}' shows what it is, 'thinvol free {vg}/{lv}' removes it"
            ))
        }
        LineageError::NoSuchSnapshot { .. } => Refusal::caused(ErrorKind::NotFound, error)
            .hint(format!("'thinvol list --tree {vg}/<pool>' shows all snapshots")),
        LineageError::Ambiguous { .. } => Refusal::caused(ErrorKind::Refused, error)
            .hint("take the tag off those that are not it: lvchange --deltag 'thinvol.snap=…' <vg>/<lv>"),
        LineageError::Unnameable { .. } => {
            Refusal::caused(ErrorKind::Usage, error).hint("choose a shorter or plainer name for the snapshot")
        }
    }
}

/// The error of an LV that is neither thin volume nor thin pool.
pub fn not_thin(vg: &VgName, lv: &LvName) -> Refusal {
    Refusal::new(ErrorKind::Unsupported, format!("'{vg}/{lv}' is neither a thin volume nor a thin pool"))
        .hint(format!("'lvs -a -o all {vg}/{lv}' shows what it is"))
}
