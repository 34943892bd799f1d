//! iSCSI sessions as sysfs shows them.
//!
//! Sessions come and go while they are read: those that are gone, or have no usable attributes, are left out.

mod disks;
pub mod scsi;

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use disks::{DISK, Disk, Lun, lun, luns};
pub use scsi::ScsiAddress;

use crate::protocol::interface::message::{HostNo, SessionId};
use crate::protocol::settings::DEFAULT_INTERFACE;
use sys::io::roots::{Roots, read_attribute};

/// The driver of TCP sessions. Source: Linux `drivers/scsi/iscsi_tcp.c` (`iscsi_sw_tcp_sht.proc_name`).
const TCP_DRIVER: &str = "iscsi_tcp";

/// The creator of sessions that iscsid leaves alone.
pub const CREATOR_NOBODY: i64 = -1;

/// The state of a session. Source: Linux `drivers/scsi/scsi_transport_iscsi.c` (`iscsi_session_state_names`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// In full feature phase.
    LoggedIn,
    /// The connection is lost; I/O waits.
    Failed,
    /// Not logged in, or lost for longer than the replacement timeout: I/O fails.
    Free,
}

impl SessionState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LoggedIn => "logged in",
            Self::Failed => "failed",
            Self::Free => "free",
        }
    }
}

/// An address and a TCP port, as the kernel was told them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// An IP address without brackets, or a host name.
    pub address: String,
    /// The port.
    pub port: u16,
}

/// As portals are written: IPv6 addresses in brackets.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, port } = self;
        if address.contains(':') { write!(f, "[{address}]:{port}") } else { write!(f, "{address}:{port}") }
    }
}

/// Time limits in effect, in seconds; `None` where the kernel shows none. A replacement timeout below 0 means never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    /// From the loss of the connection until I/O fails.
    pub replacement: Option<i64>,
    /// Of an abort.
    pub abort: Option<i64>,
    /// Of a reset of a logical unit.
    pub lun_reset: Option<i64>,
    /// Of a reset of the target.
    pub target_reset: Option<i64>,
    /// Silence until a ping.
    pub ping_interval: Option<i64>,
    /// Of a ping.
    pub ping: Option<i64>,
}

/// A TCP session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Its number.
    pub sid: SessionId,
    /// Its SCSI host.
    pub host: HostNo,
    /// The number of the target at that host.
    pub target_id: u32,
    /// Its state.
    pub state: SessionState,
    /// The target's name; empty before it was told.
    pub target: String,
    /// The tag of the target's portal group.
    pub portal_group: Option<u16>,
    /// The requested portal.
    pub portal: Option<Endpoint>,
    /// Where it is connected to: another portal after a redirection.
    pub connected_to: Option<Endpoint>,
    /// The interface record of open-iscsi's it was made for; `default` unless someone bound it to one.
    pub interface_record: String,
    /// The network interface it is bound to, as the kernel was told.
    pub net_interface: Option<String>,
    /// The initiator's name.
    pub initiator: String,
    /// The process that made it, or [`CREATOR_NOBODY`].
    pub creator: i64,
    /// Whether it has a connection, in whatever state.
    pub has_connection: bool,
    /// Whether headers carry a checksum.
    pub header_digest: bool,
    /// Whether data carry a checksum.
    pub data_digest: bool,
    /// Time limits.
    pub timeouts: Timeouts,
}

impl Session {
    /// The network interface it is bound to; where the kernel was not told which, the interface record it was made
    /// for. `None` if the routes decide.
    pub fn bound_to(&self) -> Option<&str> {
        let is_one = |name: &&str| !["", DEFAULT_INTERFACE].contains(name);
        let record = Some(self.interface_record.as_str()).filter(is_one)?;
        Some(self.net_interface.as_deref().filter(is_one).unwrap_or(record))
    }
}

/// A folder of sysfs whose attributes are read.
struct Attributes(PathBuf);

impl Attributes {
    fn text(&self, name: &str) -> Option<String> {
        // What was never set is printed as C prints a null pointer.
        read_attribute(&self.0.join(name)).filter(|text| !matches!(text.as_str(), "" | "(null)" | "<NULL>"))
    }

    fn first_byte(&self, name: &str) -> Option<u8> {
        let mut byte = [0];
        fs::File::open(self.0.join(name)).and_then(|mut file| file.read_exact(&mut byte)).ok()?;
        Some(byte[0])
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.trim().parse().ok()
    }

    fn endpoint(&self, address: &str, port: &str) -> Option<Endpoint> {
        Some(Endpoint { address: self.text(address)?, port: self.number(port)? })
    }
}

/// The TCP sessions there are, by number.
///
/// # Errors
/// If sysfs cannot be read; no iSCSI in the kernel means no sessions.
pub fn sessions(roots: &Roots) -> std::io::Result<Vec<Session>> {
    let entries = match fs::read_dir(roots.sys.join("class/iscsi_session")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let number = |name: &str| name.strip_prefix("session")?.parse().ok().map(SessionId);
    let mut found = Vec::new();
    for entry in entries {
        found.extend(entry?.file_name().to_str().and_then(number).and_then(|sid| session(roots, sid)));
    }
    found.sort_by_key(|session| session.sid);
    Ok(found)
}

/// One session; `None` if it is gone or not over TCP.
pub fn session(roots: &Roots, sid: SessionId) -> Option<Session> {
    let folder = roots.sys.join(format!("class/iscsi_session/session{sid}"));
    let real = folder.canonicalize().ok()?;
    let host = host_above(&real)?;
    if read_attribute(&roots.sys.join(format!("class/scsi_host/host{host}/proc_name")))? != TCP_DRIVER {
        return None;
    }
    let own = Attributes(folder);
    let connection = Attributes(roots.sys.join(format!("class/iscsi_connection/connection{sid}:0")));
    let state = match own.text("state")?.as_str() {
        "LOGGED_IN" => SessionState::LoggedIn,
        "FAILED" => SessionState::Failed,
        "FREE" => SessionState::Free,
        _ => return None,
    };
    Some(Session {
        sid,
        host,
        target_id: own.number("target_id").unwrap_or(0),
        state,
        target: own.text("targetname").unwrap_or_default(),
        portal_group: own.number("tpgt"),
        portal: connection.endpoint("persistent_address", "persistent_port"),
        connected_to: connection.endpoint("address", "port"),
        interface_record: own.text("ifacename").unwrap_or_default(),
        net_interface: Attributes(roots.sys.join(format!("class/iscsi_host/host{host}"))).text("netdev"),
        initiator: own.text("initiatorname").unwrap_or_default(),
        creator: own.number("creator")?,
        has_connection: connection.0.is_dir(),
        header_digest: connection.number("header_digest") == Some(1),
        data_digest: connection.number("data_digest") == Some(1),
        timeouts: Timeouts {
            replacement: own.text("recovery_tmo").and_then(|text| match text.trim() {
                "off" => Some(-1),
                text => text.parse().ok(),
            }),
            abort: own.number("abort_tmo"),
            lun_reset: own.number("lu_reset_tmo"),
            target_reset: own.number("tgt_reset_tmo"),
            ping_interval: connection.number("recv_tmo"),
            ping: connection.number("ping_tmo"),
        },
    })
}

/// The host in `/sys/devices/…/host4/session2/iscsi_session/session2`.
fn host_above(path: &Path) -> Option<HostNo> {
    path.components()
        .find_map(|part| part.as_os_str().to_str()?.strip_prefix("host")?.parse().ok().map(HostNo))
}
