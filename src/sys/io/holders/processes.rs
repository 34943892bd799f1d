//! Processes that have a block device open, from `/proc/<pid>/fd`.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::{Holder, Search, entries, process};
use base::ids::DevNo;

/// The processes with an open file on the device.
///
/// Only files whose path has a `/dev/` in it are looked at: asking for the others could hang on a network
/// file system.
pub(super) fn with_open_file(search: &Search<'_>, dev: DevNo) -> Vec<Holder> {
    let own = std::process::id();
    search
        .processes()
        .filter(|(pid, directory)| {
            *pid != own
                && entries(&directory.join("fd")).any(|file| {
                    let may_be_a_device = fs::read_link(&file).is_ok_and(|target| {
                        target.as_os_str().as_bytes().windows(5).any(|part| part == b"/dev/")
                    });
                    may_be_a_device && !search.is_over() && (search.device_at)(&file) == Some(dev)
                })
        })
        .map(|(pid, directory)| Holder::Process(process(pid, &directory)))
        .collect()
}
