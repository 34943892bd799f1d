//! Writes backup and archive files as changes are committed: a port to the metadata areas that wraps another one.

use std::sync::Arc;
use std::time::SystemTime;

use crate::plan::Commit;
use crate::ports::{CommitFailure, MetadataStore};
use base::error_chain::in_words;
use lvm2::format::edit::MetadataHeader;
use lvm2::format::metadata::{FileCopy, Metadata};
use lvm2::host::backup::{BackupError, Backups, Copied, State, description};

/// What writes the copies, for their first comment.
const GENERATOR: &str = concat!("thinvol version ", env!("CARGO_PKG_VERSION"));

/// Commits to metadata areas and keeps the copies that lvm2 would have kept, also when what comes after a commit fails.
pub struct BackupStore<'a> {
    areas: &'a mut dyn MetadataStore,
    backups: &'a Backups,
    /// What was typed, for the description in a copy.
    command_line: &'a str,
    header: MetadataHeader,
    before: &'a Metadata,
    /// The last commit of ours.
    last: Option<Commit>,
    /// Whether there is a copy of it.
    is_copied: bool,
    /// The last copy of a state before a commit: what does not change is taken from it.
    archived: Option<FileCopy>,
    warnings: Vec<String>,
}

impl<'a> BackupStore<'a> {
    /// Keeps copies of what is committed to `areas`, which hold `before` now.
    pub fn new(
        areas: &'a mut dyn MetadataStore,
        backups: &'a Backups,
        command_line: &'a str,
        header: MetadataHeader,
        before: &'a Metadata,
    ) -> Self {
        Self {
            areas,
            backups,
            command_line,
            header,
            before,
            last: None,
            is_copied: false,
            archived: None,
            warnings: Vec::new(),
        }
    }

    /// Keeps the state after the last commit, if there was any and no copy was made. Returns what went wrong with
    /// copies: a copy that cannot be written is no reason to fail a change.
    pub fn close(mut self) -> Vec<String> {
        self.keep_copy();
        self.warnings
    }

    fn copy(&self, metadata: &Metadata, after: bool) -> FileCopy {
        let header =
            MetadataHeader { description: description(self.command_line, after), ..self.header.clone() };
        let last = match &self.archived {
            // The copy after the change before is of the state before this one, but for its header.
            None => self.backups.last_copy(&metadata.vg.name, &state(metadata, &metadata.disk_text())),
            Some(_) => None,
        };
        match last.and_then(|(text, body)| FileCopy::found(metadata, text, body)) {
            Some(same) => metadata.to_backup_file_from(GENERATOR, &header, same),
            None => metadata.to_backup_file_beside(GENERATOR, &header, self.archived.as_ref()),
        }
    }

    fn note(&mut self, kept: Result<Copied, BackupError>) {
        self.warnings.extend(kept.err().map(|error| in_words(&error)));
    }
}

fn state<'t>(metadata: &Metadata, text: &'t [u8]) -> State<'t> {
    State { vg: metadata.vg.id, seqno: metadata.vg.seqno, text }
}

impl MetadataStore for BackupStore<'_> {
    /// 1. The state before goes to the archive, as lvm2 does before it writes. A step in the middle of a change of ours
    ///    does not: nobody would go back to it.
    /// 2. The new state is committed.
    fn commit(&mut self, commit: &Commit) -> Result<Vec<String>, CommitFailure> {
        let current = match &self.last {
            None => Some(self.before),
            Some(last) => last.metadata.as_deref(),
        };
        if let Some(current) = current.filter(|_| self.backups.are_wanted()) {
            let copy = self.copy(current, false);
            let kept = self.backups.archive(&current.vg.name, copy.bytes(), SystemTime::now());
            self.archived = Some(copy);
            self.note(kept);
        }
        let behind = self.areas.commit(commit)?;
        (self.last, self.is_copied) = (Some(commit.clone()), false);
        Ok(behind)
    }

    fn keep_copy(&mut self) {
        let Some(last) = self.last.as_ref().filter(|_| !self.is_copied) else { return };
        if !self.backups.are_wanted() {
            return;
        }
        let now = match &last.metadata {
            Some(metadata) => Ok(Arc::clone(metadata)),
            // The change stopped in between, or was taken back.
            None => last
                .text()
                .map_err(|error| in_words(&error))
                .and_then(|text| Metadata::of_text(text).map(Arc::new).map_err(|error| in_words(&error))),
        };
        self.is_copied = true;
        match now {
            Ok(now) => {
                let copy = self.copy(&now, true);
                let kept = self.backups.backup(&now.vg.name, copy.bytes());
                if kept.is_ok() && now.violations().is_empty() && now.flaws().is_empty() {
                    self.backups.note(&state(&now, &now.disk_text()), copy.bytes(), copy.body());
                }
                self.note(kept);
            }
            Err(error) => self.warnings.push(error),
        }
    }
}
