//! Lineage tags with an old uuid of a volume that still exists under another uuid: after a rollback by Proxmox VE, and
//! after `vgmerge`.

use super::repair::Mending;
use crate::lineage::{Lineage, OF_TAG, Parent};
use base::ids::{LvName, LvmUuid};
use lvm2::format::edit::Edit;
use lvm2::format::model::{Glance, Lv, Vg};

impl Mending<'_, '_> {
    /// Has such tags name what they mean, as long as something tells what that is: the link that does goes with the
    /// snapshot that the volume was rolled back to.
    pub(super) fn outdated_tags(&mut self) {
        let draft = self.sequence.draft;
        let vg = draft.vg();
        if !names_something_gone(vg) {
            return;
        }
        let lineage = Lineage::of(vg);
        for (lv, is, should) in lineage.outdated_tags() {
            if let Some(Parent::Present(parent)) = lineage.descent(lv).map(|descent| descent.parent) {
                self.found.push(format!(
                    "the tag of {} names a uuid that {} had: it was made anew, as Proxmox VE rolls back, or merged in",
                    lv.name, parent.name
                ));
            }
            self.edits.push(Edit::DelTag { lv: lv.name.clone(), tag: is });
            self.edits.push(Edit::AddTag { lv: lv.name.clone(), tag: should });
        }
    }
}

/// Whether a tag names a uuid that no volume of the same pool has: only then there is something to look into.
fn names_something_gone(vg: &Vg) -> bool {
    let tagged = vg.lvs.glances().filter(|lv| lv.has_tag(|tag| tag.starts_with(OF_TAG)));
    tagged.map(Glance::lv).any(|lv| {
        let mut named = lv.tags.iter().filter_map(|tag| tag.strip_prefix(OF_TAG)?.parse::<LvmUuid>().ok());
        let is_there = |pool: &LvName, uuid: &LvmUuid| {
            vg.lvs.find_id(uuid).and_then(Lv::thin).is_some_and(|thin| thin.pool == *pool)
        };
        lv.thin().is_some_and(|thin| named.any(|uuid| !is_there(&thin.pool, &uuid)))
    })
}
