//! The rules a volume group must keep: run after each read and before each write.
//!
//! Sources: lvm2 `lib/metadata/metadata.c` (`vg_validate`) and `lib/metadata/merge.c` (`check_lv_segments`),
//! and what lvm2 does not check but breaks volumes, each by itself ([`flaws()`]): two thin volumes with one device id.

use std::fmt;

use serde::Serialize;

use crate::format::model::Vg;

mod access;
mod beside;
mod flaws;
mod names;
mod quick;
mod space;
mod thin;

pub use access::{Refusal, Use, may_use};
pub(crate) use beside::{Carried, flaws_beside, keeps_all_rules_beside};
pub use flaws::{Flaw, flaws};
pub use names::valid_tag;

/// A rule that a volume group breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// What breaks it, such as `pve/data` or `PV pv0`.
    pub object: String,
    /// The problem.
    pub problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.problem)
    }
}

/// Collects violations of one VG.
struct Report<'a> {
    vg: &'a Vg,
    found: Vec<Violation>,
}

impl Report<'_> {
    fn vg(&mut self, problem: impl Into<String>) {
        self.found.push(Violation { object: format!("VG {}", self.vg.name), problem: problem.into() });
    }

    fn pv(&mut self, key: &str, problem: impl Into<String>) {
        self.found
            .push(Violation { object: format!("PV {key} of {}", self.vg.name), problem: problem.into() });
    }

    fn lv(&mut self, name: &str, problem: impl Into<String>) {
        self.found.push(Violation { object: format!("{}/{name}", self.vg.name), problem: problem.into() });
    }
}

/// Everything that is wrong with a volume group; empty if nothing is. Linear in its size but for sorting.
pub fn check(vg: &Vg) -> Vec<Violation> {
    if quick::keeps_all_rules(vg) { Vec::new() } else { thorough(vg) }
}

/// The same, by the rules themselves.
fn thorough(vg: &Vg) -> Vec<Violation> {
    let mut report = Report { vg, found: Vec::new() };
    names::check(vg, &mut report);
    space::check(vg, &mut report);
    thin::check(vg, &mut report);
    report.found
}

#[cfg(test)]
mod tests;
