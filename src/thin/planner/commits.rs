//! The texts of a transaction: what its first commit adds and removes, what its second one clears.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::draft::{Draft, PoolChange};
use crate::allocate::never_used;
use crate::plan::Commit;
use crate::refusal::Refusal;
use base::error_chain::in_words;
use base::error_kind::ErrorKind;
use base::ids::{LvName, TransactionId};
use lvm2::format::check::{Use, may_use};
use lvm2::format::edit::{Edit, EditError};
use lvm2::format::metadata::Metadata;
use lvm2::format::model::PoolMessage;

/// The texts of a change.
pub(super) struct Texts {
    /// With everything that changes; of pools that take a transaction, a transaction ahead with messages pending.
    pub first: Box<Commit>,
    /// What the first says.
    pub after: Arc<Metadata>,
    /// The same without messages; none if there were none.
    pub second: Option<Box<Commit>>,
    /// The old content again, numbered to follow the first: what takes the first back.
    pub revert: Box<Commit>,
    /// The transaction id of each pool that takes a transaction, after the first commit.
    pub next: BTreeMap<LvName, TransactionId>,
}

/// More names than this are counted, not listed.
const LISTED_NAMES: usize = 5;

impl Draft<'_> {
    /// Makes the texts, or says why the VG cannot be written.
    pub(super) fn texts(&self) -> Result<Texts, Refusal> {
        may_use(self.vg(), Use::Change, &self.observed.policy.system_ids)
            .map_err(|no| Refusal::new(ErrorKind::Unsupported, no.to_string()).hint(no.hint))?;
        let revert = self.text_back()?;
        let (mut first, mut second) = (self.edits.clone(), Vec::new());
        let mut next = BTreeMap::new();
        for (name, change) in &self.pools {
            let id = self.step(name)?;
            next.insert(name.clone(), id);
            first.push(Edit::SetPoolTransaction { pool: name.clone(), id });
            first.push(Edit::SetPoolMessages { pool: name.clone(), messages: change.messages()? });
            second.push(Edit::SetPoolMessages { pool: name.clone(), messages: Vec::new() });
        }
        let changed = self.apply(self.metadata, &first)?;
        let mut following = None;
        let second = match second.is_empty() {
            true => None,
            false => {
                let without = self.apply(&changed, &second)?;
                following = Some(without.disk_text());
                Some(Commit::new(without, vec!["messages carried out".into()]))
            }
        };
        let (seqno, text, after) = (changed.vg.seqno, changed.disk_text(), Arc::new(changed));
        let mut first = Commit::of_text(seqno, text, self.words(&next));
        self.check_fits(first.bytes)?;
        first.following = following;
        if second.is_none() {
            first.metadata = Some(Arc::clone(&after));
        }
        Ok(Texts { first, after, second, revert, next })
    }

    /// A text that follows another one by itself, with no message to carry out.
    pub(super) fn text_after(
        &self,
        before: &Metadata,
        edits: &[Edit],
        words: Vec<String>,
    ) -> Result<Box<Commit>, Refusal> {
        may_use(&before.vg, Use::Change, &self.observed.policy.system_ids)
            .map_err(|no| Refusal::new(ErrorKind::Unsupported, no.to_string()).hint(no.hint))?;
        let commit = Commit::new(self.apply(before, edits)?, words);
        self.check_fits(commit.bytes)?;
        Ok(commit)
    }

    /// What takes the next commit back.
    pub(super) fn text_back(&self) -> Result<Box<Commit>, Refusal> {
        self.text_back_to(self.metadata)
    }

    /// What takes a commit back that follows that text.
    pub(super) fn text_back_to(&self, before: &Metadata) -> Result<Box<Commit>, Refusal> {
        let revert = before.taking_back(&self.observed.inputs.header);
        let revert = revert.map_err(|error| self.invalid(&error))?;
        Ok(Commit::taking_back(revert, vec!["as before the change".into()]))
    }

    fn step(&self, pool: &LvName) -> Result<TransactionId, Refusal> {
        let (_, segment) = self.pool(pool)?;
        segment.transaction_id.next().ok_or_else(|| {
            Refusal::rule(format!(
                "the transaction id of pool {}/{pool} cannot be stepped any more",
                self.vg().name
            ))
        })
    }

    fn apply(&self, metadata: &Metadata, edits: &[Edit]) -> Result<Metadata, Refusal> {
        metadata.apply(edits, &self.observed.inputs.header).map_err(|error| self.invalid(&error))
    }

    fn invalid(&self, error: &EditError) -> Refusal {
        let message =
            format!("the new metadata of {} would not be valid: {}", self.vg().name, in_words(error));
        Refusal::new(ErrorKind::Corrupt, message)
    }

    fn check_fits(&self, length: u64) -> Result<(), Refusal> {
        match self.observed.text_limit {
            Some(limit) if length > limit.get() => Err(Refusal::rule(format!(
                "the metadata of {} would need {length} bytes, its smallest metadata area takes {limit}",
                self.vg().name
            ))
            .hint(
                "remove volumes, or add a physical volume made with a larger --metadatasize and \
                 'pvchange --metadataignore y' the small ones",
            )),
            _ => Ok(()),
        }
    }

    fn words(&self, next: &BTreeMap<LvName, TransactionId>) -> Vec<String> {
        let mut words = Vec::new();
        for (name, change) in &self.pools {
            let added: Vec<String> = change
                .new
                .iter()
                .map(|new| format!("{} (thin {})", new.thin.name, new.thin.device_id))
                .collect();
            let removed: Vec<String> =
                change.removals.iter().map(|removal| removal.name.to_string()).collect();
            words.extend(listed("add", &added));
            words.extend(listed("remove", &removed));
            if let Some(id) = next.get(name) {
                words.push(format!("{name} to transaction {id}"));
            }
        }
        words.extend(self.words.iter().take(LISTED_NAMES).cloned());
        words.extend(
            self.words.len().checked_sub(LISTED_NAMES + 1).map(|more| format!("{} more changes", more + 1)),
        );
        words
    }
}

fn listed(verb: &str, names: &[String]) -> Option<String> {
    match names.len() {
        0 => None,
        1..=LISTED_NAMES => Some(format!("{verb} {}", names.join(", "))),
        count => Some(format!("{verb} {count} volumes, {} to {}", names[0], names[count - 1])),
    }
}

impl PoolChange {
    /// What the text asks the kernel for: new empty volumes and deletions. A snapshot is not among them: lvm2 cannot
    /// replay one that was made (docs/transactions.md). A transaction of snapshots alone records the deletion of an id
    /// nobody has, because lvm2 refuses a pool whose text is ahead without any message.
    fn messages(&self) -> Result<Vec<PoolMessage>, Refusal> {
        let creates = self.new.iter().filter(|new| new.empty);
        let mut messages: Vec<PoolMessage> =
            creates.map(|new| PoolMessage::Create(new.thin.name.clone())).collect();
        messages.extend(self.deletes.iter().map(|id| PoolMessage::Delete(*id)));
        if messages.is_empty() {
            let unused = never_used(&self.taken).ok_or_else(|| Refusal::rule("no thin device id is left"))?;
            messages.push(PoolMessage::Delete(unused));
        }
        Ok(messages)
    }
}
