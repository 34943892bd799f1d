//! Decides which of the texts that were read is the volume group's, and which areas get the next one. No I/O.

use super::error::StoreError;
use super::issue::StoreIssue;
use super::read::{Content, DeviceError, MdaRead, PvRead};
use super::summary::{Summary, TextCopy};
use super::vg_ref::VgRef;
use crate::format::text::Document;
use base::ids::LvmUuid;

/// A device with its content.
#[derive(Clone, Debug)]
pub struct DeviceRead {
    /// Its name.
    pub device: String,
    /// Its content; `None` if it is no physical volume.
    pub read: Result<Option<PvRead>, DeviceError>,
}

impl DeviceRead {
    /// Its content, if it is a physical volume that can be used.
    pub fn pv(&self) -> Option<&PvRead> {
        self.read.as_ref().ok()?.as_ref()
    }
}

/// A metadata area by the position of its device among the sources and its own in the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AreaRef {
    /// The device's position.
    pub device: usize,
    /// The area's position.
    pub mda: usize,
}

/// What a volume group is, on these devices.
#[derive(Clone, Debug)]
pub struct Assessment {
    /// The newest text.
    pub newest: TextCopy,
    /// The areas that hold it, or an older one, or none, and that take the next one.
    pub in_use: Vec<AreaRef>,
    /// Problems.
    pub issues: Vec<StoreIssue>,
}

/// Assesses the content of the devices.
///
/// The newest text is the one with the highest number. As in lvm2, an older or empty area of one of its
/// physical volumes takes part in the next commit, while a damaged, foreign or contradicting one is left as
/// it is.
///
/// # Errors
/// If no device has a text of that volume group, or several groups share the name.
pub fn assess(sources: &[DeviceRead], vg: &VgRef) -> Result<Assessment, StoreError> {
    let mut issues = device_issues(sources);
    let newest = newest(sources, vg, &issues)?;
    let summary = &newest.summary;
    let mut in_use = Vec::new();
    let mut found: Vec<(LvmUuid, &str)> = Vec::new();
    for (position, source) in sources.iter().enumerate() {
        let Some(pv) = source.pv() else { continue };
        let (pv_id, device) = (pv.label.pv_id, source.device.as_str());
        if !summary.pv_ids.contains(&pv_id) {
            issues.extend(outdated(device, pv, summary));
            continue;
        }
        if let Some((_, first)) = found.iter().find(|(id, _)| *id == pv_id) {
            let (first, second) = ((*first).to_owned(), device.to_owned());
            issues.push(StoreIssue::DuplicatePv { pv_id, first, second });
            continue;
        }
        found.push((pv_id, device));
        issues.extend(pv.second_label.map(|ignored| StoreIssue::SecondLabel {
            device: device.to_owned(),
            used: pv.label.label_sector,
            ignored,
        }));
        for (mda, read) in pv.mdas.iter().enumerate() {
            let issue = area_issue(device, read, &newest);
            if matches!(issue, None | Some(StoreIssue::Lagging { .. })) {
                in_use.push(AreaRef { device: position, mda });
            }
            issues.extend(issue);
        }
    }
    let absent = |pv_id: &&LvmUuid| !found.iter().any(|(id, _)| id == *pv_id);
    let missing = summary.pv_ids.iter().filter(absent);
    issues.extend(missing.map(|pv_id| StoreIssue::MissingPv {
        vg: summary.name.clone(),
        pv_id: *pv_id,
        device_hint: summary.device_hints.get(pv_id).cloned(),
    }));
    Ok(Assessment { newest, in_use, issues })
}

fn device_issues(sources: &[DeviceRead]) -> Vec<StoreIssue> {
    let issue = |source: &DeviceRead| {
        let error = source.read.as_ref().err()?;
        Some(StoreIssue::Device { device: source.device.clone(), source: error.clone() })
    };
    sources.iter().filter_map(issue).collect()
}

