//! The metadata of a pool that does not run, repaired: onto the group's spare, which takes its place. The order is
//! argued in docs/transactions.md, "Repair of a pool".

use super::super::devices::refuse;
use super::super::draft::Draft;
use super::super::sequence::Sequence;
use super::state::finished;
use crate::effect::Effect;
use crate::observed::{PoolReadError, PoolState};
use crate::plan::{Assumed, Commit, MetadataRepair, Plan, Repaired, Step};
use crate::pool_health::transactions_differ;
use crate::refusal::Refusal;
use crate::request::RepairPool;
use crate::stack::{DeviceSpec, PoolStack};
use base::error_kind::ErrorKind;
use base::ids::{LvName, ThinId, TransactionId};
use base::units::Extents;
use dm::name::Layer;
use lvm2::format::allocation::Shape;
use lvm2::format::edit::{Edit, NewLv};
use lvm2::format::metadata::Metadata;
use lvm2::format::model::{Lv, PoolMessage, SegmentKind, ThinPool};

/// The texts of a repair.
struct Texts {
    /// With a spare that is large enough, if there is none yet, and what takes it back.
    spare: Option<(Box<Commit>, Box<Commit>)>,
    /// The device of the spare.
    device: DeviceSpec,
    /// With the spare in the place of the metadata, and what takes that back.
    swap: (Box<Commit>, Box<Commit>),
}

/// Plans the repair.
pub(super) fn plan(draft: &mut Draft<'_>, request: &RepairPool) -> Result<Plan, Refusal> {
    let name = &request.pool;
    let (lv, pool) = draft.pool(name)?;
    draft.check_flawless(lv, "repair")?;
    if draft.pool_runs(name)? {
        let message = format!("pool {} is active: its metadata cannot be repaired", draft.shown_pool(name));
        return Err(Refusal::new(ErrorKind::Busy, message).hint(format!(
            "stop what uses its volumes, then 'thinvol deactivate {}' stops the pool",
            draft.vg().name
        )));
    }
    let (stack, _) = draft.pool_stack(lv, pool)?;
    let assumed = draft.superblock_of(lv, pool, &stack)?;
    let extents = draft.plain_metadata(&pool.metadata)?;
    let texts = draft.repair_texts(lv, extents, request)?;
    let from = stack.tmeta.clone();
    let repair = MetadataRepair { from: from.clone(), to: texts.device.name.clone(), assumed };
    let repaired = Repaired {
        pool: name.clone(),
        from,
        on: texts.device.name.clone(),
        transactions: if pool.transaction_id.0 == 0 { Vec::new() } else { transactions(pool) },
        volumes: draft.volumes_in(lv, pool),
        whatever_is_lost: request.force,
    };
    let mut sequence = Sequence::new(draft);
    sequence.repair(lv, &stack, texts, (repair, repaired))?;
    Ok(finished(sequence))
}

/// The transactions that the kernel may be at: that of the text, or the one before while there are messages to send.
fn transactions(pool: &ThinPool) -> Vec<TransactionId> {
    let text = pool.transaction_id;
    match text.0.checked_sub(1).filter(|_| !pool.messages.is_empty()) {
        Some(before) => vec![TransactionId(before), text],
        None => vec![text],
    }
}

/// What a commit says.
fn said_by(commit: &Commit) -> Result<Metadata, Refusal> {
    let said = commit.metadata.as_deref().cloned();
    said.ok_or_else(|| Refusal::new(ErrorKind::Corrupt, "the text with the spare is lost"))
}

