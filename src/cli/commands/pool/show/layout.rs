//! Where the parts of a pool lie.

use serde::Serialize;

use super::rounded;
use base::ids::LvName;
use base::units::{Bytes, Extents, Sectors};
use lvm2::format::model::{Lv, Segment, SegmentKind, Stripe, Vg};

/// A segment of a pool's data, metadata, or of the group's spare.
#[derive(Debug, Serialize)]
pub(super) struct Piece {
    lv: String,
    kind: String,
    start: u64,
    size: u64,
    on: Vec<Place>,
}

#[derive(Debug, Serialize)]
struct Place {
    device: String,
    start: u64,
}

impl Piece {
    /// As a row of text.
    pub(super) fn row(&self) -> [String; 5] {
        let place = |place: &Place| format!("{} from {}", place.device, rounded(place.start));
        let on: Vec<String> = self.on.iter().map(place).collect();
        [self.lv.clone(), self.kind.clone(), rounded(self.start), rounded(self.size), on.join(", ")]
    }
}

/// Where data, metadata and the group's spare lie, with all that they are made of.
pub(super) fn layout(vg: &Vg, pool: &LvName) -> Vec<Piece> {
    let parts = vg.lv(pool).and_then(Lv::thin_pool).map(|pool| [&pool.data, &pool.metadata]);
    let parts = parts.into_iter().flatten().filter_map(|name| vg.lv(name));
    let mut lvs: Vec<&Lv> = parts.chain(vg.metadata_spare()).collect();
    let (mut pieces, mut next) = (Vec::new(), 0);
    while let Some(lv) = lvs.get(next).copied() {
        next += 1;
        for segment in &lv.segments {
            pieces.push(piece(vg, lv, segment));
            let below = segment.kind.areas().into_iter().filter_map(|area| vg.lv(&LvName::new(area).ok()?));
            for part in below {
                if !lvs.iter().any(|seen| seen.name == part.name) {
                    lvs.push(part);
                }
            }
        }
    }
    pieces
}

fn piece(vg: &Vg, lv: &Lv, segment: &Segment) -> Piece {
    let size = |extents: Extents| {
        extents.to_sectors(vg.extent_size).and_then(Sectors::to_bytes).map_or(0, Bytes::get)
    };
    let stripe = |stripe: &Stripe| Place { device: called(vg, &stripe.area), start: size(stripe.start) };
    let (kind, on) = match &segment.kind {
        SegmentKind::Striped(striped) => {
            let kind = if striped.stripes.len() == 1 { "linear" } else { "striped" };
            (kind, striped.stripes.iter().map(stripe).collect())
        }
        SegmentKind::Opaque { segtype, .. } => {
            let areas = segment.kind.areas();
            (
                segtype.as_str(),
                areas.into_iter().map(|area| Place { device: called(vg, area), start: 0 }).collect(),
            )
        }
        SegmentKind::ThinPool(_) => ("thin-pool", Vec::new()),
        SegmentKind::Thin(_) => ("thin", Vec::new()),
    };
    Piece {
        lv: lv.name.to_string(),
        kind: kind.to_owned(),
        start: size(segment.start),
        size: size(segment.count),
        on,
    }
}

/// A physical volume as people know it: the device it was on when the text was written. Anything else by its name.
fn called(vg: &Vg, area: &str) -> String {
    let pv = vg.pv(area);
    pv.map_or_else(|| area.to_owned(), |pv| pv.device_hint.clone().unwrap_or_else(|| pv.id.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use thin::internals::lineage::fixture::{lv, name, vg};

    #[test]
    fn a_pool_that_is_not_there_lies_nowhere() {
        assert!(layout(&vg(vec![lv(1, "a", None, vec![])]), &name("data")).is_empty());
    }
}
