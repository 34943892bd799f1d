//! open-iscsi's own tool, for sessions that are to be, or are, iscsid's.

use std::io::{self, Read};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use thiserror::Error;

use crate::host::limit::{GivenUp, Limit};
use crate::protocol::interface::message::SessionId;
use crate::protocol::name::IscsiName;
use crate::protocol::net_interface::NetInterface;
use crate::protocol::portal::Portal;
use crate::protocol::settings::Settings;
use base::error_kind::ErrorKind;

/// How often to check whether the tool has ended.
const LOOK: Duration = Duration::from_millis(20);

/// How long to wait for the rest of its output when it has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How much of its output is read.
const MAX_TEXT: u64 = 8 << 10;

/// What iscsiadm says with its exit status. Source: open-iscsi `include/iscsi_err.h`.
mod status {
    pub const OK: i32 = 0;
    pub const NO_SUCH_SESSION: i32 = 2;
    pub const SESSION_EXISTS: i32 = 15;
    pub const NO_OBJECTS: i32 = 21;
    pub const NOT_IN_SYSFS: i32 = 22;
}

/// Why iscsiadm did not do it.
#[derive(Debug, Error)]
pub enum IscsiadmError {
    /// It cannot be started.
    #[error("iscsiadm (package open-iscsi) cannot be started")]
    Absent(#[source] io::Error),
    /// It failed.
    #[error("iscsiadm did not {what}: {meaning} (exit status {status}){}", said(text))]
    Failed {
        /// Its task.
        what: &'static str,
        /// Its exit status; -1 if a signal ended it.
        status: i32,
        /// What that means.
        meaning: &'static str,
        /// Its output.
        text: String,
    },
    /// It took too long.
    #[error("iscsiadm did not come to an end: {0}")]
    GivenUp(#[source] GivenUp),
}

impl IscsiadmError {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Absent(_) => ErrorKind::Unsupported,
            Self::Failed { status: 28 | 29 | 32 | 33 | 8 | 11 | 4, .. } | Self::GivenUp(_) => ErrorKind::Busy,
            Self::Failed { status: 2 | 21, .. } => ErrorKind::NotFound,
            Self::Failed { .. } => ErrorKind::Refused,
        }
    }
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// The exit status in words.
fn meaning(status: i32) -> &'static str {
    match status {
        -1 => "a signal ended it",
        2 => "it knows no such session",
        3 => "it has no memory",
        4 => "the connection failed",
        5 => "the login failed",
        6 => "its database of nodes failed",
        7 => "a parameter is wrong",
        8 => "the connection was not made in time",
        9 => "it failed inside",
        10 => "the logout failed",
        11 => "the target did not answer in time",
        12 => "the kernel's driver is not loaded",
        13 => "it is not allowed to",
        14 => "the transport failed",
        15 => "there is such a session already",
        18 => "it cannot talk to iscsid",
        19 => "the target refuses for good",
        20 => "iscsid is not running",
        21 => "it knows no such target or portal",
        22 => "it does not find it in sysfs",
        24 => "the target does not accept user and secret",
        28 => "it is busy",
        29 => "it is to be tried again",
        32 => "the target is most likely not connected",
        33 => "the request was not answered in time",
        _ => "for a reason of its own",
    }
}

