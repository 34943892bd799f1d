//! Copies of a VG's metadata in files: one before a change, one after it, as `lvm.conf` says.
//!
//! lvm2 writes the same files (`lib/format_text/archive.c`, `archiver.c`), and `vgcfgrestore` reads them. A copy that
//! cannot be written is no reason to fail a change that is or will be committed: errors are for the caller to warn of.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use thiserror::Error;

use crate::host::conf::BackupConf;
use base::ids::VgName;

mod note;

pub use self::note::{Notes, State};

/// Why a copy was not written. The VG is not concerned.
#[derive(Debug, Error)]
#[error("no copy of the metadata was kept: cannot {action} '{}'", path.display())]
pub struct BackupError {
    /// The operation.
    pub action: &'static str,
    /// On which path.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

/// What came of a request for a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Copied {
    /// It is in this file.
    To(PathBuf),
    /// `lvm.conf` wants none.
    NotWanted,
}

/// The copies of metadata that this host keeps.
#[derive(Clone, Debug)]
pub struct Backups {
    conf: BackupConf,
    notes: Option<Notes>,
}

/// The text that says in a copy when it was made, as lvm2 puts it. `command` is the command line.
pub fn description(command: &str, after: bool) -> String {
    format!("Created *{}* executing '{command}'", if after { "after" } else { "before" })
}

impl Backups {
    /// Copies as configured.
    pub fn new(conf: BackupConf) -> Self {
        Self { conf, notes: None }
    }

    /// The same with notes of which states they are of.
    #[must_use]
    pub fn noted(self, notes: Notes) -> Self {
        Self { notes: Some(notes), ..self }
    }

    /// Whether any are kept.
    pub fn are_wanted(&self) -> bool {
        self.conf.archive || self.conf.backup
    }

    /// The copy that was made after the last change, and where the group's section begins in it, if it is known to be
    /// of that state.
    pub fn last_copy(&self, vg: &VgName, state: &State<'_>) -> Option<(String, usize)> {
        self.notes.as_ref()?.copy_of(state, &self.conf.backup_dir.join(vg.as_str()))
    }

    /// Whether that state is known to keep all rules, no LV in it to be flawed: it was so when it was committed.
    pub fn vouch_for(&self, state: &State<'_>) -> bool {
        self.notes.as_ref().is_some_and(|notes| notes.is_of(state))
    }

    /// Notes of which state the copy is that was just made, the group's section at `body`. It keeps all rules, and no
    /// LV in it is flawed.
    pub fn note(&self, state: &State<'_>, copy: &[u8], body: usize) {
        if let Some(notes) = self.notes.as_ref().filter(|_| self.conf.backup) {
            notes.set(state, copy, body);
        }
    }

    /// Keeps the state before a change: `text` in the layout of files, under the next number of this VG. Then removes
    /// copies of it that are both more than `retain_min` and older than `retain_days`.
    ///
    /// It reads the directory once, and looks at one old file more than it removes (lvm2: at all of them).
    ///
    /// 1. The text goes to a file of another name: a file with a number is always whole, unless the machine fails.
    /// 2. A link gives it its name, which unlike a rename never replaces a file of another writer.
    /// 3. No flush, as in lvm2: the state before is also still on the PVs. The copy after a change is flushed.
    ///
    /// # Errors
    /// [`BackupError`], for a warning.
    pub fn archive(&self, vg: &VgName, text: &[u8], now: SystemTime) -> Result<Copied, BackupError> {
        if !self.conf.archive {
            return Ok(Copied::NotWanted);
        }
        let dir = &self.conf.archive_dir;
        create_dir(dir)?;
        let (temporary, _) = write_temporary(dir, text)?;
        let named = archived(dir, vg).and_then(|archived| {
            let path = link_numbered(dir, vg, &temporary, next_number(&archived))?;
            Ok((path, archived))
        });
        let removed = fs::remove_file(&temporary).map_err(error("remove the temporary file", &temporary));
        let (path, archived) = named?;
        removed?;
        self.expire(dir, &archived, now);
        Ok(Copied::To(path))
    }

    /// Keeps the state after a change: `text` in the layout of files, in place of the copy before it.
    ///
    /// 1. The text goes to a file of another name and is flushed: what is renamed next is whole.
    /// 2. The rename replaces the old copy at once; there is always one.
    /// 3. The directory is flushed, so that the rename outlives a power failure.
    ///
    /// # Errors
    /// [`BackupError`], for a warning.
    pub fn backup(&self, vg: &VgName, text: &[u8]) -> Result<Copied, BackupError> {
        if !self.conf.backup {
            return Ok(Copied::NotWanted);
        }
        let dir = &self.conf.backup_dir;
        create_dir(dir)?;
        let (temporary, file) = write_temporary(dir, text)?;
        let path = dir.join(vg.as_str());
        let placed = file
            .sync_all()
            .map_err(error("flush", &temporary))
            .and_then(|()| fs::rename(&temporary, &path).map_err(error("replace", &path)));
        if let Err(failed) = placed {
            discard(&temporary);
            return Err(failed);
        }
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(error("flush the directory", dir))?;
        Ok(Copied::To(path))
    }

