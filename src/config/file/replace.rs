//! Putting a new content in the place of a file, under its lock.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::{FileError, io_error};
use sys::xattr;

/// The mode of a file that was not there before.
const NEW_MODE: u32 = 0o640;

/// What the names of temporary files have between the file's own and a random part.
const MARK: &str = ".tmp.thinvol-";

/// Attributes that tell of a content, and are wrong for another. Source: Linux `security/integrity`.
const OF_THE_CONTENT: &[&str] = &["security.ima", "security.evm"];

/// Puts a new content in the place of a file.
///
/// 1. The content is written to a file of another name in the same directory, which nobody had and nobody can have
///    guessed, and flushed: the data is on the disk before any name leads to it.
/// 2. Owner, access control list, other extended attributes and mode are those of the old file, set before the name
///    changes, so that nobody meets a file that he may not read yet or no longer. In the cluster file system they
///    follow from the place and cannot be set: there they are equal already.
/// 3. The name is moved over the old one: readers see the old content or the new one, never a part.
/// 4. The directory is flushed: the move is on the disk when we say so.
///
/// A crash before 3 leaves the old file and a temporary one, which the next change removes: under the lock, none is in
/// use.
pub fn replace(path: &Path, dir: &Path, text: &[u8]) -> Result<(), FileError> {
    let name = path.file_name().unwrap_or_default();
    remove_left(dir, name);
    let temporary = temporary(dir, name)?;
    let written = write(&temporary, path, text)
        .and_then(|()| fs::rename(&temporary, path).map_err(io_error("move the new content over", path)));
    if written.is_err() {
        // The first error is reported; the next change removes a temporary file that stays behind.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("flush the directory", dir))
}

fn temporary(dir: &Path, name: &OsStr) -> Result<PathBuf, FileError> {
    let random = getrandom::u64().map_err(io::Error::other).map_err(io_error("name a file in", dir))?;
    let mut temporary = name.to_owned();
    temporary.push(format!("{MARK}{random:016x}"));
    Ok(dir.join(temporary))
}

/// Removes what earlier changes left that did not come to their end. What cannot be removed harms nobody.
fn remove_left(dir: &Path, name: &OsStr) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let start = [name.as_bytes(), MARK.as_bytes()].concat();
    for entry in entries.flatten().filter(|entry| entry.file_name().as_bytes().starts_with(&start)) {
        if let Err(error) = fs::remove_file(entry.path()) {
            tracing::debug!(path = %entry.path().display(), %error, "file left behind");
        }
    }
}

fn write(temporary: &Path, path: &Path, text: &[u8]) -> Result<(), FileError> {
    let failed = |action| io_error(action, temporary);
    let mut new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(NEW_MODE)
        .open(temporary)
        .map_err(failed("create"))?;
    new.write_all(text).map_err(failed("write"))?;
    match File::open(path) {
        Ok(old) => be_like(&new, temporary, &old, path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error("look at", path)(error)),
    }
    new.sync_all().map_err(failed("flush"))
}

/// Gives the new file all that the old one has but its content.
fn be_like(new: &File, temporary: &Path, old: &File, path: &Path) -> Result<(), FileError> {
    let failed = |action| io_error(action, temporary);
    let seen = old.metadata().map_err(io_error("look at", path))?;
    let made = new.metadata().map_err(failed("look at"))?;
    if (seen.uid(), seen.gid()) != (made.uid(), made.gid()) {
        fchown(new, Some(seen.uid()), Some(seen.gid())).map_err(failed("set the owner of"))?;
    }
    for (name, value) in xattr::all(old.as_fd()).map_err(io_error("read the attributes of", path))? {
        if OF_THE_CONTENT.iter().any(|of_content| name.as_bytes() == of_content.as_bytes()) {
            continue;
        }
        let has_it = xattr::get(new.as_fd(), &name).is_ok_and(|now| now.as_deref() == Some(&value));
        if !has_it {
            xattr::set(new.as_fd(), &name, &value).map_err(failed("set the attributes of"))?;
        }
    }
    // After the list: its mask is the group's part of the mode.
    if seen.mode() != new.metadata().map_err(failed("look at"))?.mode() {
        let mode = fs::Permissions::from_mode(seen.mode() & 0o7777);
        new.set_permissions(mode).map_err(failed("set the mode of"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_has_besides_its_content_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("storage.cfg");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        let old = File::open(&path).unwrap();
        let name = std::ffi::CString::new("user.thinvol").unwrap();
        let has_attributes = xattr::set(old.as_fd(), &name, b"x").is_ok();
        replace(&path, dir.path(), b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o604);
        if has_attributes {
            let new = File::open(&path).unwrap();
            assert_eq!(xattr::get(new.as_fd(), &name).unwrap().as_deref(), Some(&b"x"[..]));
        }
    }

    /// Source: Linux `include/uapi/linux/posix_acl_xattr.h`: the version, then tag, permissions and id of each entry.
    fn access_list() -> Vec<u8> {
        let entries: [(u16, u16, u32); 5] =
            [(1, 6, u32::MAX), (2, 4, 1000), (4, 0, u32::MAX), (16, 4, u32::MAX), (32, 4, u32::MAX)];
        let entry = |(tag, may, id): (u16, u16, u32)| {
            [&tag.to_le_bytes()[..], &may.to_le_bytes()[..], &id.to_le_bytes()[..]].concat()
        };
        [2_u32.to_le_bytes().to_vec(), entries.into_iter().flat_map(entry).collect()].concat()
    }

    #[test]
    fn an_access_control_list_stays_with_its_mask() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("storage.cfg");
        fs::write(&path, "old").unwrap();
        let name = std::ffi::CString::new("system.posix_acl_access").unwrap();
        if xattr::set(File::open(&path).unwrap().as_fd(), &name, &access_list()).is_err() {
            eprintln!("SKIPPED: the file system of {} keeps no access control lists", dir.path().display());
            return;
        }
        let mode = fs::metadata(&path).unwrap().mode();
        replace(&path, dir.path(), b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let now = xattr::get(File::open(&path).unwrap().as_fd(), &name).unwrap();
        assert_eq!((now, fs::metadata(&path).unwrap().mode()), (Some(access_list()), mode));
    }

    #[test]
    fn nothing_but_what_changes_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str| fs::write(dir.path().join(name), "").unwrap();
        let kept = ["storage.cfg.tmp.17", "other.cfg.tmp.thinvol-1", "storage.cfg.bak"];
        kept.into_iter().chain(["storage.cfg.tmp.thinvol-1", "storage.cfg.tmp.thinvol-2"]).for_each(make);
        replace(&dir.path().join("storage.cfg"), dir.path(), b"new").unwrap();
        let mut left: Vec<String> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["other.cfg.tmp.thinvol-1", "storage.cfg", "storage.cfg.bak", "storage.cfg.tmp.17"]);
    }

    #[test]
    fn a_temporary_file_is_nobodys() {
        let dir = tempfile::tempdir().unwrap();
        let name = OsStr::new("storage.cfg");
        let (one, other) = (temporary(dir.path(), name).unwrap(), temporary(dir.path(), name).unwrap());
        assert_ne!(one, other);
        std::os::unix::fs::symlink("/dev/null", &one).unwrap();
        let path = dir.path().join("storage.cfg");
        assert!(write(&one, &path, b"x").is_err(), "what is there is never written to");
    }
}
