//! Bringing the devices of a session in line with what its target shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::time::Duration;

use serde::Serialize;

use super::bounded::bounded;
use super::claims::claim_lun;
use super::diskless::Diskless;
use super::env::Env;
use super::error::{Replaced, SessionError};
use super::lun_set::LunSet;
use super::report_luns::reported_luns;
use super::settle::settled;
use super::usage::Claim;
use crate::host::limit::Limit;
use crate::host::sysfs::{self, Lun, Session, scsi};
use crate::protocol::wwid::Wwid;
use base::units::Bytes;
use sys::io::holders::Holder;

/// How long a target may take to list its LUNs.
const REPORT_WAIT: Duration = Duration::from_secs(10);

/// What was found different about a LUN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Its device was made.
    Added {
        /// The LUN.
        lun: u64,
    },
    /// Its size is another.
    Resized {
        /// The LUN.
        lun: u64,
        /// Bytes before.
        from: Bytes,
        /// Bytes now.
        to: Bytes,
    },
    /// The target does not show it any more; its device was removed.
    Removed {
        /// The LUN.
        lun: u64,
    },
    /// The target shows another disk under its number; the device of the old one was removed.
    Replaced {
        /// The LUN.
        lun: u64,
    },
    /// The target does not show it any more, and its device is in use.
    GoneInUse {
        /// The LUN.
        lun: u64,
        /// The device.
        disk: String,
        /// Who uses it.
        holders: Vec<Holder>,
    },
}

/// What was done, and what there is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// What changed.
    pub changes: Vec<Change>,
    /// The selected LUNs that exist, with their disks.
    pub luns: Vec<Lun>,
    /// The selected LUNs without a usable disk, and why.
    pub diskless: Vec<Diskless>,
}

impl Attached {
    /// A selected LUN that does not exist.
    pub fn missing(&self, wanted: &LunSet) -> Option<u64> {
        let LunSet::Only(some) = wanted else { return None };
        let is_known = |number: u64| {
            self.luns.iter().any(|lun| lun.address.lun == number)
                || self.diskless.iter().any(|lun| lun.lun == number)
        };
        some.iter().copied().find(|number| !is_known(*number))
    }

    /// Whether the device of a LUN was made now: for a LUN that had none, or in place of another disk's.
    pub fn is_new(&self, lun: &Lun) -> bool {
        let number = lun.address.lun;
        self.changes.contains(&Change::Added { lun: number }) || self.gone().contains(&number)
    }

    /// The LUNs that are not there any more, or are others now.
    pub fn gone(&self) -> BTreeSet<u64> {
        let number = |change: &Change| match change {
            Change::Removed { lun } | Change::Replaced { lun } => Some(*lun),
            _ => None,
        };
        self.changes.iter().filter_map(number).collect()
    }
}

/// Creates the devices of the selected LUNs of a session, and removes those of LUNs that are gone or were replaced.
///
/// `before` says what each LUN was when it was attached; what the kernel remembers counts where it says nothing.
///
/// # Errors
/// If a LUN that is in use is another one now, or the limit is over.
pub fn attach(
    env: &Env<'_>,
    session: &Session,
    wanted: &LunSet,
    before: &BTreeMap<u64, Wwid>,
    limit: &Limit,
) -> Result<Attached, SessionError> {
    let known: Vec<Lun> = sysfs::luns(&env.roots, session);
    let mut changes = Vec::new();
    let shown = shown_luns(env, &known, limit)?;
    for lun in known.iter().filter(|lun| wanted.includes(lun.address.lun)) {
        let number = lun.address.lun;
        if shown.as_ref().is_some_and(|shown| !shown.contains(&number)) {
            changes.push(gone(env, lun, limit)?);
        } else if lun.disk.is_none() && !lun.is_connected {
            // The kernel asks a LUN whether it is connected when it finds it, and never again.
            delete(env, lun, limit)?;
        } else {
            changes.extend(refreshed(env, session, lun, before.get(&number), limit)?);
        }
    }
    scan(env, session, wanted, limit)?;
    let (luns, diskless) = settled(env, session, wanted, limit);
    let is_known = |lun: &Lun| known.iter().any(|old| old.address == lun.address && old.disk.is_some());
    changes
        .extend(luns.iter().filter(|lun| !is_known(lun)).map(|lun| Change::Added { lun: lun.address.lun }));
    Ok(Attached { changes, luns, diskless })
}

