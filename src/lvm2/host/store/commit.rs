//! The commit of a new text to all metadata areas in use.

use std::io;
use std::sync::Arc;

use super::ahead::{Ahead, plan_behind};
use super::assess::{AreaRef, assess};
use super::error::{CommitError, Committed, NotCommitted, Resolution, ResolveError};
use super::read::{Content, MdaRead, read_area};
use super::summary::{Summary, TextCopy, TextPool, summarize, summarize_start};
use super::vg::VgStore;
use super::vg_ref::VgRef;
use crate::format::mda::header::MdaHeader;
use crate::format::placement::plan::{CopyPlan, DiskWrite, plan_copy};
use base::bytes::shared::SharedBytes;

/// A failed device with its error.
type Failure = (String, Arc<io::Error>);

impl VgStore {
    /// Commits `text` (a NUL is added if it has none) as the group's next state. The caller holds the volume
    /// group's lock exclusively, and has read the group under it.
    ///
    /// In this order, so that a crash at any instant leaves every area with the whole old text or the whole
    /// new one:
    ///
    /// 1. The text goes to every area in use, into bytes that its text in use does not have; the text of the commit
    ///    that is to follow, too, if it is known and every area has room for it beside both. No header points
    ///    there yet: until step 3 readers see the old state, and a failure means that nothing happened. What lies
    ///    there if the second commit never comes is free space of the ring, as what older texts left is.
    /// 2. Every device is flushed: both texts are durable then, and the second commit begins at step 3, unless
    ///    anything else was committed or an area failed since. Otherwise a header could become durable before the
    ///    text it points to, and the area would have neither text. (lvm2 leaves this out, and relies on the order
    ///    of completed writes.)
    /// 3. The headers are written back to back: the committed slot points to the new text, the precommit slot
    ///    is cleared. A header is one sector, which a device writes whole or not at all. The first one that
    ///    is durable commits the group, because readers take the newest text of all areas. Between two of
    ///    them lvm2 would warn of areas that lag behind, so nothing else happens in between. One that fails
    ///    does not stop the others: the new state can no longer be taken back.
    /// 4. Every device is flushed, so that the caller may act upon the new state. An area counts as written
    ///    when the flush of its device succeeded. As with lvm2, one such area is enough.
    ///
    /// The headers are one step and not two (precommit, commit): lvm2 has not read the precommit slot since
    /// 2.03.
    ///
    /// # Errors
    /// [`CommitError::NotCommitted`]: the old text stands. [`CommitError::Unknown`]: no area is known to be written;
    /// only [`VgStore::resolve`] and reads go on from there.
    pub fn commit(&mut self, text: &[u8]) -> Result<Committed, CommitError> {
        let text: SharedBytes = text.into();
        summarize(&text).map_err(NotCommitted::from)?;
        self.commit_text(text, None)
    }

    /// The same of a text that others hold, too, and that was read as a whole before: here its start is looked at.
    /// `following` is the text of the next commit, if that is known already.
    ///
    /// # Errors
    /// As [`VgStore::commit`].
    pub fn commit_text(
        &mut self,
        text: SharedBytes,
        following: Option<&SharedBytes>,
    ) -> Result<Committed, CommitError> {
        let next = self.next_text(text)?;
        let there = self.ahead.take().filter(|ahead| ahead.text == next.text);
        let is_there = there.is_some();
        let plans = there.map_or_else(|| self.plan_copies(&next), |ahead| Ok(ahead.plans))?;
        self.check_unchanged()?;
        let mut ahead = None;
        if !is_there {
            ahead = following.and_then(|text| {
                let behind = |(area, first): &(AreaRef, CopyPlan)| {
                    let in_use = self.area(*area)?.header.as_ref()?;
                    let block_size = self.devices[area.device].block_size();
                    Some((*area, plan_behind(first, in_use, block_size, text)?))
                };
                let plans = plans.iter().map(behind).collect::<Option<_>>()?;
                Some(Ahead { text: text.clone(), plans })
            });
            self.write_texts(plans.iter().chain(ahead.iter().flat_map(|ahead| &ahead.plans)))?;
        }
        let headers: Vec<_> = plans.iter().map(|(area, plan)| (*area, &plan.header)).collect();
        let (written, failed) = self.write_headers(&headers);
        if written.is_empty() {
            self.in_doubt = Some(next.text);
            return Err(CommitError::Unknown { failed });
        }
        self.note_commit(&plans, &written, &next);
        self.ahead = ahead.filter(|_| failed.is_empty());
        Ok(Committed { written: written.len(), failed })
    }

