//! The paths to a target: portals, with the sessions there.

use serde::Serialize;

use crate::host::sysfs::{Session, SessionState};
use crate::protocol::interface::message::SessionId;
use crate::protocol::portal::Portal;
use crate::session::spec::endpoint;

/// A path to a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetPath {
    /// The portal.
    pub portal: String,
    /// The network interface the session is bound to.
    pub interface: Option<String>,
    /// The session there.
    pub session: Option<SessionId>,
    /// The state of that.
    pub state: Option<SessionState>,
}

impl TargetPath {
    /// Whether I/O can take it.
    pub fn is_up(&self) -> bool {
        self.state == Some(SessionState::LoggedIn)
    }

    /// What is wrong with it; `None` if it is up.
    pub fn trouble(&self) -> Option<String> {
        let portal = &self.portal;
        let by = self.interface.as_ref().map(|name| format!(" by {name}")).unwrap_or_default();
        match (self.session, self.state) {
            (_, Some(SessionState::LoggedIn)) => None,
            (Some(session), Some(SessionState::Failed)) => {
                Some(format!("{portal}{by} (session {session}) has lost its connection"))
            }
            (Some(session), Some(SessionState::Free)) => {
                Some(format!("{portal}{by} (session {session}) has no connection, and its I/O fails"))
            }
            _ => Some(format!("{portal} has no session")),
        }
    }
}

/// The paths to a target with these sessions that is known to be at these portals. A session belongs to the portal it
/// was made for, or else to the one it is connected to: portals may be given by name. Sessions at other portals are
/// paths, too, and so is each further one at the same portal, by another interface.
pub fn paths(sessions: &[Session], known: &[Portal]) -> Vec<TargetPath> {
    let mut left: Vec<&Session> = sessions.iter().collect();
    let mut found = Vec::new();
    for portal in known {
        let here = Some(endpoint(portal));
        let asked_for = left.iter().position(|session| session.portal == here);
        let at = asked_for.or_else(|| left.iter().position(|session| session.connected_to == here));
        let session = at.map(|at| left.remove(at));
        found.push(path(portal.to_string(), session));
    }
    let name = |session: &Session| session.portal.as_ref().map(ToString::to_string).unwrap_or_default();
    found.extend(left.into_iter().map(|session| path(name(session), Some(session))));
    found
}

fn path(portal: String, session: Option<&Session>) -> TargetPath {
    TargetPath {
        portal,
        interface: session.and_then(Session::bound_to).map(str::to_owned),
        session: session.map(|session| session.sid),
        state: session.map(|session| session.state),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::sysfs::{Endpoint, Timeouts};
    use crate::protocol::interface::message::HostNo;

    fn session(sid: u32, state: SessionState, portal: &str, connected_to: &str) -> Session {
        let endpoint = |address: &str| Some(Endpoint { address: address.to_owned(), port: 3260 });
        Session {
            sid: SessionId(sid),
            host: HostNo(sid),
            target_id: 0,
            state,
            target: "iqn.2025-01.test:a".into(),
            portal_group: Some(1),
            portal: endpoint(portal),
            connected_to: endpoint(connected_to),
            interface_record: "default".into(),
            net_interface: None,
            initiator: "iqn.2025-01.test:i".into(),
            creator: -1,
            has_connection: true,
            header_digest: false,
            data_digest: false,
            timeouts: Timeouts::default(),
        }
    }

    #[test]
    fn sessions_are_told_by_the_portal_they_were_made_for_or_are_at() {
        let known: Vec<Portal> =
            ["10.0.0.1", "10.0.1.1", "10.0.2.1"].map(|text| text.parse().unwrap()).into();
        let sessions = [
            session(1, SessionState::LoggedIn, "san", "10.0.1.1"),
            session(2, SessionState::Failed, "10.0.0.1", "10.0.0.1"),
            session(3, SessionState::LoggedIn, "10.9.0.1", "10.9.0.1"),
        ];
        let shown: Vec<String> = paths(&sessions, &known)
            .iter()
            .map(|path| path.trouble().unwrap_or_else(|| format!("{} is up", path.portal)))
            .collect();
        assert_eq!(
            shown,
            [
                "10.0.0.1:3260 (session 2) has lost its connection",
                "10.0.1.1:3260 is up",
                "10.0.2.1:3260 has no session",
                "10.9.0.1:3260 is up"
            ]
        );
    }
}
