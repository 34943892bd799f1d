//! A note below `/run` of the text of the last change: it was checked whole, and a copy of it was made. As long as it
//! is the text in use it need not be checked again; and the copy of the state before the next change takes from that
//! file, if it is what it was. To go through all rules and to lay thousands of volumes out again costs more than all
//! else.
//!
//! A note that is wrong, old or torn does not count: text and file are known by number, length and checksum, both are
//! read as ever, and the build of thinvol that wrote the note must be the one that reads it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base::bytes::crc;
use base::ids::{LvmUuid, Seqno};
use sys::io::roots::read_small;

/// Where notes are kept, and who writes them.
#[derive(Clone, Debug)]
pub struct Notes {
    dir: PathBuf,
    build: String,
}

/// A state of a volume group.
#[derive(Clone, Copy, Debug)]
pub struct State<'a> {
    /// The group.
    pub vg: LvmUuid,
    /// The number of the commit.
    pub seqno: Seqno,
    /// The text in the metadata areas.
    pub text: &'a [u8],
}

impl Notes {
    /// Notes in a directory that is gone after a reboot, by a build that no other one is taken for.
    pub fn new(dir: &Path, build: &str) -> Self {
        Self { dir: dir.to_owned(), build: build.replace(char::is_whitespace, "_") }
    }

    fn path(&self, vg: &LvmUuid) -> PathBuf {
        self.dir.join(format!("copy-{}", vg.compact()))
    }

    /// What a note of that state begins with.
    fn key(&self, state: &State<'_>) -> String {
        let State { vg: _, seqno, text } = state;
        format!("{} {seqno} {} {:08x} ", self.build, text.len(), crc::lvm(text))
    }

    /// Notes that a file is the copy of a state, the group's section at `body`. If that fails, the next copy is laid
    /// out anew.
    pub fn set(&self, state: &State<'_>, copy: &[u8], body: usize) {
        let note = format!("{}{} {:08x} {body};", self.key(state), copy.len(), crc::lvm(copy));
        let path = self.path(&state.vg);
        let write = || {
            let mut open = fs::OpenOptions::new();
            let open = open.write(true).create(true).truncate(true).mode(0o600);
            io::Write::write_all(&mut open.open(&path)?, note.as_bytes())
        };
        let made = write().or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
            write()
        });
        if let Err(error) = made {
            tracing::debug!(path = %path.display(), %error, "no note of the copy");
        }
    }

    /// Whether that state is the one of the note: it kept all rules, and no LV was flawed.
    pub fn is_of(&self, state: &State<'_>) -> bool {
        self.read(state).is_some()
    }

    /// What the note says of the copy, if it is of that state.
    fn read(&self, state: &State<'_>) -> Option<String> {
        let note = read_small(&self.path(&state.vg))?;
        note.strip_prefix(&self.key(state)).map(str::to_owned)
    }

    /// What is in a file, and where the group's section begins there, if it was noted as the copy of that state and is
    /// what it was.
    pub fn copy_of(&self, state: &State<'_>, file: &Path) -> Option<(String, usize)> {
        let note = self.read(state)?;
        let mut words = note.split(' ');
        let (length, sum, body) = (words.next()?, words.next()?, words.next()?.strip_suffix(';')?);
        let (length, body): (usize, usize) = (length.parse().ok()?, body.parse().ok()?);
        let sum = u32::from_str_radix(sum, 16).ok()?;
        // No more than that is read of whatever is there.
        let is_as_long = |stat: &fs::Metadata| stat.is_file() && usize::try_from(stat.len()) == Ok(length);
        fs::symlink_metadata(file).ok().filter(is_as_long)?;
        let copy = fs::read(file).ok()?;
        if copy.len() != length || body > length || crc::lvm(&copy) != sum {
            return None;
        }
        Some((String::from_utf8(copy).ok()?, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_counts_only_as_what_it_was_noted_as() {
        let dir = tempfile::tempdir().unwrap();
        let (run, file) = (dir.path().join("run"), dir.path().join("pve"));
        let notes = Notes::new(&run, "this build");
        let vg = LvmUuid::from_compact(b"abcdefghijklmnopqrstuvwxyzABCDEF").unwrap();
        let state = |seqno, text| State { vg, seqno: Seqno(seqno), text };
        let now = state(7, b"text".as_slice());
        assert_eq!(notes.copy_of(&now, &file), None, "nothing is noted");
        fs::write(&file, "header body").unwrap();
        notes.set(&now, b"header body", 7);
        let found = || notes.copy_of(&now, &file);
        assert_eq!(found(), Some(("header body".to_owned(), 7)));
        assert!(notes.is_of(&now) && !notes.is_of(&state(8, b"text")) && !notes.is_of(&state(7, b"texT")));
        assert_eq!(notes.copy_of(&state(8, b"text"), &file), None, "another number");
        assert_eq!(notes.copy_of(&state(7, b"texT"), &file), None, "another text");
        assert_eq!(notes.copy_of(&state(7, b"text\0"), &file), None, "another length");
        assert_eq!(Notes::new(&run, "that build").copy_of(&now, &file), None);
        let other = LvmUuid::from_compact(b"abcdefghijklmnopqrstuvwxyzABCDEG").unwrap();
        assert_eq!(notes.copy_of(&State { vg: other, ..now }, &file), None);
        for changed in ["header bodY", "header bod", "header body "] {
            fs::write(&file, changed).unwrap();
            assert_eq!(found(), None, "{changed}");
        }
        fs::write(&file, "header body").unwrap();
        let path = notes.path(&vg);
        let note = fs::read_to_string(&path).unwrap();
        for at in 0..note.len() {
            fs::write(&path, &note[..at]).unwrap();
            assert_eq!(found(), None, "a note that ends at {at}");
        }
        fs::write(&path, note.replace(" 7;", " 12;")).unwrap();
        assert_eq!(found(), None, "a section behind the end");
    }
}
