//! Says of a volume group that follows another one, which keeps all rules, that it keeps them, too: what was carried
//! over keeps them as it did, so of the records only what is new is looked at, and what names something that is new or
//! gone. Where there is much of that, or anything is unusual, the answer is no, and the whole is checked.

use super::quick::{deletes_nobody, others_keep};
use crate::format::model::{Glance, Lvs, Vg};

/// What of a volume group comes from the one before it, byte for byte or in all fields, and what does not.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    /// The places of those that are new or changed, in the group as it is.
    pub fresh: Vec<usize>,
    /// The places of those that are gone or changed, in the group before.
    pub gone: Vec<usize>,
}

impl Carried {
    /// More than this is not gone through one by one.
    const FEW: usize = 16;

    fn are_few(&self) -> bool {
        self.fresh.len() <= Self::FEW && self.gone.len() <= Self::FEW
    }
}

/// Whether a volume group keeps all rules for certain, given that the one `before` does.
pub(crate) fn keeps_all_rules_beside(vg: &Vg, before: &Vg, carried: &Carried) -> bool {
    carried.are_few()
        && fresh_differ(&vg.lvs, &before.lvs, carried)
        && links_hold(&vg.lvs, &before.lvs, carried)
        && deletes_nobody(vg)
        && others_keep(vg)
}

/// Whether none of its LVs is flawed for certain, given that none of the group `before` is.
pub(crate) fn flaws_beside(vg: &Vg, before: &Vg, carried: &Carried) -> bool {
    let fresh = || carried.fresh.iter().map(|at| vg.lvs.glance_at(*at));
    carried.are_few()
        && vg.name == before.name
        && fresh().all(|lv| super::flaws::fits(vg, lv.name_length()))
        && fresh().enumerate().all(|(number, lv)| {
            let Some(thin) = lv.thin() else { return true };
            let is_same = |other: Glance<'_>| {
                other
                    .thin()
                    .is_some_and(|other| other.device_id == thin.device_id && other.is_in(thin.pool()))
            };
            let stays =
                |(place, other): (usize, Glance<'_>)| is_same(other) && !carried.gone.contains(&place);
            !fresh().take(number).any(is_same) && !before.lvs.glances().enumerate().any(stays)
        })
}

/// Whether the names and ids of what is new are nobody else's: those of the others differ, as they did before.
fn fresh_differ(lvs: &Lvs, before: &Lvs, carried: &Carried) -> bool {
    let fresh = || carried.fresh.iter().map(|at| lvs.glance_at(*at));
    fresh().enumerate().all(|(number, lv)| {
        let is_free = |place: Option<usize>| place.is_none_or(|place| carried.gone.contains(&place));
        is_free(before.place(lv.name()))
            && is_free(before.place_of_id(&lv.id()))
            && fresh().take(number).all(|other| other.name() != lv.name() && other.id() != lv.id())
    })
}

/// Whether pool and origin of each record are what they should be. What names an origin that was carried over, and was
/// itself, names what it named before.
fn links_hold(lvs: &Lvs, before: &Lvs, carried: &Carried) -> bool {
    let gone: Vec<&str> = carried.gone.iter().map(|at| before.glance_at(*at).name()).collect();
    let mut fresh = carried.fresh.iter().copied().peekable();
    let mut known_pool = "";
    lvs.glances().enumerate().all(|(at, lv)| {
        let is_fresh = fresh.next_if_eq(&at).is_some();
        let Some(thin) = lv.plain() else { return true };
        if !thin.is_in(known_pool) {
            let is_pool = lvs.find(thin.pool()).is_some_and(|pool| pool.thin_pool().is_some());
            known_pool = if is_pool { thin.pool() } else { return false };
        }
        thin.origin().filter(|origin| is_fresh || gone.contains(origin)).is_none_or(|origin| {
            let found = lvs.glance(origin).and_then(|origin| origin.thin());
            origin != lv.name() && found.is_some_and(|found| found.shares_pool(&thin))
        })
    })
}

#[cfg(test)]
mod tests;
