//! What a running pool lies on, against the text. lvm2 makes a pool's data and metadata longer before it commits the
//! text that says so. Killed in between, it leaves them so, and the next resume of the pool's target makes the kernel
//! use free extents, or another volume's.

use super::compare::{Drift, difference};
use super::draft::Draft;
use super::repair::Mending;
use crate::observed::PoolState;
use crate::plan::Step;
use crate::refusal::Refusal;
use crate::stack::{DevRef, DeviceSpec, PoolBlocks, PoolStack, TargetSpec, part_length};
use base::error_kind::ErrorKind;
use base::ids::LvName;
use base::units::Sectors;
use dm::kernel::DeviceInfo;
use dm::name::{DmUuid, Layer};
use dm::status::{METADATA_BLOCK_SECTORS, PoolWorking};
use dm::table::{LinearParams, TargetLine};
use lvm2::format::model::{Lv, Segment, SegmentKind, ThinPool};

impl Draft<'_> {
    /// Refuses a pool of which the kernel uses more than the text gives it, or would from its next resume on.
    pub(super) fn check_beneath(&self, lv: &Lv, pool: &ThinPool, state: &PoolState) -> Result<(), Refusal> {
        self.check_not_grown(lv, pool, state)?;
        let shown = format!("{}/{}", self.vg().name, lv.name);
        for (part, layer) in parts(pool) {
            let Some((part, uuid)) = self.part(part, layer) else { continue };
            let length = part_length(self.vg(), pool, part);
            let live = self.observed.tables.get(&uuid).map(|table| total(table));
            if live.zip(length).is_some_and(|(live, length)| live > length) {
                return Err(Refusal::rule(format!(
                    "{part} of pool {shown} is longer than the metadata of the volume group says: an extension was \
                     cut short",
                    part = part.name
                ))
                .hint(format!("'lvchange --refresh {shown}' gives it the length that it is to have")));
            }
        }
        Ok(())
    }

    /// Refuses a pool of which the kernel uses more than the text gives it.
    pub(super) fn check_not_grown(&self, lv: &Lv, pool: &ThinPool, state: &PoolState) -> Result<(), Refusal> {
        let Some(working) = state.working() else { return Ok(()) };
        let extent = self.vg().extent_size;
        let sizes = [
            (
                "metadata",
                working.metadata.total.saturating_mul(METADATA_BLOCK_SECTORS),
                (&pool.metadata, Layer::Tmeta),
            ),
            ("data", working.data.total.saturating_mul(pool.chunk_size.get()), (&pool.data, Layer::Tdata)),
        ];
        for (what, used, (part, layer)) in sizes {
            let Some((part, uuid)) = self.part(part, layer) else { continue };
            let given = match layer {
                Layer::Tdata => lv.extents().and_then(|extents| extents.to_sectors(extent)),
                _ => part_length(self.vg(), pool, part),
            };
            let Some(given) = given.filter(|given| used > given.get()) else { continue };
            let shown = format!("{}/{}", self.vg().name, lv.name);
            let message = format!(
                "the kernel uses {} KiB of {what} in pool {shown}, and the metadata of the volume group gives it {} \
                 KiB: an extension was cut short, and what is beyond may become another volume's",
                used / 2,
                given.get() / 2
            );
            let hint = match self.taken(part, &uuid, given) {
                Some(place) => {
                    let size = used - given.get();
                    let option = if what == "data" { "-L" } else { "--poolmetadatasize" };
                    format!(
                        "'lvextend {option} +{size}s {shown} {place}' gives it that very place; do it before \
                         anything else"
                    )
                }
                None => {
                    "that place is not free any more: keep the pool active, for it cannot be started again, \
                         and copy what its volumes hold"
                        .to_owned()
                }
            };
            return Err(Refusal::new(ErrorKind::Corrupt, message).hint(hint));
        }
        Ok(())
    }

    fn part(&self, name: &LvName, layer: Layer) -> Option<(&Lv, DmUuid)> {
        let lv = self.index.lv(name)?;
        Some((lv, DmUuid::of_lv(&self.vg().id, &lv.id, layer)))
    }

    /// Where what a part's device has beyond that length lies, as lvm2's commands take it, if nothing else does: it is
    /// one stretch of one physical volume.
    fn taken(&self, part: &Lv, uuid: &DmUuid, length: Sectors) -> Option<String> {
        let vg = self.vg();
        let live = self.observed.tables.get(uuid)?;
        let end = |line: &TargetLine| line.start.get().checked_add(line.length.get());
        let mut beyond = live.iter().filter(|line| end(line).is_some_and(|end| end > length.get()));
        let (line, None) = (beyond.next()?, beyond.next()) else { return None };
        let linear = LinearParams::parse(&line.params).ok().filter(|_| line.target == "linear")?;
        let pv = vg
            .pvs
            .iter()
            .find(|pv| self.observed.numbers.get(&DevRef::Pv(pv.key.clone())) == Some(&linear.device))?;
        let within = length.get().saturating_sub(line.start.get());
        let start = linear.offset.get().checked_add(within)?.checked_sub(pv.pe_start.get())?;
        let count = line.length.get().checked_sub(within)?;
        let extent = vg.extent_size.get();
        if extent == 0 || start % extent != 0 || count % extent != 0 {
            return None;
        }
        let (first, last) = (start / extent, (start + count) / extent - 1);
        let segments = vg.lvs.others().flat_map(|lv| &lv.segments);
        let is_free = !segments.into_iter().any(|segment| may_use(segment, &pv.key, (first, last)));
        let device = pv.device_hint.as_ref()?;
        (is_free && part.extents().is_some()).then(|| format!("{device}:{first}-{last}"))
    }
}

