//! File systems and swap on a block device, from `/proc`.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::{Holder, Process, Search, process};
use base::ids::DevNo;

/// Mounts in this process's mount namespace.
pub(super) fn own(search: &Search<'_>, dev: DevNo) -> Vec<Holder> {
    mounts_in(search, &search.proc.join("self/mountinfo"), dev, None)
}

/// Mounts in the mount namespaces of other processes, one process asked per namespace.
pub(super) fn of_other_namespaces(search: &Search<'_>, dev: DevNo) -> Vec<Holder> {
    let namespace = |process: &Path| fs::read_link(process.join("ns/mnt")).ok();
    let mut seen: HashSet<PathBuf> = namespace(&search.proc.join("self")).into_iter().collect();
    let mut found = Vec::new();
    for (pid, directory) in search.processes() {
        if namespace(&directory).is_some_and(|namespace| seen.insert(namespace)) {
            let member = process(pid, &directory);
            found.extend(mounts_in(search, &directory.join("mountinfo"), dev, Some(&member)));
        }
    }
    found
}

/// Whether the kernel swaps to the device.
pub(super) fn swap(search: &Search<'_>, dev: DevNo) -> Option<Holder> {
    let table = fs::read(search.proc.join("swaps")).ok()?;
    let mut areas = table.split(|byte| *byte == b'\n').skip(1).filter_map(|line| field(line, 0));
    areas.any(|path| (search.device_at)(&unescaped(path)) == Some(dev)).then_some(Holder::Swap)
}

/// The mounts of one table whose device number, or whose source, is the device. File systems over several
/// devices (btrfs) have a number of their own, so that only the source tells.
/// Source: Linux `Documentation/filesystems/proc.rst` (3.5, `/proc/<pid>/mountinfo`).
fn mounts_in(search: &Search<'_>, table: &Path, dev: DevNo, namespace_of: Option<&Process>) -> Vec<Holder> {
    let number = dev.to_string();
    let table = fs::read(table).unwrap_or_default();
    table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let same_number = field(line, 2)? == number.as_bytes();
            let is_on_it =
                same_number || source(line).is_some_and(|path| (search.device_at)(&path) == Some(dev));
            let target = is_on_it.then(|| field(line, 4)).flatten().map(unescaped)?;
            Some(Holder::Mount { target, namespace_of: namespace_of.cloned() })
        })
        .collect()
}

/// The source of a mount, if it is a device node: the second field behind the lone hyphen.
fn source(line: &[u8]) -> Option<PathBuf> {
    let mut fields = line.split(|byte| *byte == b' ').skip_while(|field| *field != b"-");
    let path = fields.nth(2)?;
    path.starts_with(b"/dev/").then(|| unescaped(path))
}

fn field(line: &[u8], index: usize) -> Option<&[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).nth(index)
}

/// Undoes the kernel's octal escapes for blanks, newlines and backslashes in paths.
/// Source: Linux `fs/seq_file.c` (`mangle_path`).
fn unescaped(path: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        let octal = rest
            .get(1..4)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(OsStr::from_bytes(digits).to_str()?, 8).ok());
        match octal {
            Some(byte) => {
                plain.push(byte);
                rest = &rest[4..];
            }
            None => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(plain))
}
