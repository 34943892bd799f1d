//! A new pool: data, metadata and the group's spare in one commit. The order is argued in docs/transactions.md,
//! "Changes of pools".

use super::super::devices::refuse;
use super::super::draft::Draft;
use super::super::sequence::Sequence;
use super::room::{no_room, share_of, size};
use super::state::finished;
use crate::effect::Effect;
use crate::plan::{Plan, PoolExpectation, Purpose, Step, ZeroExtents};
use crate::refusal::Refusal;
use crate::request::{NewPool, Space};
use crate::stack::DevRef;
use base::error_kind::ErrorKind;
use base::ids::{LvName, LvmUuid, TransactionId};
use base::units::size::Rounded;
use base::units::{Extents, Sectors};
use dm::name::Layer;
use lvm2::format::allocation::{Free, Shape};
use lvm2::format::edit::{Edit, NewLv};
use lvm2::format::model::{ERROR_WHEN_FULL, Segment, SegmentKind, ThinPool};
use lvm2::format::monitoring::Registration;
use lvm2::format::pool_size::{Asked, CHUNK_SLOW_TO_ZERO, PoolSize, pool_size};
use lvm2::format::volume_list::Listed;

/// Sectors of metadata that the kernel looks at before it takes a pool for a new one, which it formats.
/// Source: Linux `drivers/md/dm-thin-metadata.c` (`__superblock_all_zeroes`).
const LOOKED_AT: Sectors = Sectors::new(8);

/// The smallest stripe, in sectors. Source: lvm2 `lib/metadata/metadata-exported.h` (`STRIPE_SIZE_MIN`).
const STRIPE_SIZE_MIN: u64 = 8;

/// Plans the pool.
pub(super) fn plan(draft: &mut Draft<'_>, request: &NewPool) -> Result<Plan, Refusal> {
    let metadata = draft.make(request)?;
    let mut sequence = Sequence::new(draft);
    sequence.make(request, &metadata)?;
    Ok(finished(sequence))
}