    /// Finds out whether a commit that ended with [`CommitError::Unknown`] took effect, and makes the answer durable:
    /// the text that is read is written again and flushed. The caller still holds the lock.
    ///
    /// # Errors
    /// If devices still fail; then the outcome is still unknown, and the call may be repeated.
    pub fn resolve(&mut self) -> Result<Resolution, ResolveError> {
        let attempted = self.in_doubt.clone().ok_or(ResolveError::NothingInDoubt)?;
        let before = self.state.newest.text.clone();
        let in_use_before = self.state.in_use.clone();
        self.reload()?;
        let found = self.state.newest.text.clone();
        if found != attempted && found != before {
            return Err(self.neither());
        }
        let is_new = found == attempted;
        let mut headers = Vec::new();
        for area in in_use_before {
            match self.area(area).map(|read| (&read.content, &read.header)) {
                Some((Content::Text(copy), Some(header))) if copy.text == found => {
                    headers.push((area, header_write(header)));
                }
                Some((Content::Text(_) | Content::Empty | Content::Ignored, _)) => {}
                // It may hold the new text, which would then come back later.
                _ if !is_new => return Err(ResolveError::Unreadable(self.devices[area.device].name())),
                _ => {}
            }
        }
        let headers: Vec<_> = headers.iter().map(|(area, write)| (*area, write)).collect();
        let (written, failed) = self.write_headers(&headers);
        if written.is_empty() || (!is_new && !failed.is_empty()) {
            return Err(match failed.into_iter().next() {
                Some((device, source)) => ResolveError::Write { device, source },
                None => self.neither(),
            });
        }
        self.in_doubt = None;
        Ok(if is_new {
            Resolution::Committed(Committed { written: written.len(), failed })
        } else {
            Resolution::NotCommitted
        })
    }

    fn neither(&self) -> ResolveError {
        let Summary { name, seqno, .. } = self.summary();
        ResolveError::Neither { vg: name.clone(), found: *seqno }
    }

