//! Addresses of logical units, and what can be asked of the SCSI layer by writing to sysfs.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::protocol::interface::message::HostNo;
use base::ids::IdError;
use sys::io::roots::Roots;

/// Where a logical unit is: host, channel, target, LUN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScsiAddress {
    /// The host.
    pub host: HostNo,
    /// The channel: 0.
    pub channel: u32,
    /// The target.
    pub target: u32,
    /// The logical unit, as the kernel counts them.
    pub lun: u64,
}

impl fmt::Display for ScsiAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.host, self.channel, self.target, self.lun)
    }
}

impl FromStr for ScsiAddress {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut parts = text.split(':');
        let mut next = || parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        let read = (|| {
            let host = HostNo(next()?.parse().ok()?);
            let (channel, target) = (next()?.parse().ok()?, next()?.parse().ok()?);
            Some(Self { host, channel, target, lun: next()?.parse().ok()? })
        })();
        read.filter(|_| parts.next().is_none()).ok_or_else(|| IdError {
            what: "SCSI address",
            text: text.to_owned(),
            why: "it is not <host>:<channel>:<target>:<LUN>".into(),
        })
    }
}

impl Serialize for ScsiAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Looks for logical units at a host: one, or all that the target reports. The kernel skips a host whose session is
/// not logged in, and says nothing.
///
/// # Errors
/// If the host is gone.
pub fn scan(roots: &Roots, host: HostNo, target_id: u32, lun: Option<u64>) -> io::Result<()> {
    let which = lun.map_or_else(|| "- - -".to_owned(), |lun| format!("0 {target_id} {lun}"));
    write(&roots.sys.join(format!("class/scsi_host/host{host}/scan")), &which)
}

/// Removes the devices of a logical unit.
///
/// # Errors
/// If it is gone already.
pub fn delete(roots: &Roots, address: ScsiAddress) -> io::Result<()> {
    write(&roots.sys.join(format!("bus/scsi/devices/{address}/delete")), "1")
}

/// Asks a logical unit anew for its names and its size.
///
/// # Errors
/// If it is gone.
pub fn rescan(roots: &Roots, address: ScsiAddress) -> io::Result<()> {
    write(&roots.sys.join(format!("bus/scsi/devices/{address}/rescan")), "1")
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        let address: ScsiAddress = "3:0:0:16640".parse().unwrap();
        assert_eq!((address.host, address.lun), (HostNo(3), 16640));
        assert_eq!(address.to_string(), "3:0:0:16640");
        for text in
            ["", "1:0:0", "1:0:0:0:0", "1:0:x:0", "1:0:+1:0", "1:0:-1:0", "1:0:0:99999999999999999999"]
        {
            assert!(text.parse::<ScsiAddress>().is_err(), "{text}");
        }
    }
}
