//! Claims on the disks of a session, which are needed to end it.
//!
//! The kernel would let a session go under a mounted file system, a volume group that came up by itself, or a multipath
//! device. So a session that has disks is ended by nobody who has not claimed all of them; the claims are kept until it
//! is gone, so that nobody begins to use a disk meanwhile.

use std::fs::File;
use std::sync::Arc;

use super::env::Env;
use super::error::SessionError;
use super::usage::Claim;
use crate::host::sysfs::{self, Lun, Session};
use crate::protocol::interface::message::SessionId;

/// Exclusive claims on all disks of a session, held while this lives.
#[derive(Clone, Debug)]
pub struct Claims(Arc<Vec<File>>);

impl Claims {
    /// Claims every disk of a session.
    ///
    /// # Errors
    /// If one is in use: who uses it is named, and nothing is claimed.
    pub fn take(env: &Env<'_>, session: &Session) -> Result<Self, SessionError> {
        let mut claims = Vec::new();
        for lun in sysfs::luns(&env.roots, session) {
            claims.extend(claim_lun(env, session, &lun)?);
        }
        Ok(Self(Arc::new(claims)))
    }

    /// The same for a session by its number; one that is gone has no disks.
    ///
    /// # Errors
    /// If a disk is in use.
    pub fn take_of(env: &Env<'_>, sid: SessionId) -> Result<Self, SessionError> {
        match sysfs::session(&env.roots, sid) {
            Some(session) => Self::take(env, &session),
            None => Ok(Self(Arc::default())),
        }
    }

    /// Writes back dirty pages of the disks.
    pub fn write_back(&self) {
        for claim in self.0.iter() {
            if let Err(error) = claim.sync_all() {
                tracing::warn!(%error, "what was written may not have reached the target");
            }
        }
    }
}

/// Claims the disk of one LUN; none if it has no disk, or the disk cannot be opened and no user of it is found.
///
/// # Errors
/// If it is in use.
pub fn claim_lun(env: &Env<'_>, session: &Session, lun: &Lun) -> Result<Option<File>, SessionError> {
    let Some(disk) = &lun.disk else { return Ok(None) };
    match (env.claim)(&env.roots, disk) {
        Claim::Ours(file) => Ok(file),
        Claim::InUse(holders) => Err(SessionError::InUse {
            target: session.target.clone(),
            lun: lun.address.lun,
            disk: disk.path(),
            holders,
        }),
    }
}
