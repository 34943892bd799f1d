//! One session, made or ended by the way that was asked for: natively, or by iscsid.

use std::time::Duration;

use super::env::Via;
use crate::errors::CliError;
use base::error_kind::ErrorKind;
use iscsi::host::coexist::SessionBackend;
use iscsi::host::iscsiadm;
use iscsi::host::limit::{Limit, Limits};
use iscsi::host::netlink::control::ControlError;
use iscsi::host::sysfs::{self, Session};
use iscsi::session::attach::{Adopted, AttachedSession, LunSelection, adopt, log_in};
use iscsi::session::claims::Claims;
use iscsi::session::env::Env;
use iscsi::session::error::SessionError;
use iscsi::session::establish::{SessionOutcome, list};
use iscsi::session::logout::log_out;
use iscsi::session::spec::SessionSpec;

/// How long it may take to undo a login by iscsiadm whose LUNs cannot be had.
const UNDO: Duration = Duration::from_secs(30);

/// Sees to it that there is a session with its LUNs, and says by which way.
///
/// # Errors
/// If it cannot be had; what was made of it is taken down again, unless somebody uses a disk of it already.
pub fn log_in_by(
    via: Via,
    env: &Env<'_>,
    spec: &SessionSpec,
    luns: &LunSelection,
    limits: &Limits,
) -> Result<(AttachedSession, SessionBackend), CliError> {
    if via != Via::Iscsiadm {
        match log_in(env, spec, luns, limits) {
            Err(SessionError::Control(ControlError::CreatorBusy { .. })) if via == Via::Auto => {}
            result => return Ok((result?, SessionBackend::Native)),
        }
    }
    if spec.credentials.is_some() {
        return Err(CliError::new(
            ErrorKind::Refused,
            "iscsiadm takes secrets as arguments, which everybody can read",
        )
        .hint("set user and secret in the node record with an editor, and leave out the CHAP file here"));
    }
    let is_there = list(env)?.iter().any(|session| spec.is_met_by(session));
    if !is_there {
        let scan_all = luns.scans_all();
        let (portal, interface) = (&spec.portal, spec.interface.as_ref());
        iscsiadm::log_in(&spec.target, portal, interface, &spec.settings, scan_all, &limits.session)?;
    }
    match adopt(env, spec, luns, &limits.whole)? {
        Adopted::Ready(ready) if is_there => {
            Ok((AttachedSession { how: SessionOutcome::AlreadyThere, ..*ready }, SessionBackend::Iscsiadm))
        }
        Adopted::Ready(ready) => Ok((*ready, SessionBackend::Iscsiadm)),
        Adopted::Unfit { error, .. } if is_there => Err(error.into()),
        Adopted::Unfit { session, error, claims } => {
            let ended = iscsiadm::log_out(session.sid, &Limit::new(UNDO));
            // Until it is gone nobody else may begin to use its disks.
            drop(claims);
            let error = CliError::from(error);
            Err(match ended {
                Ok(()) => error,
                Err(ended) => error.along_with(ended.into()),
            })
        }
    }
}

/// Ends a session, and says by which way.
///
/// # Errors
/// If it is in use, not to be ended by that way, or the kernel or iscsiadm do not end it.
pub fn log_out_by(
    via: Via,
    env: &Env<'_>,
    session: &Session,
    limit: &Limit,
) -> Result<SessionBackend, CliError> {
    let record = env.registry.record(session.sid).filter(|record| record.is_of(session));
    match (record, via) {
        (Some(record), Via::Auto | Via::Native) => {
            let _luns = env.registry.lock(&record.luns_lock_name(), limit)?;
            let _session = env.registry.lock(&record.lock_name(), limit)?;
            // While the locks were waited for, it may have been ended, or recovered.
            let session = sysfs::session(&env.roots, session.sid);
            let record = env.registry.record(record.sid);
            if let (Some(session), Some(record)) = (session, record)
                && record.is_of(&session)
            {
                log_out(env, &session, &record)?;
            }
            Ok(SessionBackend::Native)
        }
        (Some(_), Via::Iscsiadm) => Err(CliError::new(
            ErrorKind::Refused,
            format!("session {} is thinvol's: iscsiadm does not know it", session.sid),
        )
        .hint("leave out '--via iscsiadm'")),
        (None, Via::Native) => Err(CliError::new(
            ErrorKind::Refused,
            format!("session {} belongs to another program, iscsid most likely", session.sid),
        )
        .hint("'--via auto' asks iscsiadm to end it")),
        (None, Via::Auto | Via::Iscsiadm) => {
            let claims = Claims::take(env, session)?;
            iscsiadm::log_out(session.sid, limit)?;
            drop(claims);
            match sysfs::session(&env.roots, session.sid).filter(|now| now.target == session.target) {
                None => Ok(SessionBackend::Iscsiadm),
                Some(_) => Err(CliError::new(
                    ErrorKind::Partial,
                    format!("iscsiadm says that session {} is ended, but it is there", session.sid),
                )
                .hint(format!("'iscsiadm -m session -r {} -P 3' shows its state", session.sid))),
            }
        }
    }
}