impl Draft<'_> {
    /// What the repair is told of the superblock: nothing if that can be read, and fits the text.
    fn superblock_of(&self, lv: &Lv, pool: &ThinPool, stack: &PoolStack) -> Result<Option<Assumed>, Refusal> {
        let (seen, shown) = (self.seen(&lv.name)?, self.shown_pool(&lv.name));
        let text = pool.transaction_id;
        match (&seen.state, seen.superblock) {
            (PoolState::Unreadable(PoolReadError::Damaged(_)), _) => {}
            (PoolState::Unreadable(why), _) => return self.may_start(lv, why).map(|()| None),
            (PoolState::Inactive(_), None) if text.0 == 0 => {
                return Err(Refusal::rule(format!(
                    "pool {shown} was never used: there is nothing to repair"
                )));
            }
            (_, Some(found)) => {
                let id = found.transaction_id;
                if text.0 == 0 || transactions(pool).contains(&id) {
                    return Ok(None);
                }
                return Err(transactions_differ(&shown, id, text, &[]));
            }
            _ => {}
        }
        if !pool.messages.is_empty() {
            let message = format!(
                "the superblock of pool {shown} cannot be read, and its last transaction is not finished: at which one \
                 the pool is cannot be told"
            );
            return Err(Refusal::new(ErrorKind::Corrupt, message).hint(
                "thin_repair takes a transaction id by hand; 'lvconvert --swapmetadata' puts a copy in place",
            ));
        }
        let data = stack.blocks().map(|blocks| blocks.data);
        let data = data.ok_or_else(|| Refusal::rule(format!("the size of pool {shown} cannot be told")))?;
        Ok(Some(Assumed { transaction_id: text, chunk_size: pool.chunk_size, data }))
    }

    /// The size of metadata that lies on extents alone.
    fn plain_metadata(&self, name: &LvName) -> Result<Extents, Refusal> {
        let lv = self.before(name)?;
        let is_plain =
            |lv: &Lv| lv.segments.iter().all(|segment| matches!(segment.kind, SegmentKind::Striped(_)));
        let spare = self.vg().metadata_spare();
        match [Some(lv), spare].into_iter().flatten().find(|lv| !is_plain(lv)) {
            None => Ok(lv.extents().unwrap_or(Extents::ZERO)),
            Some(other) => {
                let message = format!("{} does not lie on physical extents alone", other.name);
                Err(Refusal::new(ErrorKind::Unsupported, message)
                    .hint("'lvconvert --repair' repairs the metadata of such a pool"))
            }
        }
    }

    /// Decides what lies where afterwards.
    fn repair_texts(&mut self, lv: &Lv, metadata: Extents, request: &RepairPool) -> Result<Texts, Refusal> {
        let shown = self.shown_pool(&lv.name);
        let mut free = self.free_extents(&request.on)?;
        let made = self.spare(&mut free, &lv.name, metadata).map_err(|refusal| {
            let message = format!("the metadata of pool {shown} has no spare to be repaired onto: {refusal}");
            Refusal { message, ..refusal }
        })?;
        let (mut before, mut first) = (self.metadata.clone(), None);
        if let Some(edit) = made {
            let commit =
                self.text_after(self.metadata, &[edit], vec!["add a spare for pools' metadata".into()])?;
            before = said_by(&commit)?;
            first = Some((commit, self.text_back()?));
        }
        let spare = before.vg.metadata_spare();
        let spare = spare.ok_or_else(|| Refusal::new(ErrorKind::Corrupt, "the spare is lost"))?;
        let device = self.observed.stacks(&before.vg).hidden(spare).map_err(|error| refuse(&error))?;
        let spare = spare.name.clone();
        let mut after = Draft::new(&before, self.observed);
        after.uuids = self.uuids.clone();
        let keep_as = after.kept_name(&lv.name)?;
        let next = after.next_spare(&spare, &lv.name, metadata, request);
        let (next, keep_id) = match next {
            Ok(next) => (Some(next), Some(after.uuid()?)),
            Err(why) => {
                self.warnings
                    .push(format!("there is no spare for the next repair in {}: {why}", self.vg().name));
                (None, None)
            }
        };
        let next_name = next.as_ref().and_then(|next| match next {
            Edit::AddLv(next) => Some(next.name.clone()),
            _ => None,
        });
        let swap = Edit::SwapMetadata { pool: lv.name.clone(), spare, keep_as: keep_as.clone(), keep_id };
        let edits: Vec<Edit> = [swap].into_iter().chain(next).collect();
        let words =
            vec![format!("the repaired copy is the metadata of {}, the damaged one is {keep_as}", lv.name)];
        let swap = (self.text_after(&before, &edits, words)?, self.text_back_to(&before)?);
        self.pool_outcome(lv, Effect::PoolRepaired { kept: keep_as, spare: next_name });
        Ok(Texts { spare: first, device, swap })
    }

    /// The spare for the next repair. It has the identity of the one that goes, as lvm2 has it since 2.03.31.
    fn next_spare(
        &mut self,
        spare: &LvName,
        pool: &LvName,
        metadata: Extents,
        request: &RepairPool,
    ) -> Result<Edit, Refusal> {
        let wanted = self.wanted_spare(pool, metadata)?;
        let mut free = self.free_extents(&request.on)?;
        let segments = free.take(wanted, Shape::LINEAR);
        let segments = segments.map_err(|error| Refusal::rule(error.to_string()))?;
        let id = self.before(spare)?.id;
        let name = self.spare_name()?;
        let new = self.new_lv(&name, false, segments)?;
        Ok(Edit::AddLv(NewLv { id, ..new }))
    }

    /// The name of what is kept. Source: lvm2 `tools/lvconvert.c` (`_lvconvert_thin_pool_repair`).
    fn kept_name(&self, pool: &LvName) -> Result<LvName, Refusal> {
        let prefix = format!("{pool}_meta");
        let name = LvName::new(&format!("{prefix}{}", self.next_number(&prefix)));
        let name = name.map_err(|error| Refusal::rule(error.to_string()))?;
        self.stacks().name(&name, Layer::Plain).map_err(|error| refuse(&error))?;
        Ok(name)
    }

    /// The volumes that the pool must have a device for: not those that a message is still to make.
    fn volumes_in(&self, lv: &Lv, pool: &ThinPool) -> Vec<(ThinId, LvName)> {
        let is_pending = |volume: &LvName| {
            let creates =
                |message: &PoolMessage| matches!(message, PoolMessage::Create(name) if name == volume);
            pool.messages.iter().any(creates)
        };
        let volumes = self.vg().thins_of(&lv.name).filter(|(volume, _)| !is_pending(&volume.name));
        volumes.map(|(volume, thin)| (thin.device_id, volume.name.clone())).collect()
    }
}

