//! More room for a pool. The order is argued in docs/transactions.md, "Changes of pools".

use super::super::devices::refuse;
use super::super::draft::Draft;
use super::super::sequence::Sequence;
use super::room::{no_room, share_of, size};
use super::state::finished;
use crate::condition::Condition;
use crate::effect::{Already, Effect, PoolPart};
use crate::plan::{Plan, PoolExpectation, Purpose, Step};
use crate::pool_health::in_condition;
use crate::refusal::Refusal;
use crate::request::{GrowPool, Space};
use crate::stack::PoolStack;
use base::ids::LvName;
use base::units::size::Rounded;
use base::units::{Bytes, Extents, Sectors};
use dm::status::{PoolMode, PoolWorking};
use lvm2::format::allocation::{Free, NoRoom};
use lvm2::format::edit::Edit;
use lvm2::format::model::{Lv, Segment, ThinPool};
use lvm2::format::pool_size::{PoolSizeError, enough_metadata, metadata_max};

/// Chunks that one more block of the metadata keeps count of, and blocks that the trees above them may take.
/// Source: Linux `drivers/md/persistent-data/dm-space-map-common.h` (`ENTRIES_PER_BYTE`, a bitmap of 4096 bytes).
const CHUNKS_PER_BITMAP: u64 = 16_320;
const BITMAP_TREE_BLOCKS: u64 = 8;

/// What grows.
struct Growth {
    /// The data, with all segments it has then.
    data: Option<Vec<Segment>>,
    /// The metadata, likewise.
    metadata: Option<Vec<Segment>>,
}

/// Plans the growth.
pub(super) fn plan(draft: &mut Draft<'_>, request: &GrowPool) -> Result<Plan, Refusal> {
    let (lv, pool, working) = draft.sound_pool(&request.pool)?;
    let growth = draft.growth(lv, pool, request)?;
    if growth.data.is_none() && growth.metadata.is_none() {
        return Ok(finished(Sequence::new(draft)));
    }
    if let Some(working) = working {
        draft.check_takes_room(lv, pool, working, &growth)?;
    }
    let mut sequence = Sequence::new(draft);
    sequence.grow(&request.pool, &growth)?;
    Ok(finished(sequence))
}

