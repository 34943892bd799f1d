//! The spare in the place of a pool's metadata.

use super::super::EditError;
use super::{Draft, Entry, FLAG_ORDER, STATUS_ORDER, set_word, set_writable};
use crate::format::model::{Segment, SegmentKind};
use base::ids::{LvName, LvmUuid};

impl Draft<'_> {
    /// Name and identity are exchanged, and what was the metadata gets another name: what lies on extents stays where
    /// it is. Source: lvm2 `tools/lvconvert.c` (`_lvconvert_thin_pool_repair`; since 2.03.22 what is kept is read-only
    /// and left alone by activation).
    pub(super) fn swap_metadata(
        &mut self,
        pool: &LvName,
        spare: &LvName,
        keep_as: &LvName,
        keep_id: Option<LvmUuid>,
    ) -> Result<(), EditError> {
        self.free_name(keep_as)?;
        let metadata = self.pool(pool)?.metadata.clone();
        let (mut kept, mut taken) = (self.take_out(&metadata)?, self.take_out(spare)?);
        kept.lv.name = keep_as.clone();
        taken.lv.name = metadata.clone();
        let spares = std::mem::replace(&mut taken.lv.id, kept.lv.id);
        kept.lv.id = keep_id.unwrap_or(spares);
        set_word(&mut kept.lv.status, "VISIBLE", true, &STATUS_ORDER);
        set_writable(&mut kept.lv, false, self.write_locked());
        set_word(&mut kept.lv.flags, "ACTIVATION_SKIP", true, &FLAG_ORDER);
        self.touched.insert(keep_as.clone(), kept);
        self.touched.insert(metadata, taken);
        Ok(())
    }

    /// An LV of the text before, on extents, under no name for now.
    fn take_out(&mut self, name: &LvName) -> Result<Entry, EditError> {
        let is_plain = |segment: &Segment| matches!(segment.kind, SegmentKind::Striped(_));
        let wrong = |wanted| EditError::WrongKind { name: name.clone(), wanted };
        if !self.lv(name)?.segments.iter().all(is_plain) {
            return Err(wrong("on extents alone"));
        }
        let entry = self.touched.remove(name).filter(|entry| entry.before.is_some());
        entry.ok_or_else(|| wrong("in the text already"))
    }
}
