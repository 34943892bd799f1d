//! Sessions that are bound to network interfaces.

use std::time::Duration;

use super::{FakeTransport, Machine, spec};
use crate::host::limit::Limit;
use crate::host::registry::Record;
use crate::host::sysfs::{self, Session, SessionState};
use crate::protocol::interface::message::SessionId;
use crate::protocol::net_interface::NetInterface;
use crate::session::establish::SessionOutcome;
use crate::session::logout::log_out;
use crate::session::recover::recover;
use crate::session::spec::SessionSpec;

fn by(interface: &str) -> SessionSpec {
    SessionSpec { interface: Some(interface.parse().unwrap()), ..spec() }
}

impl FakeTransport {
    /// By which interfaces it was asked to connect since the last time.
    fn asked(&self) -> Vec<Option<String>> {
        let asked = std::mem::take(&mut *self.interfaces.lock().unwrap());
        asked.into_iter().map(|name| name.map(String::from)).collect()
    }
}

impl Machine {
    fn session_by(&self, interface: &str) -> (Session, Record) {
        let env = self.env();
        let records = env.registry.records().unwrap();
        let is_by = |record: &&Record| record.interface.as_ref().map(NetInterface::as_str) == Some(interface);
        let record = records.iter().find(is_by).unwrap().clone();
        (sysfs::session(&env.roots, record.sid).unwrap(), record)
    }
}

#[test]
fn two_interfaces_to_one_portal_are_two_sessions() {
    let machine = Machine::new();
    let eth = |name: &str| Some(name.to_owned());
    assert_eq!(machine.log_in_as(&by("eth0")).unwrap(), SessionOutcome::LoggedIn);
    assert_eq!(machine.log_in_as(&by("eth1")).unwrap(), SessionOutcome::LoggedIn);
    assert_eq!(machine.transport.asked(), [eth("eth0"), eth("eth1")]);
    assert_eq!(machine.kernel.sessions(), [1, 2]);
    let said = machine.kernel.said();
    for told in ["InterfaceName=eth0", "InterfaceName=eth1"] {
        assert!(said.iter().any(|said| said == told), "{told}: {said:?}");
    }
    for name in ["eth0", "eth1"] {
        let (session, record) = machine.session_by(name);
        assert!(record.is_of(&session) && session.state == SessionState::LoggedIn);
        assert_eq!((session.bound_to(), session.net_interface.as_deref()), (Some(name), Some(name)));
    }
    // Each is found again, and by whoever does not say which.
    assert_eq!(machine.log_in_as(&by("eth1")).unwrap(), SessionOutcome::AlreadyThere);
    assert_eq!(machine.log_in().unwrap(), SessionOutcome::AlreadyThere);
    assert_eq!(machine.transport.asked(), []);
    // One goes, the other stays.
    let (session, record) = machine.session_by("eth0");
    log_out(&machine.env(), &session, &record).unwrap();
    assert_eq!(machine.kernel.sessions(), [2]);
    assert_eq!(machine.log_in_as(&by("eth0")).unwrap(), SessionOutcome::LoggedIn);
    assert_eq!(machine.kernel.sessions(), [2, 3]);
}

#[test]
fn a_session_by_no_interface_is_none_by_one() {
    let machine = Machine::new();
    assert_eq!(machine.log_in().unwrap(), SessionOutcome::LoggedIn);
    assert_eq!(machine.log_in_as(&by("eth0")).unwrap(), SessionOutcome::LoggedIn);
    assert_eq!(machine.transport.asked(), [None, Some("eth0".to_owned())]);
    let shown = |sid| sysfs::session(&machine.env().roots, SessionId(sid)).unwrap();
    assert_eq!(shown(1).bound_to(), None);
    assert_eq!(shown(2).bound_to(), Some("eth0"));
}

#[test]
fn a_lost_connection_is_made_again_by_the_same_interface() {
    let machine = Machine::new();
    for name in ["eth0", "eth1"] {
        machine.log_in_as(&by(name)).unwrap();
    }
    machine.transport.asked();
    let (session, record) = machine.session_by("eth1");
    machine.kernel.lose(session.sid.0);
    recover(&machine.env(), &record, Duration::ZERO, &Limit::new(Duration::from_secs(60))).unwrap();
    assert_eq!(machine.transport.asked(), [Some("eth1".to_owned())]);
    assert_eq!(machine.session_by("eth1").0.state, SessionState::LoggedIn);
    // So does a login, also one that does not say which.
    machine.kernel.lose(session.sid.0);
    assert_eq!(machine.log_in_as(&by("eth1")).unwrap(), SessionOutcome::Recovered);
    let (other, record) = machine.session_by("eth0");
    log_out(&machine.env(), &other, &record).unwrap();
    machine.kernel.lose(session.sid.0);
    assert_eq!(machine.log_in().unwrap(), SessionOutcome::Recovered);
    assert_eq!(machine.transport.asked(), [Some("eth1".to_owned()), Some("eth1".to_owned())]);
}

#[test]
fn a_session_of_iscsids_by_an_interface_is_known_by_what_it_is_bound_to() {
    let machine = Machine::new();
    machine.log_in_as(&by("eth0")).unwrap();
    let sys = machine.folder.path().join("sys/class/iscsi_session/session1");
    for (attribute, value) in [("creator", "4711\n"), ("ifacename", "backup\n")] {
        std::fs::write(sys.join(attribute), value).unwrap();
    }
    assert_eq!(machine.log_in_as(&by("eth0")).unwrap(), SessionOutcome::AlreadyThere);
    // Where the kernel was not told of an interface, the record's name has to do.
    std::fs::remove_file(machine.folder.path().join("sys/class/iscsi_host/host1/netdev")).unwrap();
    let env = machine.env();
    let session = sysfs::sessions(&env.roots).unwrap().pop().unwrap();
    assert_eq!(session.bound_to(), Some("backup"));
    assert!(!by("eth0").is_met_by(&session) && spec().is_met_by(&session));
}

#[test]
fn records_of_before_are_read() {
    let machine = Machine::new();
    machine.log_in().unwrap();
    let file = machine.folder.path().join("registry/session-1.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(json.as_object_mut().unwrap().remove("interface").is_some());
    std::fs::write(&file, json.to_string()).unwrap();
    assert_eq!(machine.record().interface, None);
}
