//! Who ends and makes sessions.

use std::path::PathBuf;
use std::time::Duration;

use super::{Machine, spec};
use crate::host::coexist::SessionBackend;
use crate::host::limit::{Limit, Limits};
use crate::initiator::{Initiator, Via};
use crate::session::attach::LunSelection;
use crate::session::error::SessionError;
use crate::session::spec::SessionSpec;
use base::error_kind::ErrorKind;

const NO_LUNS: LunSelection = LunSelection { set: None, wwid: None };

#[test]
fn ours_are_made_and_ended_natively_and_by_nobody_else() {
    let machine = Machine::new();
    let initiator = Initiator::new(machine.env());
    let limit = Limit::new(Duration::from_secs(60));
    for via in [Via::Auto, Via::Native] {
        let (session, backend) = initiator.log_in(via, &spec(), &NO_LUNS, &Limits::from(&limit)).unwrap();
        assert!(backend == SessionBackend::Native && session.is_ours);
        let session = initiator.sessions().unwrap().pop().unwrap();
        assert!(initiator.is_ours(&session) && initiator.shown(session.clone()).luns.is_empty());
        let refused = initiator.log_out(Via::Iscsiadm, &session, &limit).unwrap_err();
        assert!(matches!(refused, SessionError::OursForIscsiadm { .. }), "{refused}");
        assert_eq!(
            (refused.kind(), refused.hint().as_deref()),
            (ErrorKind::Refused, Some("leave out '--via iscsiadm'"))
        );
        assert_eq!(initiator.log_out(via, &session, &limit).unwrap(), SessionBackend::Native);
        machine.assert_clean("after the logout");
        // One that is gone is ended already.
        assert!(initiator.sessions().unwrap().is_empty());
    }
}

#[test]
fn those_of_others_are_not_ended_natively() {
    let machine = Machine::new();
    machine.log_in().unwrap();
    let creator = machine.folder.path().join("sys/class/iscsi_session/session1/creator");
    std::fs::write(creator, "4711\n").unwrap();
    let initiator = Initiator::new(machine.env());
    let session = initiator.sessions().unwrap().pop().unwrap();
    assert!(!initiator.is_ours(&session));
    let refused = initiator.log_out(Via::Native, &session, &Limit::new(Duration::from_secs(60))).unwrap_err();
    assert!(matches!(refused, SessionError::ForeignForNative { .. }), "{refused}");
    assert_eq!(machine.kernel.sessions(), [1]);
}

#[test]
fn secrets_are_not_given_to_iscsiadm() {
    let machine = Machine::new();
    let initiator = Initiator::new(machine.env());
    let with_secrets = SessionSpec { credentials: Some(PathBuf::from("/nowhere")), ..spec() };
    let limits = Limits::from(&Limit::new(Duration::from_secs(60)));
    let refused = initiator.log_in(Via::Iscsiadm, &with_secrets, &NO_LUNS, &limits).unwrap_err();
    assert!(matches!(refused, SessionError::SecretsForIscsiadm), "{refused}");
    assert!(machine.kernel.said().is_empty());
}

#[test]
fn where_a_target_is_is_remembered_until_it_is_forgotten() {
    let machine = Machine::new();
    let initiator = Initiator::new(machine.env());
    let target = spec().target;
    let portals = [spec().portal];
    initiator.remember_portals(&target, &portals).unwrap();
    assert_eq!(initiator.known_portals(&target), portals);
    initiator.remember_portals(&target, &[]).unwrap();
    assert!(initiator.known_portals(&target).is_empty());
    assert!(!initiator.is_supervised().unwrap());
}