impl Sequence<'_, '_> {
    /// 1. The damaged metadata's device, which cannot be written, and a check: what is whole is not touched.
    /// 2. A spare, if there is none yet: it is in the text before anything is written to it, so that whatever goes on
    ///    writing after a crash writes to nobody else's extents.
    /// 3. The copy, durable before anything relies on it, and what it must be like: nothing of the pool is changed so
    ///    far, and its text still names the damaged metadata.
    /// 4. The devices go: they have the names and identities of before.
    /// 5. The text. From here on the pool is the repaired one; what was damaged stays under another name.
    fn repair(
        &mut self,
        lv: &Lv,
        stack: &PoolStack,
        texts: Texts,
        (repair, repaired): (MetadataRepair, Repaired),
    ) -> Result<(), Refusal> {
        let draft = self.draft;
        let [tmeta, _] = stack.parts.clone().map_err(|error| refuse(&error))?;
        let tmeta = DeviceSpec { read_only: true, ..tmeta.top };
        self.clear_parts(&lv.name, stack)?;
        self.clear_spare(&texts.device)?;
        self.bring_up(tmeta.clone())?;
        if !repaired.whatever_is_lost {
            self.plan.push(Step::ExpectDamage { tmeta: tmeta.name.clone() });
        }
        if let Some((commit, revert)) = texts.spare {
            self.plan.push_undoable(Step::Commit(commit), vec![Step::Commit(revert)]);
        }
        self.bring_up(texts.device.clone())?;
        self.plan.push(Step::RepairMetadata(repair));
        self.plan.push(Step::ExpectRepaired(repaired));
        self.take_down(&texts.device);
        self.take_down(&tmeta);
        self.plan.push(Step::MarkDirty { pool: draft.vg().pool_id(lv), making: None });
        let (swap, revert) = texts.swap;
        self.plan.push_undoable(Step::Commit(swap), vec![Step::Commit(revert)]);
        Ok(())
    }

    /// The spare's device, which only a killed repair leaves, goes; if it is open, its `thin_repair` may go on.
    fn clear_spare(&mut self, spec: &DeviceSpec) -> Result<(), Refusal> {
        let Some(device) = self.draft.observed.device(&spec.uuid) else { return Ok(()) };
        if device.open_count > 0 {
            let message = format!("{}, which metadata is repaired onto, is in use", device.name);
            return Err(Refusal::new(ErrorKind::Busy, message)
                .hint("a thin_repair may go on that was started before; let it end, then try again")
                .busy_device(device.dev));
        }
        self.take_down(&DeviceSpec { name: device.name.clone(), ..spec.clone() });
        Ok(())
    }
}