impl Draft<'_> {
    /// Decides everything about the pool and puts it into the text. Returns what its metadata lies on.
    fn make(&mut self, request: &NewPool) -> Result<Segment, Refusal> {
        let name = &request.name;
        self.check_new_name(name)?;
        self.check_limit()?;
        let [tmeta, tdata] = [self.part_name(name, "_tmeta")?, self.part_name(name, "_tdata")?];
        let defaults = self.observed.policy.pools;
        let shape = self.shape(request)?;
        let mut free = self.free_extents(&request.on)?;
        let (data, sizes) = self.sizes(request, shape, free.total())?;
        let spare = self.spare(&mut free, name, sizes.metadata)?;
        let (data_segments, metadata_segments) = free
            .take_pool((data, shape), sizes.metadata, defaults.apart)
            .map_err(|error| no_room(&format!("pool {}", self.shown_pool(name)), &error))?;
        self.edits.extend(spare);
        let zero = request.zero.unwrap_or(defaults.zero);
        let error_when_full = request.error_when_full.unwrap_or(defaults.error_when_full);
        let pool = ThinPool {
            metadata: tmeta.clone(),
            data: tdata.clone(),
            transaction_id: TransactionId(0),
            chunk_size: sizes.chunk,
            discards: request.discards.unwrap_or(defaults.discards),
            zero_new_blocks: zero,
            crop_metadata: None,
            messages: Vec::new(),
        };
        let segment = Segment {
            start: Extents::ZERO,
            count: data,
            tags: Vec::new(),
            kind: SegmentKind::ThinPool(pool),
        };
        let flags = error_when_full.then(|| ERROR_WHEN_FULL.to_owned()).into_iter().collect();
        let pool = NewLv { flags, ..self.new_lv(name, true, vec![segment])? };
        let metadata = metadata_segments.first().cloned();
        let metadata =
            metadata.ok_or_else(|| Refusal::new(ErrorKind::Corrupt, "the metadata lies nowhere"))?;
        let parts =
            [self.new_lv(&tmeta, false, metadata_segments)?, self.new_lv(&tdata, false, data_segments)?];
        let id = pool.id;
        self.edits.extend([pool].into_iter().chain(parts).map(Edit::AddLv));
        self.say_of(name, id, (data, &sizes), zero);
        Ok(metadata)
    }

    fn say_of(&mut self, name: &LvName, id: LvmUuid, (data, sizes): (Extents, &PoolSize), zero: bool) {
        let shown = self.vg().name.volume(name);
        let chunk = Rounded(sizes.chunk.to_bytes().unwrap_or_default());
        if sizes.is_tight {
            self.warnings.push(format!(
                "the metadata of pool {shown} is small: once more of its chunks are in use than it can name, the pool \
                 is read-only until the metadata grows"
            ));
        }
        if zero && sizes.chunk.get() >= CHUNK_SLOW_TO_ZERO {
            self.warnings.push(format!(
                "pool {shown} zeroes each chunk of {chunk} before its first use, which takes time: --no-zero leaves \
                 that out, and then new volumes may show what others left"
            ));
        }
        let (size, metadata) = (self.size_of(data), self.size_of(sizes.metadata));
        self.words.push(format!("add pool {name} ({size}, chunks of {chunk}, metadata {metadata})"));
        let (size, metadata_size, chunk_size) = (size.0, metadata.0, chunk.0);
        self.note_outcome(name, id, Effect::PoolCreated { size, metadata_size, chunk_size });
    }

    /// The name of a part, free and short enough for a device.
    fn part_name(&self, pool: &LvName, suffix: &str) -> Result<LvName, Refusal> {
        let name = LvName::new(&format!("{pool}{suffix}")).map_err(|error| {
            Refusal::rule(format!("{} is no name for a new pool: {error}", self.vg().name.volume(pool)))
        })?;
        self.stacks().name(&name, Layer::Tmeta).map_err(|error| refuse(&error))?;
        match self.found(&name) {
            Some(_) => Err(Refusal::rule(format!("the name {}/{name} is taken", self.vg().name))),
            None => Ok(name),
        }
    }

    fn shape(&self, request: &NewPool) -> Result<Shape, Refusal> {
        let stripe_size = request.stripe_size.unwrap_or(self.observed.policy.pools.stripe_size);
        match usize::try_from(request.stripes) {
            Ok(1) => Ok(Shape::LINEAR),
            Ok(stripes) if stripes > 0 => {
                let sectors = stripe_size.get();
                let largest = self.vg().extent_size.get();
                if !sectors.is_power_of_two() || !(STRIPE_SIZE_MIN..=largest).contains(&sectors) {
                    return Err(Refusal::rule(format!("{sectors} sectors are no size of a stripe"))
                        .hint("it is a power of two, from 4 KiB to the size of an extent"));
                }
                Ok(Shape { stripes, stripe_size: Some(stripe_size) })
            }
            _ => Err(Refusal::rule("a pool has at least one stripe")),
        }
    }

    /// The sizes of data, chunks and metadata. Of a share of what is free, metadata and spare get theirs.
    fn sizes(&self, request: &NewPool, shape: Shape, free: Extents) -> Result<(Extents, PoolSize), Refusal> {
        let extent = self.vg().extent_size;
        let too_large =
            || Refusal::rule(format!("pool {} cannot have that size", self.vg().name.volume(&request.name)));
        let asked = |data| Asked {
            extent_size: extent,
            data,
            chunk: request.chunk,
            metadata: request.metadata,
            policy: self.observed.policy.pools.chunk,
        };
        let sized = |data| pool_size(&asked(data)).map_err(|error| size(&error));
        match request.data {
            Space::To(length) | Space::By(length) => {
                let data = Extents::holding(length, extent).filter(|data| data.get() > 0);
                let data = data.and_then(|data| shape.rounded(data)).ok_or_else(too_large)?;
                Ok((data, sized(data)?))
            }
            Space::FreePercent(percent) => {
                let share = share_of(free, percent);
                let sizes = sized(share)?;
                let stripes = u64::try_from(shape.stripes).map_err(|_| too_large())?;
                let data =
                    share.get().saturating_sub(sizes.metadata.get().saturating_mul(2)) / stripes * stripes;
                if data == 0 {
                    return Err(Refusal::rule(format!(
                        "{percent} % of what is free in {} is too little for a pool",
                        self.vg().name
                    ))
                    .hint("'vgs' shows what is free; 'vgextend' adds a physical volume"));
                }
                Ok((Extents::new(data), sizes))
            }
        }
    }

    /// The group's spare, made if there is none, grown if it is too small for metadata of that size.
    pub(super) fn spare(
        &mut self,
        free: &mut Free,
        pool: &LvName,
        metadata: Extents,
    ) -> Result<Option<Edit>, Refusal> {
        let wanted = self.wanted_spare(pool, metadata)?;
        let no_room = |error| no_room(&format!("pool {}", self.shown_pool(pool)), &error);
        if let Some(spare) = self.vg().metadata_spare() {
            let more = wanted.get().saturating_sub(spare.extents().unwrap_or(wanted).get());
            if more == 0 {
                return Ok(None);
            }
            let segments = free.extend(&spare.segments, Extents::new(more)).map_err(no_room)?;
            return Ok(Some(Edit::SetSegments { lv: spare.name.clone(), segments }));
        }
        let segments = free.take(wanted, Shape::LINEAR).map_err(no_room)?;
        let name = self.spare_name()?;
        self.new_lv(&name, false, segments).map(|spare| Some(Edit::AddLv(spare)))
    }

    /// A name for the spare.
    pub(super) fn spare_name(&self) -> Result<LvName, Refusal> {
        let next = self.next_number("lvol");
        LvName::new(&format!("lvol{next}_pmspare")).map_err(|error| Refusal::rule(error.to_string()))
    }

    /// The next number behind a name, as lvm2 numbers what nobody names. Source: lvm2 `lib/metadata/lv_manip.c`
    /// (`generate_lv_name`).
    pub(super) fn next_number(&self, prefix: &str) -> u32 {
        let number = |name: &str| {
            let rest = name.strip_prefix(prefix)?;
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse::<u32>().ok()
        };
        let numbers = self.vg().lvs.glances().filter_map(|lv| number(lv.name()));
        numbers.max().map_or(0, |last| last.saturating_add(1))
    }

    pub(super) fn new_lv(
        &mut self,
        name: &LvName,
        visible: bool,
        segments: Vec<Segment>,
    ) -> Result<NewLv, Refusal> {
        let id = self.uuid()?;
        let header = &self.observed.inputs.header;
        Ok(NewLv {
            name: name.clone(),
            id,
            visible,
            flags: Vec::new(),
            creation_time: header.time,
            creation_host: header.host.clone(),
            segments,
        })
    }
}