impl Draft<'_> {
    fn sized_part(&self, name: &LvName) -> Result<(&Lv, Extents), Refusal> {
        let lv = self.before(name)?;
        Ok((lv, lv.extents().unwrap_or(Extents::ZERO)))
    }

    /// Decides what grows and where, and puts it into the text.
    fn growth(&mut self, lv: &Lv, pool: &ThinPool, request: &GrowPool) -> Result<Growth, Refusal> {
        let extent = self.vg().extent_size;
        let (tdata, data) = self.sized_part(&pool.data)?;
        let (tmeta, metadata) = self.sized_part(&pool.metadata)?;
        let (tdata, tmeta) = (tdata.clone(), tmeta.clone());
        let mut free = self.free_extents(&request.on)?;
        let total = free.total();
        let shown = self.shown_pool(&lv.name);
        let mut more_data = more(request.data, data, (total, extent), &format!("the data of pool {shown}"))?;
        let mut more_metadata =
            more(request.metadata, metadata, (total, extent), &format!("the metadata of pool {shown}"))?;
        if more_data > 0 && request.metadata.is_none() && request.on.is_empty() {
            let enough = |data| enough_metadata(data, extent, pool.chunk_size).map_err(|error| size(&error));
            more_metadata = enough(plus(data, more_data)?)?.get().saturating_sub(metadata.get());
        }
        let limit = metadata_max(extent).map_err(|error| size(&error))?;
        if more_metadata > 0 && plus(metadata, more_metadata)? > limit {
            more_metadata = limit.get().saturating_sub(metadata.get());
            let limit = self.size_of(limit);
            self.warnings.push(format!(
                "the metadata of pool {shown} grows to {limit} at most: the kernel uses no more"
            ));
        }
        if let (Some(Space::FreePercent(_)), true) = (request.data, more_metadata > 0) {
            // Metadata and its spare need their share of what is free.
            let spare = self.more_spare(lv, plus(metadata, more_metadata)?)?.map_or(0, |(_, more)| more);
            more_data = more_data.min(total.get().saturating_sub(more_metadata.saturating_add(spare)));
        }
        let no_room = |what: &str, error: &NoRoom| no_room(&format!("{what} of pool {shown}"), error);
        let metadata_grown = self
            .extended(&mut free, &tmeta, more_metadata)
            .map_err(|error| no_room("the metadata", &error))?;
        if let Some(segments) = &metadata_grown {
            self.edits.push(Edit::SetSegments { lv: pool.metadata.clone(), segments: segments.clone() });
            self.grown(lv, PoolPart::Metadata, metadata, segments);
            self.grow_spare(&mut free, lv, segments)?;
        }
        let data_grown =
            self.extended(&mut free, &tdata, more_data).map_err(|error| no_room("the data", &error))?;
        if let Some(segments) = &data_grown {
            self.edits.push(Edit::SetSegments { lv: pool.data.clone(), segments: segments.clone() });
            self.edits.push(Edit::SetPoolExtents { pool: lv.name.clone(), count: sum(segments) });
            self.grown(lv, PoolPart::Data, data, segments);
        }
        if metadata_grown.is_none() && data_grown.is_none() {
            let (data, metadata) = (self.size_of(data).0, self.size_of(metadata).0);
            self.pool_outcome(lv, Effect::Unchanged { already: Already::PoolSize { data, metadata } });
        }
        Ok(Growth { data: data_grown, metadata: metadata_grown })
    }

    fn extended(&self, free: &mut Free, lv: &Lv, more: u64) -> Result<Option<Vec<Segment>>, NoRoom> {
        if more == 0 {
            return Ok(None);
        }
        let more = lvm2::format::allocation::Shape::of_last(&lv.segments)
            .and_then(|shape| shape.rounded(Extents::new(more)))
            .ok_or(NoRoom::Kind)?;
        free.extend(&lv.segments, more).map(Some)
    }

    fn grown(&mut self, lv: &Lv, part: PoolPart, before: Extents, segments: &[Segment]) {
        let (before, after) = (self.size_of(before), self.size_of(sum(segments)));
        self.words.push(format!("{part} of {} to {after}", lv.name));
        self.pool_outcome(lv, Effect::PoolGrown { part, from: before.0, to: after.0 });
    }

    /// The spare is to hold a copy of the metadata of any pool. If it cannot, that is said, as by lvm2.
    fn grow_spare(&mut self, free: &mut Free, lv: &Lv, metadata: &[Segment]) -> Result<(), Refusal> {
        let Some((spare, more)) = self.more_spare(lv, sum(metadata))? else { return Ok(()) };
        let spare = spare.clone();
        let taken = self.extended(free, &spare, more).or_else(|_| {
            // It may lie anywhere, whatever the pool is to lie on.
            let mut anywhere = self.free_extents(&[]).map_err(|_| NoRoom::Kind)?;
            anywhere.without(metadata);
            self.extended(&mut anywhere, &spare, more)
        });
        taken.iter().flatten().for_each(|segments| free.without(segments));
        match taken {
            Ok(segments) => self
                .edits
                .extend(segments.map(|segments| Edit::SetSegments { lv: spare.name.clone(), segments })),
            Err(error) => self.warnings.push(format!(
                "the spare {} for pools' metadata stays as it is, too small for a repair of {}: {error}",
                spare.name, lv.name
            )),
        }
        Ok(())
    }

    /// The group's spare and how much more it is to get, if the pool's metadata comes to be so large.
    fn more_spare(&self, lv: &Lv, metadata: Extents) -> Result<Option<(&Lv, u64)>, Refusal> {
        let Some(spare) = self.vg().metadata_spare() else { return Ok(None) };
        let wanted = self.wanted_spare(&lv.name, metadata)?;
        let more = wanted.get().saturating_sub(spare.extents().unwrap_or(wanted).get());
        Ok((more > 0).then_some((spare, more)))
    }

    /// Refuses what the kernel would not take, or would take for damage.
    fn check_takes_room(
        &self,
        lv: &Lv,
        pool: &ThinPool,
        working: &PoolWorking,
        growth: &Growth,
    ) -> Result<(), Refusal> {
        let shown = self.shown_pool(&lv.name);
        if working.needs_check {
            // The kernel lets it grow after that only.
            return Err(in_condition(&shown, &Condition::NeedsCheck));
        }
        let first = format!("'thinvol pool extend {shown} --metadata-size +<size>' first");
        if growth.metadata.is_none() && working.mode == PoolMode::ReadOnly {
            let refusal = in_condition(&shown, &Condition::of_working(working, false));
            return Err(refusal.hint(format!("more room for data needs some metadata: {first}")));
        }
        let Some(data) = growth.data.as_ref().filter(|_| growth.metadata.is_none()) else { return Ok(()) };
        let sectors = sum(data).to_sectors(self.vg().extent_size).unwrap_or(Sectors::ZERO);
        let chunks = sectors.get().checked_div(pool.chunk_size.get()).unwrap_or(0);
        let bitmaps = chunks.saturating_sub(working.data.total).div_ceil(CHUNKS_PER_BITMAP);
        if working.metadata.free() <= bitmaps.saturating_add(BITMAP_TREE_BLOCKS) {
            return Err(Refusal::rule(format!(
                "the metadata of pool {shown} is {} % full: there is no room in it to name more data",
                working.metadata.percent()
            ))
            .hint(first));
        }
        Ok(())
    }
}

