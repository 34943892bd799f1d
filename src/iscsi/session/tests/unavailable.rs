//! Targets that cannot serve for a moment.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{FakeTransport, Machine, spec};
use crate::host::connection::{Connection, ConnectionError, Ended};
use crate::host::limit::{Limit, Limits};
use crate::host::transport::Transport;
use crate::protocol::login::{Context, LoginError, Settings};
use crate::protocol::net_interface::NetInterface;
use crate::protocol::pdu::Stage;
use crate::protocol::portal::Portal;
use crate::protocol::status::Status;
use crate::session::attach::{LunSelection, log_in};
use crate::session::env::Env;
use crate::session::error::SessionError;
use crate::session::establish::SessionOutcome;
use base::error_kind::ErrorKind;

/// A network whose target refuses some logins before it takes one.
struct Refusing<'a> {
    transport: &'a FakeTransport,
    left: AtomicU32,
    status: Status,
}

impl Transport for Refusing<'_> {
    fn connect(
        &self,
        portal: &Portal,
        interface: Option<&NetInterface>,
        limit: &Limit,
    ) -> Result<Connection, ConnectionError> {
        self.transport.connect(portal, interface, limit)
    }

    fn log_in(&self, line: &mut Connection, settings: Settings) -> Result<Ended, ConnectionError> {
        if self.left.load(Ordering::Relaxed) == 0 {
            return self.transport.log_in(line, settings);
        }
        self.left.fetch_sub(1, Ordering::Relaxed);
        let context = Context { stage: Stage::Operational, offered: Vec::new(), picked: None };
        let source = Box::new(LoginError::Refused { status: self.status, context });
        Err(ConnectionError::Login { portal: line.portal().clone(), source })
    }
}

/// The outcome where so many logins are refused, and how many more would have been.
fn refused(status: Status, times: u32, allowed: Duration) -> (Result<SessionOutcome, SessionError>, u32) {
    let machine = Machine::new();
    let transport = Refusing { transport: &machine.transport, left: AtomicU32::new(times), status };
    let env = Env { transport: &transport, ..machine.env() };
    let luns = LunSelection { set: None, wwid: None };
    let outcome =
        log_in(&env, &spec(), &luns, &Limits::from(&Limit::new(allowed))).map(|ready| ready.outcome);
    if outcome.is_err() {
        machine.assert_clean("refused");
    }
    (outcome, transport.left.load(Ordering::Relaxed))
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_fault_of_the_targets_is_waited_out_for_a_while() {
    for detail in [0, 1, 2] {
        let (outcome, left) = refused(Status { class: 3, detail }, 2, LONG);
        assert_eq!((outcome.unwrap(), left), (SessionOutcome::LoggedIn, 0), "{detail}");
    }
}

#[test]
fn what_it_says_is_told_where_there_is_no_time() {
    // How often it is tried in that time depends on what else the machine does.
    let (outcome, left) = refused(Status::UNAVAILABLE, 99, Duration::from_secs(2));
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!((90..99).contains(&left), "{left}");
    assert!(matches!(error, SessionError::Transport(_)), "{error}");
}

#[test]
fn what_is_ours_is_not_tried_again() {
    let (outcome, left) = refused(Status::AUTHENTICATION_FAILED, 2, LONG);
    assert!(outcome.is_err() && left == 1);
}
