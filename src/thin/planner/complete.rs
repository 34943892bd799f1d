//! Whether all physical volumes that a volume stands on are there.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use crate::refusal::Refusal;
use crate::stack::DevRef;
use base::error_kind::ErrorKind;
use lvm2::format::model::{Lv, Pv, SegmentKind, last_seen};

impl Draft<'_> {
    /// Refuses to activate a volume part of which is not there, as lvm2 does unless it is told otherwise. A physical
    /// volume that the text calls missing may be back: what it holds is out of date then.
    pub(super) fn check_complete(&self, lv: &Lv) -> Result<(), Refusal> {
        let vg = self.vg();
        let is_away = |pv: &&Pv| {
            !self.observed.numbers.contains_key(&DevRef::Pv(pv.key.clone())) || pv.is_marked_missing()
        };
        let away: BTreeMap<&str, &Pv> =
            vg.pvs.iter().filter(is_away).map(|pv| (pv.key.as_str(), pv)).collect();
        if away.is_empty() {
            return Ok(());
        }
        let mut seen = BTreeSet::from([lv.name.as_str()]);
        let mut below = vec![lv];
        while let Some(part) = below.pop() {
            for name in part.segments.iter().flat_map(|segment| stands_on(&segment.kind)) {
                if let Some(pv) = away.get(name) {
                    return Err(Refusal::new(
                        ErrorKind::Unsupported,
                        format!(
                            "{}/{} is not whole: physical volume {} is missing{}",
                            vg.name,
                            lv.name,
                            pv.id,
                            last_seen(&pv.device_hint)
                        ),
                    )
                    .hint(
                        "bring the disk back; 'lvchange -ay --activationmode partial' activates what is left",
                    ));
                }
                let part = vg.lvs.find(name);
                below.extend(part.filter(|part| seen.insert(part.name.as_str())));
            }
        }
        Ok(())
    }
}

/// The physical volumes, by their keys, and the volumes, by their names, that a segment stands on.
fn stands_on(kind: &SegmentKind) -> Vec<&str> {
    match kind {
        SegmentKind::Striped(striped) => striped.stripes.iter().map(|stripe| stripe.area.as_str()).collect(),
        SegmentKind::ThinPool(pool) => vec![pool.metadata.as_str(), pool.data.as_str()],
        SegmentKind::Thin(thin) => {
            let origin = thin.external_origin.iter().map(|origin| origin.as_str());
            std::iter::once(thin.pool.as_str()).chain(origin).collect()
        }
        SegmentKind::Opaque { references, .. } => references.iter().map(String::as_str).collect(),
    }
}