/// How many extents more than it has something is to get.
fn more(
    space: Option<Space>,
    now: Extents,
    (free, extent): (Extents, Sectors),
    what: &str,
) -> Result<u64, Refusal> {
    let too_large = || Refusal::rule(format!("{what} cannot have that size"));
    let whole = |size: Sectors| Extents::holding(size, extent).ok_or_else(too_large);
    match space {
        None => Ok(0),
        Some(Space::By(size)) => whole(size).map(Extents::get),
        Some(Space::FreePercent(percent)) => Ok(share_of(free, percent).get()),
        Some(Space::To(size)) => {
            let wanted = whole(size)?;
            wanted.checked_sub(now).map(Extents::get).ok_or_else(|| {
                let shown = |extents: Extents| {
                    let bytes = extents.to_sectors(extent).and_then(Sectors::to_bytes);
                    Rounded(bytes.unwrap_or(Bytes::ZERO))
                };
                Refusal::rule(format!("{what} has {}, more than {}", shown(now), shown(wanted)))
                    .hint("a pool cannot be made smaller")
            })
        }
    }
}

fn plus(extents: Extents, more: u64) -> Result<Extents, Refusal> {
    extents.checked_add(Extents::new(more)).ok_or_else(|| size(&PoolSizeError::Overflow))
}

fn sum(segments: &[Segment]) -> Extents {
    segments.iter().fold(Extents::ZERO, |sum, segment| sum.checked_add(segment.count).unwrap_or(sum))
}

impl Sequence<'_, '_> {
    /// 1. The text: from here on a crash leaves a kernel that is behind it, which lvm2 and recovery take further.
    /// 2. What the pool lies on, longer: the pool does not look at it yet, and it can be taken back.
    /// 3. The pool's table, which makes the kernel look. Chunks may be given out of the new room from now on, so the
    ///    text must stay. Metadata comes by itself before data: without room in it the kernel cannot name more data.
    /// 4. What the kernel says must be the new size.
    fn grow(&mut self, name: &LvName, growth: &Growth) -> Result<(), Refusal> {
        let draft = self.draft;
        let (before, after) = self.commit_pool(name)?;
        if !draft.pool_runs(name)? {
            return Ok(());
        }
        let both = |stack: &PoolStack| stack.parts.clone().map_err(|error| refuse(&error));
        let ([old_tmeta, old_tdata], [tmeta, tdata]) = (both(&before)?, both(&after)?);
        let parts =
            [(growth.metadata.is_some(), old_tmeta, tmeta), (growth.data.is_some(), old_tdata, tdata)];
        for (_, old, new) in parts.into_iter().filter(|(grows, ..)| *grows) {
            let (old, new) = (self.as_named(old.top), self.as_named(new.top));
            self.plan.push_undoable(Step::ReloadDevice(new), vec![Step::ReloadDevice(old)]);
        }
        self.plan.push(Step::PointOfNoReturn);
        if growth.metadata.is_some() && growth.data.is_some() {
            self.plan.push(Step::ReloadDevice(self.as_named(before.tpool)));
        }
        let tpool = self.as_named(after.tpool.clone());
        self.plan.push(Step::ReloadDevice(tpool.clone()));
        if draft.observed.device(&after.pool.uuid).is_some() && growth.data.is_some() {
            self.plan.push(Step::ReloadDevice(self.as_named(after.pool.clone())));
        }
        let expect = self.expectation(name, draft.pool(name)?.1.transaction_id, Purpose::Change);
        let expect = PoolExpectation { size: after.blocks(), ..expect };
        self.plan.push(Step::ExpectPool { tpool: tpool.name, expect });
        Ok(())
    }
}