/// Of what the kernel has less than the text gives the pool. One that needs a check does not grow before it had that.
#[derive(Clone, Copy)]
struct Lag {
    data: bool,
    metadata: bool,
}

impl Lag {
    fn of(state: &PoolState, stack: &PoolStack) -> Self {
        let seen = state.working().filter(|working| !working.needs_check).zip(stack.blocks());
        let less = |less: fn(&PoolWorking, &PoolBlocks) -> bool| {
            seen.as_ref().is_some_and(|(working, blocks)| less(working, blocks))
        };
        Self {
            data: less(|working, blocks| working.data.total < blocks.data.get()),
            metadata: less(|working, blocks| working.metadata.total < blocks.metadata),
        }
    }
}

impl<'a> Mending<'_, 'a> {
    /// Gives what running pools lie on, and their targets, the tables that the text wants, unless the kernel uses more
    /// already. Those that are suspended get theirs when they are resumed.
    pub(super) fn beneath_pools(&mut self) {
        let draft = self.sequence.draft;
        for (name, seen) in &draft.observed.pools {
            let Ok((lv, pool)) = draft.pool(name) else { continue };
            if !seen.state.runs() || draft.check_not_grown(lv, pool, &seen.state).is_err() {
                continue;
            }
            let Ok((stack, _)) = draft.pool_stack(lv, pool) else { continue };
            self.beneath_pool(lv, &stack, Lag::of(&seen.state, &stack));
            self.works_otherwise(lv, &stack.tpool);
        }
    }

    fn beneath_pool(&mut self, lv: &Lv, stack: &PoolStack, lag: Lag) {
        let shown = format!("{}/{}", self.sequence.draft.vg().name, lv.name);
        let mut grown = lag.data || lag.metadata;
        for part in stack.parts.iter().flatten() {
            let Some((device, difference)) = self.differs(&part.top) else { continue };
            let how = match difference {
                _ if !part.top.targets.iter().all(is_simple) => None,
                None => Some("has a table that was never put in place"),
                Some(Drift::Shorter) => Some("is shorter than the metadata says"),
                Some(Drift::Longer) => Some("is longer than the metadata says"),
                Some(Drift::Other) => None,
            };
            match how {
                Some(how) => {
                    grown |= difference == Some(Drift::Shorter);
                    self.found.push(format!("device {} {how}: an extension was cut short", device.name));
                    self.realign(&part.top, device);
                }
                None => self.leave(format!(
                    "device {} of pool {shown} has another table than the metadata says; 'lvchange --refresh {shown}' \
                     gives it that one",
                    device.name
                )),
            }
        }
        let Some((device, difference)) = self.differs(&stack.tpool).or_else(|| {
            let device = self.sequence.draft.observed.device(&stack.tpool.uuid)?;
            grown.then_some((device, Some(Drift::Shorter)))
        }) else {
            return;
        };
        match difference {
            None | Some(Drift::Shorter) => {
                let how = match difference {
                    None => "has a table that was never put in place",
                    Some(_) => "is shorter than the metadata says",
                };
                self.found.push(format!("device {} {how}: a change of the pool was cut short", device.name));
                let live = self.sequence.draft.observed.tables.get(&stack.tpool.uuid).map(|live| total(live));
                if let Some(live) = live.filter(|live| lag.metadata && *live < stack.tpool.length()) {
                    // Metadata first: without room in it the kernel cannot name more data, and takes that for damage.
                    self.realign(&stack.tpool.clone().of_length(live), device);
                }
                self.realign(&stack.tpool, device);
            }
            Some(Drift::Longer | Drift::Other) => self.leave(format!(
                "device {} has another table than the metadata says; 'lvchange --refresh {shown}' gives it that one",
                device.name
            )),
        }
    }

    /// How a device differs from what it is to be: in its live table, or by one that waits.
    fn differs(&self, spec: &DeviceSpec) -> Option<(&'a DeviceInfo, Option<Drift>)> {
        let observed = self.sequence.draft.observed;
        let device = observed.device(&spec.uuid).filter(|device| device.live_table)?;
        let wanted = spec.table(|dev: &DevRef| observed.numbers.get(dev).copied().ok_or(())).ok()?;
        let difference = difference(observed.tables.get(&spec.uuid)?, &wanted.0);
        (difference.is_some() || device.inactive_table).then_some((device, difference))
    }

    fn realign(&mut self, spec: &DeviceSpec, device: &DeviceInfo) {
        if device.suspended {
            self.realigned.insert(spec.uuid.clone());
        } else {
            let name = self.name_now(device);
            self.reloaded.insert(spec.uuid.clone());
            self.sequence.plan.push(Step::ReloadDevice(DeviceSpec { name, ..spec.clone() }));
        }
    }
}

