//! Sessions over doubles of the kernel and the network: every request fails once, and every process dies at each.

mod initiator;
mod interfaces;
mod kernel;
mod unavailable;
mod used;

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use super::attach::{LunSelection, log_in};
use super::env::Env;
use super::error::SessionError;
use super::establish::SessionOutcome;
use super::logout::log_out;
use super::recover::recover;
use super::spec::SessionSpec;
use super::sweep::sweep;
use super::usage::Claim;
use crate::host::connection::{Connection, ConnectionError, Ended};
use crate::host::limit::{Limit, Limits};
use crate::host::netlink::control::{Control, ControlError};
use crate::host::registry::{Phase, Record, Registry};
use crate::host::sysfs::{self, Disk, SessionState};
use crate::host::transport::Transport;
use crate::initiator::{Initiator, Via};
use crate::protocol::interface::message::SessionId;
use crate::protocol::login::{self, LoggedIn};
use crate::protocol::net_interface::NetInterface;
use crate::protocol::params::{Digest, Parameters};
use crate::protocol::portal::Portal;
use crate::protocol::settings::Settings;
use kernel::{FakeControl, FakeKernel, Fault};
use sys::io::events::pauses;
use sys::io::holders::Holder;
use sys::io::roots::Roots;

const IQN: &str = "iqn.2025-01.test:a";
const PORTAL: &str = "10.0.0.1:3260";

/// A network on which every portal is this machine, and every target agrees, unless it is told to be down.
struct FakeTransport {
    listener: TcpListener,
    refuses: bool,
    /// By which interfaces it was asked to connect.
    interfaces: Mutex<Vec<Option<NetInterface>>>,
}

impl Transport for FakeTransport {
    fn connect(
        &self,
        _: &Portal,
        interface: Option<&NetInterface>,
        limit: &Limit,
    ) -> Result<Connection, ConnectionError> {
        self.interfaces.lock().unwrap().push(interface.cloned());
        Connection::open(&self.listener.local_addr().unwrap().to_string().parse().unwrap(), None, limit)
    }

    fn log_in(&self, line: &mut Connection, settings: login::Settings) -> Result<Ended, ConnectionError> {
        if self.refuses {
            return Err(ConnectionError::Closed { portal: line.portal().clone(), when: "on purpose" });
        }
        let offer = settings.offer;
        Ok(Ended::LoggedIn(Box::new(LoggedIn {
            parameters: Parameters {
                header_digest: Digest::None,
                data_digest: Digest::None,
                max_recv_data_segment_length: offer.max_recv_data_segment_length,
                max_send_data_segment_length: 8192,
                max_burst_length: 262_144,
                first_burst_length: 65536,
                initial_r2t: true,
                immediate_data: true,
                max_outstanding_r2t: 1,
                default_time2wait: 0,
                default_time2retain: 0,
            },
            tsih: 1,
            cmd_sn: 1,
            exp_stat_sn: 77,
            exp_cmd_sn: 1,
            max_cmd_sn: 2,
            portal_group_tag: Some(3),
            target_alias: None,
            authenticated: None,
            is_mutual: false,
            requests: 1,
        })))
    }
}

/// A machine with doubles.
struct Machine {
    folder: TempDir,
    kernel: Arc<FakeKernel>,
    transport: FakeTransport,
    open: Box<super::env::OpenControl>,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kernel = FakeKernel::new(&folder.path().join("sys"));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Arc::clone(&kernel);
        let open = Box::new(move || -> Result<Box<dyn Control>, ControlError> {
            Ok(Box::new(FakeControl(Arc::clone(&shared))))
        });
        Self {
            folder,
            kernel,
            transport: FakeTransport { listener, refuses: false, interfaces: Mutex::default() },
            open,
        }
    }

    fn env(&self) -> Env<'_> {
        let root = |name: &str| self.folder.path().join(name);
        Env {
            open: &*self.open,
            transport: &self.transport,
            roots: Roots { sys: root("sys"), run: root("run"), dev: root("dev"), ..Roots::default() },
            registry: Registry::open(&root("registry")).unwrap(),
            initiator: "iqn.2025-01.test:init".parse().unwrap(),
            events: pauses,
            secrets: Arc::new(super::env::from_file),
            claim,
        }
    }

    fn log_in(&self) -> Result<SessionOutcome, SessionError> {
        self.log_in_as(&spec())
    }

    fn log_in_as(&self, spec: &SessionSpec) -> Result<SessionOutcome, SessionError> {
        let luns = LunSelection { set: None, wwid: None };
        log_in(&self.env(), spec, &luns, &Limits::from(&Limit::new(Duration::from_secs(60))))
            .map(|ready| ready.outcome)
    }

    fn record(&self) -> Record {
        self.env().registry.records().unwrap().pop().unwrap()
    }

    fn log_out(&self) -> Result<(), SessionError> {
        let record = self.record();
        let env = self.env();
        log_out(&env, &sysfs::session(&env.roots, record.sid).unwrap(), &record)
    }

    /// Nothing is in the kernel, and nothing in the registry but locks.
    fn assert_clean(&self, when: &str) {
        assert!(self.kernel.sessions().is_empty(), "{when}: {:?}", self.kernel.sessions());
        let left = files(&self.folder.path().join("registry"));
        assert!(left.iter().all(|name| name.ends_with(".lock")), "{when}: {left:?}");
    }
}

