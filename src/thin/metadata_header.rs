//! The header of new metadata (who writes it, when and why), from this host's clock and name; new UUIDs.

use std::time::{SystemTime, UNIX_EPOCH};

use base::ids::{LVM_UUID_LEN, LvmUuid};
use lvm2::format::edit::MetadataHeader;

/// The host's name; empty if the system does not say.
pub fn host_name() -> String {
    nix::sys::utsname::uname().map(|name| name.nodename().to_string_lossy().into_owned()).unwrap_or_default()
}

/// The header of metadata written now, on behalf of that command line.
pub fn metadata_header(command_line: &str) -> MetadataHeader {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (host, uname) = nix::sys::utsname::uname().map_or_else(
        |_| Default::default(),
        |name| {
            let words = [name.sysname(), name.nodename(), name.release(), name.version(), name.machine()];
            let words = words.map(|word| word.to_string_lossy().into_owned());
            (words[1].clone(), words.join(" "))
        },
    );
    let now = i64::try_from(time).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    MetadataHeader {
        description: format!("Write from {command_line}."),
        host,
        uname,
        time,
        time_text: now.map(|now| now.strftime("%a %b %e %H:%M:%S %Y UTC").to_string()).unwrap_or_default(),
    }
}

/// A new UUID.
///
/// # Panics
/// If the system has no random numbers: then nothing that needs a new identity may go on.
pub fn new_uuid() -> LvmUuid {
    let mut random = [0; LVM_UUID_LEN];
    getrandom::fill(&mut random).expect("the system's random numbers are there once it has booted");
    LvmUuid::from_random(random)
}