/// The LUNs the target shows, asked through a device it has; `None` if there is none to ask, or it does not say.
fn shown_luns(env: &Env<'_>, known: &[Lun], limit: &Limit) -> Result<Option<BTreeSet<u64>>, SessionError> {
    for disk in known.iter().filter_map(|lun| lun.disk.as_ref()) {
        let path = env.roots.dev.join(&disk.name);
        let ask = move || {
            let file = File::open(path).map_err(|error| error.to_string())?;
            reported_luns(&file, REPORT_WAIT).map_err(|error| error.to_string())
        };
        match bounded(limit, "the list of LUNs", ask)? {
            Ok(shown) => return Ok(Some(shown)),
            // The device of a LUN that is gone may not be there to be asked; another one may.
            Err(error) => tracing::debug!(disk = %disk.name, error, "cannot ask for the list of LUNs"),
        }
    }
    Ok(None)
}

/// A LUN that the target does not show any more.
fn gone(env: &Env<'_>, lun: &Lun, limit: &Limit) -> Result<Change, SessionError> {
    let number = lun.address.lun;
    match lun.disk.as_ref().map(|disk| (disk, (env.claim)(&env.roots, disk))) {
        Some((disk, Claim::InUse(holders))) => {
            Ok(Change::GoneInUse { lun: number, disk: disk.path(), holders })
        }
        // The claim is kept until the device is removed.
        _claimed => delete(env, lun, limit).map(|()| Change::Removed { lun: number }),
    }
}

/// A LUN that the target shows: asked anew who it is and how large.
fn refreshed(
    env: &Env<'_>,
    session: &Session,
    lun: &Lun,
    before: Option<&Wwid>,
    limit: &Limit,
) -> Result<Option<Change>, SessionError> {
    let number = lun.address.lun;
    let roots = env.roots.clone();
    let address = lun.address;
    let asked = bounded(limit, "asking a LUN anew", move || scsi::rescan(&roots, address))?;
    let now = sysfs::lun(&env.roots, lun.address);
    if asked.is_err() && now.is_none() {
        return Ok(None);
    }
    let found = now.as_ref().and_then(|now| now.wwid.clone());
    if let Some(before) = before.or(lun.wwid.as_ref())
        && found.as_ref() != Some(before)
    {
        // The claim is kept until the device is removed.
        let _claimed = match lun.disk.as_ref().map(|disk| (disk, (env.claim)(&env.roots, disk))) {
            Some((disk, Claim::InUse(holders))) => {
                return Err(SessionError::Replaced(Box::new(Replaced {
                    target: session.target.clone(),
                    lun: number,
                    disk: disk.path(),
                    before: before.clone(),
                    found,
                    holders,
                })));
            }
            claimed => claimed,
        };
        delete(env, lun, limit)?;
        return Ok(Some(Change::Replaced { lun: number }));
    }
    let size = |lun: &Lun| lun.disk.as_ref().map(|disk| disk.size);
    Ok(match (size(lun), now.as_ref().and_then(size)) {
        (Some(from), Some(to)) if from != to => Some(Change::Resized { lun: number, from, to }),
        _ => None,
    })
}

/// Removes the device of a LUN that nobody uses.
///
/// # Errors
/// If it is in use, or the limit is over.
pub fn delete_unused(env: &Env<'_>, session: &Session, lun: &Lun, limit: &Limit) -> Result<(), SessionError> {
    let _claimed = claim_lun(env, session, lun)?;
    delete(env, lun, limit)
}

/// Removes the device of a LUN; that it is gone is fine. Only for who has claimed it.
///
/// # Errors
/// If the limit is over.
pub fn delete(env: &Env<'_>, lun: &Lun, limit: &Limit) -> Result<(), SessionError> {
    let roots = env.roots.clone();
    let address = lun.address;
    let deleted = bounded(limit, "removing a device", move || scsi::delete(&roots, address))?;
    match deleted {
        Err(source) if sysfs::lun(&env.roots, lun.address).is_some() => {
            Err(SessionError::Io { action: format!("remove the device of LUN {}", lun.address), source })
        }
        _ => Ok(()),
    }
}

/// Has the kernel scan for the selected LUNs.
fn scan(env: &Env<'_>, session: &Session, wanted: &LunSet, limit: &Limit) -> Result<(), SessionError> {
    let which: Vec<Option<u64>> = match wanted {
        LunSet::All => vec![None],
        LunSet::Only(some) => some.iter().copied().map(Some).collect(),
    };
    let (roots, host, target_id) = (env.roots.clone(), session.host, session.target_id);
    let scanned = bounded(limit, "the search for LUNs", move || {
        which.into_iter().try_for_each(|lun| scsi::scan(&roots, host, target_id, lun))
    })?;
    scanned.map_err(|source| SessionError::Io { action: "search the session for LUNs".into(), source })
}
