//! Sessions and LUNs as they are shown.

use std::io::{self, Write};

use serde::Serialize;

use crate::errors::CliError;
use crate::output;
use base::error_kind::ErrorKind;
use base::units::Bytes;
use iscsi::host::sysfs::{Lun, Session, Timeouts};
use iscsi::protocol::interface::message::SessionId;
use iscsi::protocol::wwid::Wwid;
use iscsi::session::attach::AttachedSession;
use iscsi::session::luns::Change;

/// A session.
#[derive(Debug, Serialize)]
pub struct SessionOutput {
    /// Its number.
    pub session: SessionId,
    /// The target.
    pub target: String,
    /// The portal that was asked for, as iscsiadm shows it.
    pub portal: String,
    /// The network interface it is bound to.
    pub interface: Option<String>,
    /// The portal it is connected to.
    pub connected_to: Option<String>,
    /// Its state.
    pub state: &'static str,
    /// `thinvol`, or `other` for iscsid and anybody else.
    pub owner: &'static str,
    /// The tag of the portal group.
    pub portal_group: Option<u16>,
    /// The initiator's name.
    pub initiator: String,
    /// Whether headers carry a checksum.
    pub header_digest: bool,
    /// Whether data carry a checksum.
    pub data_digest: bool,
    /// Time limits in effect, in seconds.
    pub timeouts: Timeouts,
    /// Its LUNs.
    pub luns: Vec<LunOutput>,
}

/// A LUN.
#[derive(Debug, Serialize)]
pub struct LunOutput {
    /// Its number.
    pub lun: u64,
    /// `host:channel:target:lun`.
    pub address: String,
    /// The kernel's word for its state.
    pub state: String,
    /// What it is.
    pub wwid: Option<Wwid>,
    /// Its device node.
    pub device: Option<String>,
    /// Its size in bytes.
    pub size: Option<Bytes>,
    /// Its links below `/dev/disk/by-id`.
    pub by_id: Vec<String>,
    /// Its links below `/dev/disk/by-path`.
    pub by_path: Vec<String>,
}

impl SessionOutput {
    /// A session with these LUNs.
    pub fn new(session: &Session, is_ours: bool, luns: &[Lun]) -> Self {
        Self {
            session: session.sid,
            target: session.target.clone(),
            portal: session.portal.as_ref().map(ToString::to_string).unwrap_or_default(),
            interface: session.bound_to().map(str::to_owned),
            connected_to: session.connected_to.as_ref().map(ToString::to_string),
            state: session.state.as_str(),
            owner: if is_ours { "thinvol" } else { "other" },
            portal_group: session.portal_group,
            initiator: session.initiator.clone(),
            header_digest: session.header_digest,
            data_digest: session.data_digest,
            timeouts: session.timeouts,
            luns: luns.iter().map(LunOutput::new).collect(),
        }
    }

    /// Its portal, and the interface it is bound to.
    pub fn way(&self) -> String {
        way(&self.portal, self.interface.as_deref())
    }

    /// Its LUNs, one a line.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write_luns(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<[String; 6]> = self.luns.iter().map(LunOutput::row).collect();
        output::columns(out, &rows, &[false, false, true, false, false, false])
    }
}

impl LunOutput {
    fn new(lun: &Lun) -> Self {
        let disk = lun.disk.as_ref();
        Self {
            lun: lun.address.lun,
            address: lun.address.to_string(),
            state: lun.state.clone(),
            wwid: lun.wwid.clone(),
            device: disk.map(iscsi::host::sysfs::Disk::path),
            size: disk.map(|disk| disk.size),
            by_id: disk.map(|disk| disk.by_id.clone()).unwrap_or_default(),
            by_path: disk.map(|disk| disk.by_path.clone()).unwrap_or_default(),
        }
    }

    fn row(&self) -> [String; 6] {
        [
            format!("  LUN {}", self.lun),
            self.device.clone().unwrap_or_else(|| "no device".to_owned()),
            self.size.map(|size| size.to_string()).unwrap_or_default(),
            if self.state == "running" { String::new() } else { self.state.clone() },
            self.wwid.as_ref().map(ToString::to_string).unwrap_or_default(),
            self.by_id.iter().find(|name| name.starts_with("scsi-")).cloned().unwrap_or_default(),
        ]
    }
}

/// A portal, and the interface by which it is reached if it is by one alone.
pub fn way(portal: &str, interface: Option<&str>) -> String {
    interface.map_or_else(|| portal.to_owned(), |name| format!("{portal} by {name}"))
}

/// Something of a session that was asked for and is missing, or keeps it from being taken down.
#[derive(Debug, Serialize)]
pub struct Missing {
    /// The LUN, if it is about one.
    pub lun: Option<u64>,
    /// What is wrong.
    pub error: CliError,
}

/// What is missing of a session that stays.
pub fn missing(ready: &mut AttachedSession) -> Vec<Missing> {
    std::mem::take(&mut ready.missing)
        .into_iter()
        .map(|error| Missing { lun: error.lun(), error: error.into() })
        .collect()
}

/// The error of a session that stays without all that was asked for.
pub fn incomplete(session: &SessionOutput, missing: &[Missing]) -> Option<CliError> {
    let first = missing.first()?;
    let way = session.way();
    let SessionOutput { session, target, .. } = session;
    let message =
        format!("session {session} to {target} at {way} stays, but not all is there that was asked for");
    let error = CliError { hint: first.error.hint.clone(), ..CliError::new(ErrorKind::Partial, message) };
    Some(missing.iter().fold(error, |error, missing| error.along_with(missing.error.clone())))
}

/// What is to be said of LUNs that have no disk and are not missed.
pub fn diskless(ready: &AttachedSession) -> Vec<String> {
    let is_missed = |lun: u64| ready.missing.iter().any(|error| error.lun() == Some(lun));
    let told = ready.attached.diskless.iter().filter(|lun| !is_missed(lun.lun));
    let session = &ready.session;
    told.map(|lun| {
        format!("session {}: LUN {} of {} has no disk: {}", session.sid, lun.lun, session.target, lun.why)
    })
    .collect()
}

/// A change, in words.
pub fn change(change: &Change) -> String {
    match change {
        Change::Added { lun } => format!("LUN {lun} is new"),
        Change::Resized { lun, from, to } => format!("LUN {lun} is {to} large, after {from}"),
        Change::Removed { lun } => format!("LUN {lun} is gone; its device was removed"),
        Change::Replaced { lun } => {
            format!("LUN {lun} is another disk now; the device of the old one was removed")
        }
        Change::GoneInUse { lun, disk, holders } => {
            let names: Vec<String> = holders.iter().map(ToString::to_string).collect();
            format!("LUN {lun} is gone, but {disk} is in use by {}: its I/O fails", names.join("; "))
        }
    }
}
