//! What is said of changes, before and after they are made.

use crate::output::moment;
use base::ids::VgName;
use base::units::Sectors;
use thin::Done;
use thin::changes::{Change, NamedObject, Note, Role, VolumeOrSnapshot};

/// A change that was made, in lines; `done` is the outcome of its parts.
pub fn done(vg: &VgName, change: &Change, done: &[&Done]) -> Vec<String> {
    match change {
        Change::Activate(change) => vec![devices("activated", &change.volume)],
        Change::Deactivate(change) => vec![devices("deactivated", &change.volume)],
        _ => done.iter().filter_map(|done| part(vg, change, done)).collect(),
    }
}

fn devices(did: &str, object: &NamedObject) -> String {
    match object {
        NamedObject::Vg(vg) => format!("{did} volume group '{vg}'"),
        _ => format!("{did} '{object}'"),
    }
}

/// A part of a change that was made; nothing if it goes without saying.
fn part(vg: &VgName, change: &Change, done: &Done) -> Option<String> {
    let (shown, name) = (&done.display_name, &done.name);
    Some(match (change, &done.role) {
        (Change::Create(_) | Change::Clone(_), Role::Itself) => format!("successfully created '{shown}'"),
        (Change::Snapshot(_), Role::Itself) => format!("created snapshot '{shown}' ('{vg}/{name}')"),
        (Change::Remove(change), Role::Itself) => match &change.volume {
            VolumeOrSnapshot::Volume(_) => format!("Removed volume '{shown}'"),
            VolumeOrSnapshot::Snapshot(_) => format!("removed snapshot '{shown}' ('{vg}/{name}')"),
        },
        (Change::Remove(_), Role::Snapshot(snap)) => {
            format!("Removed its snapshot '{snap}' ('{vg}/{name}')")
        }
        (Change::Resize(_), Role::Itself) => format!("resized '{shown}'"),
        (Change::PoolCreate(_), Role::Itself) => format!("created pool '{shown}'"),
        (Change::PoolRemove(change), Role::Itself) if change.pool.pool == *name => {
            format!("removed pool '{shown}'")
        }
        (Change::PoolRemove(_), Role::Itself) => format!("removed '{vg}/{name}'"),
        (Change::PoolExtend(_) | Change::PoolSet(_) | Change::PoolRepair(_), Role::Itself) => {
            format!("pool '{shown}': {}", done.effect)
        }
        (Change::Rename(_), Role::Itself) => format!("renamed '{shown}' to '{name}'"),
        (Change::Rename(_), Role::Snapshot(snap)) => format!("renamed its snapshot '{snap}' to '{name}'"),
        (Change::Modify(_), Role::Itself) => format!("changed '{shown}'"),
        (Change::Rollback(change), Role::Itself) => {
            format!("rolled back '{shown}' to snapshot '{}'", change.snapshot.snap)
        }
        (Change::Template(_), Role::Itself) => format!("'{shown}' is template '{name}' now"),
        _ => return None,
    })
}

/// What there is to know of a change, whatever becomes of it.
pub fn note(note: &Note) -> String {
    match note {
        Note::Rounded { asked, extents, extent } => {
            let kib = |sectors: u64| Sectors::new(sectors).to_bytes().map_or(0, |bytes| bytes.get() / 1024);
            let whole = extents.saturating_mul(extent.get());
            format!(
                "{} KiB are rounded up to {extents} extents of {} KiB: {} KiB",
                kib(asked.get()),
                kib(extent.get()),
                kib(whole)
            )
        }
        Note::Absent(volume) => format!("volume '{volume}' does not exist; nothing to remove"),
        Note::FormerSnapshotStays { volume, snap, former } => format!(
            "'{0}/{former}' was made as snapshot '{snap}' of '{volume}' and is a volume of its own by now, by its \
             name and flags: it stays; 'thinvol free {0}/{former}' removes it",
            volume.vg
        ),
        Note::GivenUp { volume, newest: Some((name, Some(time))) } => {
            let time = moment(*time);
            format!(
                "what was written to '{volume}' since its newest snapshot, '{name}' of {time}, is given up"
            )
        }
        Note::GivenUp { volume, newest: Some((name, None)) } => {
            format!("what was written to '{volume}' since its newest snapshot, '{name}', is given up")
        }
        Note::GivenUp { volume, newest: None } => format!("what '{volume}' holds is given up"),
        other => format!("{other:?}"),
    }
}