    /// The copies there are, the newest first, whether more are wanted or not: that of the state after the last change,
    /// and those of the states before.
    pub fn copies(&self, vg: &VgName) -> Vec<PathBuf> {
        let last = self.conf.backup_dir.join(vg.as_str());
        let dir = &self.conf.archive_dir;
        // A directory that cannot be listed holds none that anybody can use.
        let before = archived(dir, vg).unwrap_or_default();
        let before = before.into_iter().rev().map(|(_, name)| dir.join(name));
        [last].into_iter().filter(|last| last.exists()).chain(before).collect()
    }

    /// Removes the oldest copies. Numbers grow with time, so the first that is young enough ends it.
    fn expire(&self, dir: &Path, archived: &[(u32, String)], now: SystemTime) {
        let keep = usize::try_from(self.conf.retain_min).unwrap_or(usize::MAX);
        let age = Duration::from_secs(self.conf.retain_days.saturating_mul(24 * 60 * 60));
        // The new copy counts too.
        let spare = (archived.len() + 1).saturating_sub(keep);
        for (_, name) in archived.iter().take(spare) {
            let path = dir.join(name);
            let written = fs::metadata(&path).and_then(|file| file.modified());
            let is_old = |written| now.duration_since(written).is_ok_and(|past| past >= age);
            if !written.is_ok_and(is_old) {
                break;
            }
            discard(&path);
        }
    }
}

fn error<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> BackupError + 'a {
    move |source| BackupError { action, path: path.to_owned(), source }
}

fn create_dir(dir: &Path) -> Result<(), BackupError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(error("create the directory", dir))
}

/// Removes a file. What stays behind is only clutter.
fn discard(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(path = %path.display(), %error, "file left behind");
    }
}

/// A number that other writers hardly have: processes of other hosts may share the directory.
fn random(dir: &Path) -> Result<u32, BackupError> {
    // lvm2 prints it signed, and never has a negative one.
    getrandom::u32()
        .map(|number| number >> 1)
        .map_err(|cause| error("name a file in", dir)(io::Error::other(cause)))
}

fn write_temporary(dir: &Path, text: &[u8]) -> Result<(PathBuf, File), BackupError> {
    let path = dir.join(format!(".lvm_thinvol_{}_{}", std::process::id(), random(dir)?));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut file = file.map_err(error("create", &path))?;
    if let Err(cause) = file.write_all(text) {
        discard(&path);
        return Err(error("write", &path)(cause));
    }
    Ok((path, file))
}

/// The copies of a VG in the archive: number and name, the oldest first.
fn archived(dir: &Path, vg: &VgName) -> Result<Vec<(u32, String)>, BackupError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(error("list", dir))? {
        let Ok(name) = entry.map_err(error("list", dir))?.file_name().into_string() else { continue };
        if let Some((owner, number)) = split_name(&name)
            && owner == vg.as_str()
        {
            found.push((number, name));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// `<vg>_<number>-<random>.vg`. Source: lvm2 `lib/format_text/archive.c` (`_split_vg`).
fn split_name(name: &str) -> Option<(&str, u32)> {
    let (vg, rest) = name.strip_suffix(".vg")?.rsplit_once('_')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((vg, rest[..digits].parse().ok()?))
}

/// The number of the next copy. After the largest there is none: what follows has the largest as well, and another
/// random part.
fn next_number(archived: &[(u32, String)]) -> u32 {
    archived.last().map_or(0, |last| last.0.saturating_add(1))
}

fn link_numbered(dir: &Path, vg: &VgName, temporary: &Path, first: u32) -> Result<PathBuf, BackupError> {
    /// How many numbers are tried, as in lvm2.
    const TRIES: u32 = 10;
    let random = random(dir)?;
    let mut last = None;
    for number in first..=first.saturating_add(TRIES - 1) {
        let path = dir.join(format!("{vg}_{number:05}-{random}.vg"));
        match fs::hard_link(temporary, &path) {
            Ok(()) => return Ok(path),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                last = Some(error("create", &path)(cause))
            }
            Err(cause) => return Err(error("create", &path)(cause)),
        }
    }
    Err(last
        .unwrap_or_else(|| error("find a number for a file in", dir)(io::ErrorKind::AlreadyExists.into())))
}

#[cfg(test)]
mod tests;
