//! Living beside iscsid: whether it is there, and who is to make a session.
//!
//! iscsid looks after the sessions it has made, and when it starts it takes over every session it finds, logging in
//! anew, except those that were made from nobody's address. thinvol makes its sessions from there and touches no other:
//! so no session is ever looked after by two.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;

/// Where iscsiadm reaches iscsid, as `/proc/net/unix` shows it. Source: open-iscsi `usr/mgmt_ipc.h`
/// (`ISCSIADM_NAMESPACE`). Connecting to it would start an iscsid that waits for its socket.
const SOCKET: &str = "@ISCSIADM_ABSTRACT_NAMESPACE";

/// Whether and how iscsid is present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Iscsid {
    /// It runs.
    Running {
        /// Its process.
        pid: u32,
    },
    /// It does not run; the first who talks to it starts it.
    StartedByItsSocket,
    /// It does not run.
    Absent,
}

impl fmt::Display for Iscsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running { pid } => write!(f, "iscsid is running (process {pid})"),
            Self::StartedByItsSocket => f.write_str("iscsid is started by its socket when iscsiadm is used"),
            Self::Absent => f.write_str("iscsid is not running"),
        }
    }
}

/// Looks for iscsid, without talking to it.
pub fn iscsid(proc: &Path) -> Iscsid {
    let listens = fs::read_to_string(proc.join("net/unix"))
        .is_ok_and(|sockets| sockets.lines().any(|line| line.trim_end().ends_with(SOCKET)));
    let is_iscsid = |pid: &u32| {
        let comm = fs::read_to_string(proc.join(pid.to_string()).join("comm"));
        comm.is_ok_and(|comm| comm.trim_end() == "iscsid")
    };
    let processes = fs::read_dir(proc).into_iter().flatten().flatten();
    let pid = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_iscsid).min();
    match pid {
        Some(pid) => Iscsid::Running { pid },
        None if listens => Iscsid::StartedByItsSocket,
        None => Iscsid::Absent,
    }
}

/// Who is to make or end sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionBackend {
    /// thinvol, by the kernel's interface.
    Native,
    /// iscsid, called through iscsiadm.
    Iscsiadm,
}

impl fmt::Display for SessionBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Iscsiadm => "iscsiadm",
        })
    }
}

/// Why a new session is made natively where that was left open.
pub fn why_native(iscsid: Iscsid) -> String {
    match iscsid {
        Iscsid::Absent => format!("{iscsid}"),
        other => format!("{other}, and leaves alone sessions that are made from nobody's address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iscsid_is_found_without_being_talked_to() {
        let proc = tempfile::tempdir().unwrap();
        let proc = proc.path();
        assert_eq!(iscsid(proc), Iscsid::Absent);
        fs::create_dir(proc.join("net")).unwrap();
        let socket = format!("ffff8880: 00000002 00000000 00010000 0001 01 20304 {SOCKET}\n");
        fs::write(proc.join("net/unix"), socket).unwrap();
        assert_eq!(iscsid(proc), Iscsid::StartedByItsSocket);
        for (pid, comm) in [("300", "iscsid"), ("299", "iscsid"), ("20", "iscsiadm")] {
            fs::create_dir(proc.join(pid)).unwrap();
            fs::write(proc.join(pid).join("comm"), format!("{comm}\n")).unwrap();
        }
        assert_eq!(iscsid(proc), Iscsid::Running { pid: 299 });
    }
}
