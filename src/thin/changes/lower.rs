//! From changes to requests: one after another, as the metadata and the changes before say.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::Change;
use super::part::{Note, Part, Role};
use super::scene::{Made, Scene};
use crate::refusal::Refusal;
use crate::request::Request;
use base::ids::LvName;
use lvm2::format::model::Vg;

/// What changes come to.
#[derive(Clone, Debug, Default)]
pub struct Lowered {
    /// The requests of one transaction, in order.
    pub requests: Vec<Request>,
    /// What each request is a part of, in the same order.
    pub parts: Vec<PartOf>,
    /// What the caller should know.
    pub notes: Vec<Note>,
}

impl Lowered {
    /// Each request by itself, as its own change.
    pub(crate) fn each_by_itself(requests: &[Request]) -> Self {
        let part = |change| PartOf { change, display_name: String::new(), role: Role::Itself };
        let parts = (0..requests.len()).map(part).collect();
        Self { requests: requests.to_vec(), parts, notes: Vec::new() }
    }

    /// The same where the first of the changes has that place among all.
    pub(crate) fn placed(mut self, first: usize) -> Self {
        self.parts.iter_mut().for_each(|part| part.change += first);
        self
    }

    /// A refusal of requests as one of the changes that they are parts of.
    pub(crate) fn refused(&self, mut refusal: Refusal) -> Refusal {
        let of_change = |refusal: &mut Refusal| {
            refusal.request = refusal.request.and_then(|request| Some(self.parts.get(request)?.change));
        };
        of_change(&mut refusal);
        refusal.others.iter_mut().for_each(of_change);
        refusal
    }
}

/// What a request is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartOf {
    /// The place of the change among the changes.
    pub change: usize,
    /// What the caller called what it is about.
    pub display_name: String,
    /// What it is within its change.
    pub role: Role,
}

/// Turns changes of one volume group into requests. Addresses mean what is there by then: after a change that gives
/// names, the rest is resolved against the new names.
///
/// # Errors
/// All changes that name what is not there or ask for what must not be, with their places. What builds on a refused
/// change is refused, too.
pub fn lower(vg: &Vg, changes: &[Change]) -> Result<Lowered, Refusal> {
    let going: BTreeSet<LvName> = changes.iter().filter_map(Change::removes).cloned().collect();
    let mut now = Cow::Borrowed(vg);
    let (mut made, mut notes) = (Made::default(), Vec::new());
    let (mut parts, mut refused) = (Vec::new(), Vec::new());
    let mut start = 0;
    while start < changes.len() {
        let rest = &changes[start..];
        let end = rest.iter().position(Change::renames).map_or(changes.len(), |at| start + at + 1);
        let first_part = parts.len();
        let mut scene = Scene::new(&now, &going, &mut made, &mut notes);
        for (place, change) in changes.iter().enumerate().take(end).skip(start) {
            match change.lower(&mut scene) {
                Ok(of_change) => {
                    of_change.iter().for_each(|part| scene.after(&part.request));
                    parts.extend(of_change.into_iter().map(|part| (place, part)));
                }
                Err(refusal) => refused.push(refusal.of_request(place)),
            }
        }
        drop(scene);
        for (_, part) in &parts[first_part..] {
            if let Request::Rename { name, to } = &part.request {
                made.rename(now.to_mut(), name, to);
            }
        }
        start = end;
    }
    let mut refused = refused.into_iter();
    match refused.next() {
        Some(first) => Err(Refusal { others: refused.collect(), ..first }),
        None => Ok(Lowered::of(parts, notes)),
    }
}

impl Lowered {
    /// Puts what is discarded first: the last of the volumes that share a chunk gives it back.
    fn of(mut parts: Vec<(usize, Part)>, notes: Vec<Note>) -> Self {
        parts.sort_by_key(|(_, part)| !matches!(part.request, Request::Discard { .. }));
        let mut lowered = Self { notes, ..Self::default() };
        for (change, Part { request, display_name, role }) in parts {
            lowered.requests.push(request);
            lowered.parts.push(PartOf { change, display_name, role });
        }
        lowered
    }
}