/// Whether a segment lies on extents of a physical volume, the first and the last one said, or may do so.
fn may_use(segment: &Segment, pv: &str, (first, last): (u64, u64)) -> bool {
    match &segment.kind {
        SegmentKind::Striped(striped) => {
            let stripes = u64::try_from(striped.stripes.len()).unwrap_or(1);
            let each = segment.count.get().checked_div(stripes).unwrap_or(0);
            striped.stripes.iter().any(|stripe| {
                let from = stripe.start.get();
                stripe.area == pv && from <= last && from.saturating_add(each) > first
            })
        }
        SegmentKind::Opaque { pvs, .. } => pvs.iter().any(|key| key == pv),
        SegmentKind::Thin(_) | SegmentKind::ThinPool(_) => false,
    }
}

fn parts(pool: &ThinPool) -> [(&LvName, Layer); 2] {
    [(&pool.metadata, Layer::Tmeta), (&pool.data, Layer::Tdata)]
}

fn total(table: &[TargetLine]) -> Sectors {
    Sectors::new(table.iter().fold(0, |sum: u64, line| sum.saturating_add(line.length.get())))
}

/// Whether a target keeps nothing of its own, so that another table of it needs no more than to be put in place.
fn is_simple(target: &TargetSpec) -> bool {
    matches!(target, TargetSpec::Linear { .. } | TargetSpec::Striped { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::units::Extents;
    use lvm2::format::model::{Stripe, Striped};

    fn segment(kind: SegmentKind) -> Segment {
        Segment { start: Extents::ZERO, count: Extents::new(4), tags: Vec::new(), kind }
    }

    #[test]
    fn extents_are_used_by_what_lies_on_them_and_by_what_may() {
        let stripe = Stripe { area: "pv0".into(), start: Extents::new(10) };
        let linear = segment(SegmentKind::Striped(Striped { stripe_size: None, stripes: vec![stripe] }));
        let of = |segment: &Segment, pv, extents| may_use(segment, pv, extents);
        assert!(of(&linear, "pv0", (13, 20)) && of(&linear, "pv0", (0, 10)));
        assert!(!of(&linear, "pv0", (14, 20)) && !of(&linear, "pv0", (0, 9)) && !of(&linear, "pv1", (0, 99)));
        let mirror = segment(SegmentKind::Opaque {
            segtype: "mirror".into(),
            references: vec!["pv1".into()],
            pvs: vec!["pv0".into()],
            mirror: None,
        });
        assert!(of(&mirror, "pv0", (0, 0)), "where on it is not known");
        assert!(!of(&mirror, "pv1", (0, 0)), "that is an LV of such a name");
    }
}
