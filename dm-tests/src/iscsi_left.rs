//! iSCSI sessions and targets that a case left behind.

use std::path::Path;

use anyhow::{Context, Result, bail};
use iscsi::host::netlink::control::Control;
use iscsi::host::netlink::socket::{Listen, Netlink};
use iscsi::protocol::interface::message::{Request, SessionId, Stop};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ctx::lio;

/// The classes of sysfs that must be empty after a case.
const CLASSES: &[&str] = &["iscsi_session", "iscsi_connection", "iscsi_host"];

/// Sessions, connections and hosts that are still there: one line each.
pub fn faults() -> Vec<String> {
    let mut faults = Vec::new();
    for class in CLASSES {
        for name in entries(&Path::new("/sys/class").join(class)) {
            faults.push(format!("{class} {name} was left"));
        }
    }
    faults
}

/// Ends daemons, removes sessions, then targets.
pub fn remove() -> Result<()> {
    kill_daemons();
    let sessions = entries(Path::new("/sys/class/iscsi_session"));
    if !sessions.is_empty() {
        let mut kernel = Netlink::open(Listen::No)?;
        for name in &sessions {
            let sid = name.strip_prefix("session").and_then(|n| n.parse().ok()).map(SessionId);
            let sid = sid.with_context(|| format!("what is {name}?"))?;
            // Some steps fail where a session was half made.
            for request in [
                Request::StopConn(sid, Stop::Terminate),
                Request::DestroyConn(sid),
                Request::DestroySession(sid),
            ] {
                let _ = kernel.request(&request);
            }
        }
        let left = entries(Path::new("/sys/class/iscsi_session"));
        if !left.is_empty() {
            bail!("cannot remove {}", left.join(", "));
        }
    }
    if Path::new(lio::CONFIGFS).is_dir() {
        lio::remove_all()?;
    }
    Ok(())
}

/// Ends processes that a killed case left running outside its process group.
fn kill_daemons() {
    for process in entries(Path::new("/proc")) {
        let Ok(pid) = process.parse() else { continue };
        let name =
            std::fs::read_to_string(Path::new("/proc").join(&process).join("comm")).unwrap_or_default();
        if name.trim_end() == "iscsid" {
            // It may have ended by itself since.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