/// The newest text of each group, in the order of the devices.
fn newest_of_each(sources: &[DeviceRead]) -> Vec<&TextCopy> {
    let mut groups: Vec<&TextCopy> = Vec::new();
    for mda in sources.iter().filter_map(DeviceRead::pv).flat_map(|pv| &pv.mdas) {
        let Content::Text(copy) = &mda.content else { continue };
        match groups.iter_mut().find(|known| known.summary.id == copy.summary.id) {
            Some(known) if known.summary.seqno >= copy.summary.seqno => {}
            Some(known) => *known = copy,
            None => groups.push(copy),
        }
    }
    groups
}

/// The newest text of the group that is asked for. A group has the name that its newest text gives it: one
/// that lags behind may still have the name from before a change of it.
fn newest(sources: &[DeviceRead], vg: &VgRef, issues: &[StoreIssue]) -> Result<TextCopy, StoreError> {
    let mut groups = newest_of_each(sources);
    groups.retain(|copy| vg.is(&copy.summary));
    match groups[..] {
        [only] => return Ok(only.clone()),
        [first, second, ..] => {
            let ids = [first.summary.id, second.summary.id];
            return Err(StoreError::Ambiguous { name: first.summary.name.clone(), ids });
        }
        [] => {}
    }
    let areas = sources.iter().filter_map(|source| Some((source, source.pv()?)));
    let damaged = areas.flat_map(|(source, pv)| pv.mdas.iter().filter_map(|mda| damage(&source.device, mda)));
    let issues = issues.iter().cloned().chain(damaged).collect();
    Err(StoreError::NotFound { vg: vg.clone(), devices: sources.len(), issues })
}

fn damage(device: &str, mda: &MdaRead) -> Option<StoreIssue> {
    match &mda.content {
        Content::Damaged(source) => {
            Some(StoreIssue::Damaged { device: device.to_owned(), vg: None, source: source.clone() })
        }
        _ => None,
    }
}

/// What is wrong with an area of one of the group's physical volumes.
fn area_issue(device: &str, mda: &MdaRead, newest: &TextCopy) -> Option<StoreIssue> {
    let (device, at) = (device.to_owned(), mda.area.offset);
    match &mda.content {
        Content::Ignored => Some(StoreIssue::Ignored { device, at }),
        Content::Empty => Some(StoreIssue::Lagging { device, at, found: None }),
        Content::Damaged(source) => {
            let vg = Some(newest.summary.name.clone());
            Some(StoreIssue::Damaged { device, vg, source: source.clone() })
        }
        Content::Text(copy) if copy.summary.id != newest.summary.id => {
            Some(StoreIssue::Foreign { device, at, vg: copy.summary.name.clone() })
        }
        Content::Text(copy) if copy.summary.seqno < newest.summary.seqno => {
            Some(StoreIssue::Lagging { device, at, found: Some(copy.summary.seqno) })
        }
        Content::Text(copy) if copy.text != newest.text && !same_group(&copy.text, &newest.text) => {
            let (vg, seqno) = (copy.summary.name.clone(), copy.summary.seqno);
            Some(StoreIssue::Mismatch { vg, device, at, seqno })
        }
        Content::Text(_) => None,
    }
}

/// Whether two texts describe the same group to the letter, and differ in who wrote them and when.
fn same_group(one: &[u8], other: &[u8]) -> bool {
    let (Ok(one), Ok(other)) = (Document::parse(one), Document::parse(other)) else { return false };
    let groups = |document: &Document| {
        let sections =
            document.root().sections().map(|section| document.node_text(section.id()).into_owned());
        sections.collect::<Vec<_>>()
    };
    groups(&one) == groups(&other)
}

/// The issue of a device that the newest text does not name, if it has a text of the group all the same.
fn outdated(device: &str, pv: &PvRead, newest: &Summary) -> Option<StoreIssue> {
    pv.mdas.iter().find_map(|mda| match &mda.content {
        Content::Text(copy) if copy.summary.id == newest.id => Some(StoreIssue::Outdated {
            device: device.to_owned(),
            vg: newest.name.clone(),
            seqno: copy.summary.seqno,
        }),
        _ => None,
    })
}
