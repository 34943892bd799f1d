//! What a new thin volume is in the model.

use super::NewThin;
use crate::format::model::{Lv, Segment, SegmentKind, Thin};
use base::units::Extents;

/// A thin volume that may not be written yet.
pub(super) fn new_thin(new: &NewThin) -> Lv {
    let thin = Thin {
        pool: new.pool.clone(),
        transaction_id: new.transaction_id,
        device_id: new.device_id,
        external_origin: new.external_origin.clone(),
        origin: new.origin.clone(),
        merge: None,
    };
    let kind = SegmentKind::Thin(thin);
    Lv {
        name: new.name.clone(),
        id: new.id,
        status: ["READ", "VISIBLE"].map(str::to_owned).to_vec(),
        flags: Vec::new(),
        tags: new.tags.clone(),
        creation_time: Some(new.creation_time),
        creation_host: Some(new.creation_host.clone()),
        profile: None,
        read_ahead: None,
        fixed_minor: None,
        segments: vec![Segment { start: Extents::ZERO, count: new.extents, tags: Vec::new(), kind }],
    }
}