/// A disk is in use as long as there is a file that says so. What is claimed is its node, where it has one.
fn claim(roots: &Roots, disk: &Disk) -> Claim {
    match roots.dev.join(format!("{}.used", disk.name)).exists() {
        true => Claim::InUse(vec![Holder::Swap]),
        false => Claim::Ours(File::open(roots.dev.join(&disk.name)).ok()),
    }
}

fn spec() -> SessionSpec {
    SessionSpec {
        target: IQN.parse().unwrap(),
        portal: PORTAL.parse().unwrap(),
        interface: None,
        settings: Settings::default(),
        chap: None,
        credentials: None,
    }
}

fn files(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_login_takes_the_steps_in_their_order() {
    let machine = Machine::new();
    assert_eq!(machine.log_in().unwrap(), SessionOutcome::LoggedIn);
    let said = machine.kernel.said();
    let steps: Vec<&str> = said.iter().map(String::as_str).filter(|said| !said.contains('=')).collect();
    assert_eq!(
        steps,
        [
            "create a session",
            "create a connection",
            "bind the socket to the connection",
            "start the connection"
        ]
    );
    for parameter in
        ["TargetName=iqn.2025-01.test:a", "ExpStatSn=77", "PortalGroupTag=3", "PersistentAddress=10.0.0.1"]
    {
        assert!(said.iter().any(|said| said == parameter), "{parameter}: {said:?}");
    }
    let record = machine.record();
    assert_eq!((record.phase, record.sid), (Phase::Up, SessionId(1)));
    let session = sysfs::session(&machine.env().roots, record.sid).unwrap();
    assert!(record.is_of(&session) && session.state == SessionState::LoggedIn);
    // A second login makes nothing.
    assert_eq!(machine.log_in().unwrap(), SessionOutcome::AlreadyThere);
    assert_eq!(machine.kernel.sessions(), [1]);
    machine.log_out().unwrap();
    machine.assert_clean("after the logout");
    // Logging out again finds nothing to do; logging in again makes another session.
    assert_eq!(machine.log_in().unwrap(), SessionOutcome::LoggedIn);
    assert_eq!(machine.kernel.sessions(), [2]);
}

#[test]
fn a_login_that_fails_at_any_request_leaves_nothing() {
    let machine = Machine::new();
    for number in 1.. {
        machine.kernel.set_fault(Some(Fault::At(number)));
        match machine.log_in() {
            Ok(_) => {
                assert!(number > 20, "a login has more than {number} requests");
                machine.kernel.set_fault(None);
                machine.log_out().unwrap();
                break;
            }
            Err(error) => {
                assert!(matches!(error, SessionError::Control(_)), "{error}");
                machine.assert_clean(&format!("request {number} failed"));
            }
        }
    }
}

#[test]
fn a_login_that_the_target_ends_leaves_nothing() {
    let mut machine = Machine::new();
    machine.transport.refuses = true;
    assert!(matches!(machine.log_in().unwrap_err(), SessionError::Transport(_)));
    machine.assert_clean("the target ended the login");
}

/// Whether the process died while it did this.
fn dies(work: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err()
}

#[test]
fn a_login_whose_process_dies_at_any_request_is_cleared_away_by_the_next() {
    for fault in [Fault::DiesBefore as fn(usize) -> Fault, Fault::DiesAfter] {
        let machine = Machine::new();
        for number in 1.. {
            machine.kernel.set_fault(Some(fault(number)));
            let died = dies(|| drop(machine.log_in()));
            machine.kernel.set_fault(None);
            // The next login begins with that, and then makes a session of its own.
            machine.log_in().unwrap();
            assert_eq!(machine.kernel.sessions().len(), 1, "{:?}", fault(number));
            machine.log_out().unwrap();
            machine.assert_clean(&format!("{:?}", fault(number)));
            if !died {
                break;
            }
        }
    }
}

#[test]
fn a_logout_that_fails_or_dies_at_any_request_is_finished_by_the_next_command() {
    for fault in [Fault::At as fn(usize) -> Fault, Fault::DiesBefore, Fault::DiesAfter] {
        let machine = Machine::new();
        for number in 1.. {
            machine.log_in().unwrap();
            machine.kernel.set_fault(Some(fault(number)));
            dies(|| drop(machine.log_out()));
            let made = machine.kernel.requests();
            machine.kernel.set_fault(None);
            sweep(&machine.env()).unwrap();
            machine.assert_clean(&format!("{:?}", fault(number)));
            if made < number {
                break;
            }
        }
    }
}

#[test]
fn a_lost_session_is_recovered_and_a_recovery_that_fails_can_be_repeated() {
    let machine = Machine::new();
    machine.log_in().unwrap();
    for number in 1.. {
        let record = machine.record();
        machine.kernel.lose(record.sid.0);
        machine.kernel.set_fault(Some(Fault::At(number)));
        let result = recover(&machine.env(), &record, Duration::ZERO, &Limit::new(Duration::from_secs(60)));
        machine.kernel.set_fault(None);
        let state = || sysfs::session(&machine.env().roots, record.sid).unwrap().state;
        if result.is_ok() {
            assert_eq!(state(), SessionState::LoggedIn);
            break;
        }
        assert_eq!(state(), SessionState::Failed, "request {number} failed");
        // A login finds the session, and recovers it.
        assert_eq!(machine.log_in().unwrap(), SessionOutcome::Recovered);
        assert_eq!((state(), machine.kernel.sessions().len()), (SessionState::LoggedIn, 1));
    }
    machine.log_out().unwrap();
    machine.assert_clean("after the recoveries");
}

#[test]
fn a_session_that_the_kernel_keeps_holds_up_no_other() {
    let machine = Machine::new();
    let to = |target: &str| SessionSpec { target: target.parse().unwrap(), ..spec() };
    let (stuck, other) = (to("iqn.2025-01.test:stuck"), to("iqn.2025-01.test:other"));
    for spec in [&stuck, &other] {
        machine.log_in_as(spec).unwrap();
    }
    let env = machine.env();
    for record in env.registry.records().unwrap() {
        env.registry.put(&Record { phase: Phase::Leaving, ..record }).unwrap();
    }
    machine.kernel.set_fault(Some(Fault::Keeps(1)));
    assert!(matches!(sweep(&env).unwrap_err(), SessionError::Control(_)));
    assert_eq!(machine.kernel.sessions(), [1], "the other one is removed");
    // Nor does it keep a login, or a logout, from its own work.
    machine.log_in_as(&other).unwrap();
    let initiator = Initiator::new(machine.env());
    initiator.sweep_if_possible();
    let session =
        initiator.sessions().unwrap().into_iter().find(|session| session.sid == SessionId(3)).unwrap();
    initiator.log_out(Via::Auto, &session, &Limit::new(Duration::from_secs(60))).unwrap();
    assert_eq!(machine.kernel.sessions(), [1]);
    machine.kernel.set_fault(None);
    sweep(&env).unwrap();
    machine.assert_clean("when the kernel lets it go");
}

#[test]
fn sessions_of_others_are_left_alone() {
    let machine = Machine::new();
    machine.log_in().unwrap();
    let record = machine.record();
    // The same session, made by a process: iscsid's.
    let creator = machine.folder.path().join("sys/class/iscsi_session/session1/creator");
    std::fs::write(creator, "4711\n").unwrap();
    assert!(sweep(&machine.env()).unwrap().is_empty());
    assert_eq!(machine.kernel.sessions(), [1]);
    assert_eq!(machine.log_in().unwrap(), SessionOutcome::AlreadyThere);
    machine.kernel.lose(record.sid.0);
    let error = machine.log_in().unwrap_err();
    assert!(matches!(error, SessionError::Foreign { state: SessionState::Failed, .. }), "{error}");
    assert_eq!(machine.kernel.sessions(), [1]);
}