impl Sequence<'_, '_> {
    /// 1. The metadata's extents read as zeros. They are nobody's: a crash leaves nothing to be seen. Before the text
    ///    names them they must be so: the kernel would take up an old pool that it finds there.
    /// 2. The text: an inactive pool, which lvm2 can start as well as we can.
    /// 3. The devices, of the kind that a pool has which never held a volume; the kernel formats the metadata.
    fn make(&mut self, request: &NewPool, metadata: &Segment) -> Result<(), Refusal> {
        let draft = self.draft;
        let texts = draft.texts()?;
        let after = self.stack_after(&texts.after.vg, &request.name)?;
        let vg = draft.vg();
        let SegmentKind::Striped(striped) = &metadata.kind else { return Ok(()) };
        for stripe in &striped.stripes {
            let pv = vg.pv(&stripe.area);
            let start = stripe.start.to_sectors(vg.extent_size).and_then(|at| at.checked_add(pv?.pe_start));
            let length = metadata.count.to_sectors(vg.extent_size);
            let overflow = || Refusal::new(ErrorKind::Corrupt, "the place of the metadata overflows");
            let length = match draft.observed.policy.pools.zero_metadata {
                true => length.ok_or_else(overflow)?,
                false => LOOKED_AT,
            };
            self.plan.push(Step::ZeroExtents(ZeroExtents {
                pool: request.name.clone(),
                disk: DevRef::Pv(stripe.area.clone()),
                start: start.ok_or_else(overflow)?,
                length,
            }));
        }
        self.plan.push_undoable(Step::Commit(texts.first), vec![Step::Commit(texts.revert)]);
        let listed = Listed { vg, name: &request.name, tags: &[] };
        if let (true, Some(why)) = (request.activate, draft.observed.policy.lists.refusal(listed)) {
            let shown = vg.name.volume(&request.name);
            self.plan.warnings.push(format!("{shown} is left inactive on this host: {why}"));
        } else if request.activate {
            for spec in after.part_devices().chain([&after.tpool]) {
                self.bring_up(spec.clone())?;
            }
            let expect = self.expectation(&request.name, TransactionId(0), Purpose::Change);
            let expect = PoolExpectation { size: after.blocks(), ..expect };
            self.plan.push(Step::ExpectPool { tpool: after.tpool.name.clone(), expect });
            if draft.observed.policy.has_pools_watched {
                let pool = vg.name.volume(&request.name);
                let tpool = after.tpool.uuid.clone();
                self.plan.push(Step::Watch { pool, tpool, how: Registration::of_lvm2() });
            }
        }
        Ok(())
    }
}
