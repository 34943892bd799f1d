//! The executor's port to the metadata areas, over LVM's store.

use std::io;
use std::sync::Arc;

use crate::plan::Commit;
use crate::ports::{CommitFailure, MetadataStore};
use lvm2::host::store::error::{CommitError, Committed, Resolution};
use lvm2::host::store::vg::VgStore;

impl MetadataStore for VgStore {
    fn commit(&mut self, commit: &Commit) -> Result<Vec<String>, CommitFailure> {
        let vg = self.summary().name.clone();
        let text = commit.text().map_err(|error| {
            let source = Box::new(error);
            CommitFailure { vg: vg.clone(), nothing_changed: true, source }
        })?;
        let committed = match self.commit_text(text, commit.following.as_ref()) {
            Ok(committed) => committed,
            Err(CommitError::NotCommitted(why)) => {
                return Err(CommitFailure { vg, nothing_changed: true, source: Box::new(why) });
            }
            Err(unknown @ CommitError::Unknown { .. }) => match self.resolve() {
                Ok(Resolution::Committed(committed)) => committed,
                Ok(Resolution::NotCommitted) => {
                    return Err(CommitFailure { vg, nothing_changed: true, source: Box::new(unknown) });
                }
                Err(doubt) => {
                    return Err(CommitFailure { vg, nothing_changed: false, source: Box::new(doubt) });
                }
            },
        };
        Ok(behind(&committed))
    }
}

fn behind(committed: &Committed) -> Vec<String> {
    let word = |(device, error): &(String, Arc<io::Error>)| {
        format!(
            "the metadata area on {device} could not be written ({error}); it lags behind until the next change"
        )
    };
    committed.failed.iter().map(word).collect()
}