/// Logs in through iscsid. That there is such a session already is fine.
///
/// # Errors
/// If iscsiadm fails.
pub fn log_in(
    target: &IscsiName,
    portal: &Portal,
    interface: Option<&NetInterface>,
    settings: &Settings,
    scan_all: bool,
    limit: &Limit,
) -> Result<(), IscsiadmError> {
    let portal = portal.to_string();
    let record = interface.map(|interface| interface_record(interface, limit)).transpose()?;
    let mut node = vec!["-m", "node", "-T", target.as_str(), "-p", &portal];
    node.extend(record.iter().flat_map(|record| ["-I", record]));
    run(&node, &["-o", "new"], "make a node record", &[], limit)?;
    let digest = |on: bool| if on { "CRC32C" } else { "None" };
    let values = [
        ("node.session.scan", if scan_all { "auto" } else { "manual" }.to_owned()),
        ("node.session.timeo.replacement_timeout", settings.replacement_timeout.to_string()),
        ("node.conn[0].timeo.noop_out_interval", settings.ping_interval.to_string()),
        ("node.conn[0].timeo.noop_out_timeout", settings.ping_timeout.to_string()),
        ("node.conn[0].iscsi.HeaderDigest", digest(settings.header_digest).to_owned()),
        ("node.conn[0].iscsi.DataDigest", digest(settings.data_digest).to_owned()),
    ];
    for (name, value) in &values {
        run(&node, &["-o", "update", "-n", name, "-v", value], "update a node record", &[], limit)?;
    }
    run(&node, &["--login"], "log in", &[status::SESSION_EXISTS], limit)
}

/// An interface record of open-iscsi that binds to a network interface, made if need be; its name.
fn interface_record(interface: &NetInterface, limit: &Limit) -> Result<String, IscsiadmError> {
    // A name of our own: a record that is called as the interface may be somebody's, and bind to another.
    let name = format!("thinvol-{interface}");
    let record = ["-m", "iface", "-I", &name];
    run(&record, &["-o", "new"], "make an interface record", &[], limit)?;
    let value = ["-o", "update", "-n", "iface.net_ifacename", "-v", interface.as_str()];
    run(&record, &value, "bind an interface record", &[], limit)?;
    Ok(name)
}

/// Logs out of a session of iscsid's. A session that is gone already is no error: whether it is gone is for
/// the caller to see. The session is named by its number: it can be ended also when iscsid has no record of its target
/// any more.
///
/// # Errors
/// If iscsiadm fails.
pub fn log_out(session: SessionId, limit: &Limit) -> Result<(), IscsiadmError> {
    let session = session.to_string();
    let gone = [status::NO_SUCH_SESSION, status::NO_OBJECTS, status::NOT_IN_SYSFS];
    run(&["-m", "session", "-r", &session], &["--logout"], "log out", &gone, limit)
}

/// Runs iscsiadm within the limit; it is killed when that is over.
fn run(
    node: &[&str],
    operation: &[&str],
    what: &'static str,
    fine: &[i32],
    limit: &Limit,
) -> Result<(), IscsiadmError> {
    let mut child = Command::new("iscsiadm")
        .args(node)
        .args(operation)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(IscsiadmError::Absent)?;
    let said = listen(child.stderr.take());
    let ended = wait(&mut child, limit);
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let status = ended?;
    let text = said.recv_timeout(LAST_WORDS).unwrap_or_default();
    tracing::debug!(?node, ?operation, status, "iscsiadm");
    if status == status::OK || fine.contains(&status) {
        return Ok(());
    }
    let text = text.trim().replace('\n', "; ").replace("iscsiadm: ", "");
    Err(IscsiadmError::Failed { what, status, meaning: meaning(status), text })
}

/// Collects what a pipe says, up to its end. That may not come when the tool ends: a daemon it has started keeps the
/// pipe.
fn listen(pipe: Option<ChildStderr>) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(pipe) = pipe {
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = pipe.take(MAX_TEXT).read_to_string(&mut text);
            // The caller may have stopped waiting.
            let _ = sender.send(text);
        });
    }
    receiver
}

fn wait(child: &mut Child, limit: &Limit) -> Result<i32, IscsiadmError> {
    loop {
        if let Some(status) = child.try_wait().map_err(IscsiadmError::Absent)? {
            return Ok(status.code().unwrap_or(-1));
        }
        limit.nap(LOOK).map_err(IscsiadmError::GivenUp)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_the_status_means() {
        let error = IscsiadmError::Failed {
            what: "log in",
            status: 24,
            meaning: meaning(24),
            text: "Could not login".into(),
        };
        assert_eq!(
            error.to_string(),
            "iscsiadm did not log in: the target does not accept user and secret (exit status 24): Could not login"
        );
    }
}