    /// Checks that the group may be changed and that `text` is its next state.
    fn next_text(&self, text: SharedBytes) -> Result<TextCopy, NotCommitted> {
        if self.in_doubt.is_some() {
            return Err(NotCommitted::InDoubt(self.summary().name.clone()));
        }
        if let Some(issue) = self.issues().iter().find(|issue| issue.forbids_commit()) {
            let vg = self.summary().name.clone();
            return Err(NotCommitted::Forbidden { vg, issue: Box::new(issue.clone()) });
        }
        let text = if text.ends_with(b"\0") { text } else { [&*text, b"\0"].concat().into() };
        let next = TextCopy { summary: Arc::new(summarize_start(&text)?), parsed: None, text };
        let (now, new) = (self.summary(), &next.summary);
        let sorted = |ids: &[base::ids::LvmUuid]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids
        };
        let why = if new.id != now.id {
            format!("it is of volume group {} with id {}", new.name, new.id)
        } else if Some(new.seqno) != now.seqno.next() {
            format!("its number is {}", new.seqno)
        } else if sorted(&new.pv_ids) != sorted(&now.pv_ids) {
            "it has other physical volumes".to_owned()
        } else {
            return Ok(next);
        };
        Err(NotCommitted::WrongText { vg: now.name.clone(), seqno: now.seqno, why })
    }

    fn plan_copies(&self, next: &TextCopy) -> Result<Vec<(AreaRef, CopyPlan)>, NotCommitted> {
        let mut plans = Vec::new();
        for (area, header) in self.areas_in_use() {
            let device = &self.devices[area.device];
            let plan = plan_copy(header, device.block_size(), &next.text)
                .map_err(|source| NotCommitted::Room { device: device.name(), source })?;
            plans.push((area, plan));
        }
        let none = || NotCommitted::NoArea(self.summary().name.clone());
        if plans.is_empty() { Err(none()) } else { Ok(plans) }
    }

    fn check_unchanged(&self) -> Result<(), NotCommitted> {
        match self.first_changed() {
            Some(device) => Err(NotCommitted::Changed { device: self.devices[device].name() }),
            None => Ok(()),
        }
    }

    /// Steps 1 and 2.
    fn write_texts<'p>(
        &self,
        plans: impl Iterator<Item = &'p (AreaRef, CopyPlan)> + Clone,
    ) -> Result<(), NotCommitted> {
        let failed = |device: usize| {
            move |error| NotCommitted::Write { device: self.devices[device].name(), source: Arc::new(error) }
        };
        for (area, plan) in plans.clone() {
            for write in &plan.text {
                self.devices[area.device]
                    .write_at(write.offset, &write.bytes)
                    .map_err(failed(area.device))?;
            }
        }
        for device in devices_of(plans.map(|(area, _)| *area)) {
            self.devices[device].flush().map_err(failed(device))?;
        }
        Ok(())
    }

    /// Steps 3 and 4: the areas that are written for good, and the devices that failed.
    fn write_headers(&self, headers: &[(AreaRef, &DiskWrite)]) -> (Vec<AreaRef>, Vec<Failure>) {
        let mut written = Vec::new();
        let mut failed: Vec<Failure> = Vec::new();
        let mut fail = |device: usize, error| failed.push((self.devices[device].name(), Arc::new(error)));
        for (area, write) in headers {
            match self.devices[area.device].write_at(write.offset, &write.bytes) {
                Ok(()) => written.push(*area),
                Err(error) => fail(area.device, error),
            }
        }
        for device in devices_of(written.iter().copied()) {
            if let Err(error) = self.devices[device].flush() {
                written.retain(|area| area.device != device);
                fail(device, error);
            }
        }
        (written, failed)
    }

    /// Brings what is known of the areas up to date after a commit. What failed is read again: it may hold
    /// either text.
    fn note_commit(&mut self, plans: &[(AreaRef, CopyPlan)], written: &[AreaRef], next: &TextCopy) {
        let mut pool = TextPool::default();
        for (area, plan) in plans {
            let now = if written.contains(area) {
                let header = Some(plan.new_header.clone());
                MdaRead { area: plan.new_header.area(), header, content: Content::Text(next.clone()) }
            } else {
                read_area(self.devices[area.device].as_ref(), plan.new_header.area(), &mut pool)
            };
            if let Ok(Some(pv)) = &mut self.sources[area.device].read {
                pv.mdas[area.mda] = now;
            }
        }
        let vg = VgRef::Id(next.summary.id);
        self.state = assess(&self.sources, &vg).expect("an area was just given a text of this group");
    }
}

/// The write that gives a header its present content once more.
fn header_write(header: &MdaHeader) -> DiskWrite {
    DiskWrite { offset: header.area().offset, bytes: header.encode().to_vec().into() }
}

/// The devices of these areas, each once, in their order.
fn devices_of(areas: impl Iterator<Item = AreaRef>) -> Vec<usize> {
    let mut devices: Vec<usize> = areas.map(|area| area.device).collect();
    devices.sort_unstable();
    devices.dedup();
    devices
}
