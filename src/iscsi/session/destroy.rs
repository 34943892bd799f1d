//! Taking a session down.

use super::claims::Claims;
use super::env::Env;
use super::error::SessionError;
use crate::host::netlink::control::Control;
use crate::host::sysfs;
use crate::protocol::interface::message::{Request, SessionId, Stop};

/// Removes a session at whatever point it is, without a word to the target, and then its record.
///
/// Commands in flight fail, so that nothing waits for a target that does not answer. Each step is tried even if the
/// one before failed: it may not have had anything to do. The claims on its disks are kept until it is gone.
///
/// # Errors
/// If the session is still there afterwards; the record stays then.
pub fn destroy(
    env: &Env<'_>,
    control: &mut dyn Control,
    sid: SessionId,
    claims: Claims,
) -> Result<(), SessionError> {
    let mut steps = vec![Request::DestroySession(sid)];
    if sysfs::session(&env.roots, sid).is_none_or(|session| session.has_connection) {
        steps.splice(0..0, [Request::StopConn(sid, Stop::Terminate), Request::DestroyConn(sid)]);
    }
    let mut last = Ok(());
    for step in &steps {
        last = control.request(step).map(drop);
        if let Err(error) = &last {
            tracing::debug!(%error, "a step of the removal had nothing to do");
        }
    }
    if let Err(error) = last
        && sysfs::session(&env.roots, sid).is_some()
    {
        return Err(error.into());
    }
    drop(claims);
    Ok(env.registry.remove(sid)?)
}
