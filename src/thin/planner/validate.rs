//! Validates requests one after another: every check that needs no device.

use super::devices::refuse;
use super::draft::{Draft, NewVolume, Removal, Snap};
use crate::allocate::{after_maximum, out_of_reach};
use crate::effect::Effect;
use crate::lineage::complete_tags;
use crate::plan::Outcome;
use crate::refusal::Refusal;
use crate::request::{GrowPool, NewPool, RemovePool, RepairPool, Request, SetPool};
use base::error_kind::ErrorKind;
use base::ids::{LVM_NAME_MAX, LvName, LvmUuid, ThinId};
use base::units::{Extents, Sectors};
use dm::name::{DmName, DmUuid, Layer};
use lvm2::format::edit::{Edit, NewThin};
use lvm2::format::model::{Lv, Thin, ThinPool};
use lvm2::format::volume_list::Listed;

/// The largest thin volume: what its extents can count. Source: lvm2 `lib/metadata/lv_manip.c`
/// (`MAX_EXTENT_COUNT`, u32).
const MAX_EXTENTS: u64 = u32::MAX as u64;

/// What a new volume is to be like, apart from where it comes from.
struct NewVolumeSpec<'r> {
    name: &'r LvName,
    tags: &'r [String],
    read_only: bool,
    skip_activation: bool,
    autoactivate: bool,
    activate: bool,
}

impl Draft<'_> {
    /// Takes one request in, or says why not.
    pub(super) fn validate(&mut self, request: &Request) -> Result<(), Refusal> {
        match request {
            Request::Create { pool, name, size, tags, activate, autoactivate } => {
                let wanted = NewVolumeSpec {
                    name,
                    tags,
                    read_only: false,
                    skip_activation: false,
                    autoactivate: *autoactivate,
                    activate: *activate,
                };
                self.create(pool, *size, &wanted)
            }
            Request::Snapshot {
                origin,
                name,
                read_only,
                skip_activation,
                tags,
                activate,
                autoactivate,
                freeze,
            } => {
                let wanted = NewVolumeSpec {
                    name,
                    tags,
                    read_only: *read_only,
                    skip_activation: *skip_activation,
                    autoactivate: *autoactivate,
                    activate: *activate,
                };
                self.snapshot(origin, &wanted, *freeze)
            }
            Request::Remove { name } => self.remove(name),
            Request::Discard { name } => self.discard(name),
            Request::Zero { name } => self.zero(name),
            Request::Resize { name, size, shrink } => self.resize(name, *size, *shrink),
            Request::Rename { name, to } => self.rename(name, to),
            Request::Modify { name, attributes } => self.modify(name, attributes),
            Request::Rollback { name, to } => self.roll_back(name, to),
            Request::Activate { name, ignore_skip } => self.activate(name, *ignore_skip),
            Request::Deactivate { name } => self.deactivate(name),
            Request::ActivateAll { auto } => self.activate_all(*auto),
            Request::DeactivateAll => self.deactivate_all(),
            Request::GrowPool(GrowPool { pool, .. })
            | Request::SetPool(SetPool { pool, .. })
            | Request::CreatePool(NewPool { name: pool, .. })
            | Request::CheckPool { pool, .. }
            | Request::RepairPool(RepairPool { pool, .. })
            | Request::RemovePool(RemovePool { pool, .. }) => Err(Refusal::rule(format!(
                "pool {}/{pool} is changed together with something else",
                self.vg().name
            ))
            .hint("a change of a pool is made by itself: ask for it alone")),
        }
    }

    fn create(
        &mut self,
        pool_name: &LvName,
        size: Sectors,
        wanted: &NewVolumeSpec<'_>,
    ) -> Result<(), Refusal> {
        let (_, pool) = self.pool(pool_name)?;
        self.check_new_name(wanted.name)?;
        self.check_limit()?;
        let extents = self.whole_extents(wanted.name, Some(size))?;
        self.warn_of_unzeroed(pool_name, pool);
        let change = self.change(pool_name)?;
        let ids = after_maximum(&change.taken, change.maximum, 1);
        let id = self.take_id(pool_name, ids)?;
        let change = self.change(pool_name)?;
        change.maximum = change.maximum.max(Some(id));
        let thin = self.record((pool_name, pool), (extents, id), None, wanted)?;
        self.add(thin, true, wanted.activate, Effect::Created { origin: None })
    }

    /// A size in extents, if a thin volume may have it.
    pub(super) fn whole_extents(&self, name: &LvName, size: Option<Sectors>) -> Result<Extents, Refusal> {
        let extents = size.and_then(|size| Extents::holding(size, self.vg().extent_size));
        extents.filter(|extents| (1..=MAX_EXTENTS).contains(&extents.get())).ok_or_else(|| {
            let shown = size.map_or("too large".into(), |size| format!("{size} sectors"));
            Refusal::rule(format!("{}/{name} cannot have a size of {shown}", self.vg().name))
                .hint("give a size of at least one extent and of at most 2^32 extents")
        })
    }

    fn snapshot(&mut self, origin: &LvName, wanted: &NewVolumeSpec<'_>, freeze: bool) -> Result<(), Refusal> {
        self.check_new_name(wanted.name)?;
        self.check_limit()?;
        let source = self.source(origin, "snapshot")?;
        let (_, pool) = self.pool(&source.pool)?;
        let id = self.snap_of(&source, freeze)?;
        let thin =
            self.record((&source.pool, pool), (source.extents, id), Some((origin, &source)), wanted)?;
        self.add(thin, false, wanted.activate, Effect::Created { origin: Some(origin.clone()) })
    }

    /// Has the kernel make a thin device with the content of another, before the text names it. Returns its id.
    pub(super) fn snap_of(&mut self, source: &Origin, freeze: bool) -> Result<ThinId, Refusal> {
        let change = self.change(&source.pool)?;
        let ids = out_of_reach(&change.taken, 1);
        let id = self.take_id(&source.pool, ids)?;
        let snap = Snap { id, origin: source.id, active: source.active.clone(), freeze };
        self.change(&source.pool)?.snaps.push(snap);
        Ok(id)
    }

    /// Where a snapshot starts from: a volume of the text, or a snapshot of the same batch.
    pub(super) fn source(&self, origin: &LvName, verb: &str) -> Result<Origin, Refusal> {
        let change = self.added.get(origin).and_then(|pool| self.pools.get(pool));
        if let Some(new) = change.and_then(|change| change.new.iter().find(|new| new.thin.name == *origin)) {
            if new.empty {
                return Err(Refusal::rule(format!(
                    "{}/{origin} is created by the same batch: it has no content yet",
                    self.vg().name
                ))
                .hint("create the second volume by itself, or snapshot in a later transaction"));
            }
            let thin = &new.thin;
            return Ok(Origin {
                pool: thin.pool.clone(),
                uuid: thin.id,
                id: thin.device_id,
                extents: thin.extents,
                active: None,
                external_origin: thin.external_origin.clone(),
            });
        }
        let (lv, thin) = self.thin(origin)?;
        self.check_ordinary(lv, thin, verb)?;
        let rolled_back = self.altered.get(&lv.name).and_then(|altered| altered.rolled_back);
        let uuid = DmUuid::of_lv(&self.vg().id, &lv.id, Layer::Plain);
        let device = self.observed.device(&uuid).filter(|_| rolled_back.is_none());
        if let Some(device) = device.filter(|device| device.suspended) {
            // Recovery has left it so.
            let message = format!("the device of {}/{origin} is suspended", self.vg().name);
            return Err(Refusal::new(ErrorKind::Busy, message).hint(format!(
                "'thinvol recover {}' says why; 'dmsetup resume {}' lets it go on",
                self.vg().name,
                device.name
            )));
        }
        if device.is_some_and(|device| device.inactive_table) {
            return Err(super::pending::waiting(&self.vg().name, origin));
        }
        Ok(Origin {
            pool: thin.pool.clone(),
            uuid: lv.id,
            id: rolled_back.unwrap_or(thin.device_id),
            extents: self.extents(lv),
            active: device.map(|device| device.name.clone()),
            external_origin: thin.external_origin.clone(),
        })
    }

    fn remove(&mut self, name: &LvName) -> Result<(), Refusal> {
        if self.added.contains_key(name) {
            return Err(Refusal::rule(format!(
                "{}/{name} is created and removed by the same batch",
                self.vg().name
            )));
        }
        let (lv, thin) = self.thin(name)?;
        if self.altered.contains_key(&lv.name) {
            return Err(Refusal::rule(format!(
                "{}/{name} is changed and removed by the same batch",
                self.vg().name
            ))
            .hint("leave the change out"));
        }
        self.check_ordinary(lv, thin, "remove")?;
        self.check_no_external_user(lv, "remove")?;
        let device = self.unused_device(lv)?;
        let change = self.change(&thin.pool)?;
        change.removals.push(Removal { name: name.clone(), device });
        change.deletes.push(thin.device_id);
        self.removed.insert(name.clone());
        self.activate.remove(name);
        self.edits.push(match self.observed.policy.record_history {
            true => Edit::RemoveLvRecorded { lv: name.clone(), time: self.observed.inputs.header.time },
            false => Edit::RemoveLv(name.clone()),
        });
        self.outcomes.push(Outcome {
            request: 0,
            name: name.clone(),
            uuid: Some(lv.id),
            effect: Effect::Removed,
        });
        Ok(())
    }

    /// Says which volumes that were made from a removed one stay.
    pub(super) fn say_what_stays(&mut self, name: &LvName) {
        let made = self.index.made_from(name).filter(|lv| !self.removed.contains(*lv));
        let snapshots: Vec<&str> = made.map(|lv| lv.as_str()).collect();
        if !snapshots.is_empty() {
            let stay = snapshots.join(", ");
            self.warnings.push(format!(
                "{} goes, what was made from it stays whole: {stay}",
                self.vg().name.volume(name)
            ));
        }
    }

    /// Refuses volumes that take part in something thinvol does not plan with.
    pub(super) fn check_ordinary(&self, lv: &Lv, thin: &Thin, verb: &str) -> Result<(), Refusal> {
        self.check_flawless(lv, verb)?;
        if let Some(error) = self.stacks().merging(lv) {
            let refusal = refuse(&error);
            return Err(Refusal {
                message: format!("cannot {verb} {}/{}: {refusal}", self.vg().name, lv.name),
                ..refusal
            });
        }
        if let Some(user) = self.stacks().used_by_unknown(lv) {
            let message = format!(
                "cannot {verb} {}: {} is built on it, in a way thinvol does not know",
                self.vg().name.volume(&lv.name),
                self.vg().name.volume(user)
            );
            return Err(
                Refusal::new(ErrorKind::Unsupported, message).hint("use lvm2's own commands for this volume")
            );
        }
        self.pool(&thin.pool).map(|_| ())
    }

    /// Refuses what lvm2 leaves in a text and no device can be made of.
    pub(super) fn check_flawless(&self, lv: &Lv, verb: &str) -> Result<(), Refusal> {
        self.index.flaw(&lv.name).map_or(Ok(()), |problem| {
            let message = format!("cannot {verb} {}/{}: {problem}", self.vg().name, lv.name);
            let vg = &self.vg().name;
            Err(Refusal::new(ErrorKind::Corrupt, message).hint(format!(
                "the other volumes are not affected. No command repairs it: 'thinvol deactivate {vg}', correct a copy \
                 of the metadata ('vgcfgbackup -f <file> {vg}'), then 'vgcfgrestore --force -f <file> {vg}'"
            )))
        })
    }

    /// Refuses to change what other volumes read from.
    pub(super) fn check_no_external_user(&self, lv: &Lv, verb: &str) -> Result<(), Refusal> {
        self.index.external_user(&lv.name).map_or(Ok(()), |user| {
            let user = self.vg().name.volume(user);
            Err(Refusal::rule(format!(
                "cannot {verb} {}: it is the external origin of {user}, which reads from it what it does not hold",
                self.vg().name.volume(&lv.name)
            ))
            .hint(format!("remove {user} first")))
        })
    }

    pub(super) fn check_new_name(&self, name: &LvName) -> Result<(), Refusal> {
        let vg = self.vg();
        LvName::for_new_volume(name.as_str()).map_err(|error| {
            Refusal::rule(format!("{} is no name for a new volume: {error}", vg.name.volume(name)))
        })?;
        // lvm2 wants three bytes to spare. Source: lvm2 `lib/metadata/metadata.c` (`validate_name`'s callers).
        let spare = LVM_NAME_MAX.saturating_sub(vg.name.as_str().len() + name.as_str().len());
        if spare < 3 || DmName::of_lv(&vg.name, name, Layer::Plain).is_err() {
            return Err(Refusal::rule(format!("'{}/{name}' is too long for a device name", vg.name)));
        }
        if self.found(name).is_some() || self.added.contains_key(name) {
            return Err(Refusal::rule(format!("volume {}/{name} already exists", vg.name)));
        }
        if vg.historical_lvs.iter().any(|old| old.name == name.as_str()) {
            return Err(Refusal::rule(format!(
                "the name {name} is kept by a historical volume of {}",
                vg.name
            ))
            .hint(format!("lvremove --nohistory {}/-{name} forgets it", vg.name)));
        }
        Ok(())
    }

    /// Whether the VG takes one more volume.
    pub(super) fn check_limit(&self) -> Result<(), Refusal> {
        let vg = self.vg();
        // As lvm2 counts: what users see. Source: lvm2 `lib/metadata/vg.c` (`vg_visible_lvs`).
        let visible = || vg.lvs.glances().filter(|lv| lv.is_visible()).count();
        let count = || u64::try_from(visible() + self.added.len() - self.removed.len()).unwrap_or(u64::MAX);
        if vg.max_lv > 0 && count() >= vg.max_lv {
            return Err(Refusal::rule(format!(
                "volume group {} is limited to {} volumes",
                vg.name, vg.max_lv
            ))
            .hint(format!("vgchange --logicalvolume <n> {} raises the limit", vg.name)));
        }
        Ok(())
    }

    fn take_id(&mut self, pool: &LvName, ids: Option<Vec<ThinId>>) -> Result<ThinId, Refusal> {
        let id = ids.and_then(|ids| ids.first().copied());
        let id = id.ok_or_else(|| {
            Refusal::rule(format!("pool {}/{pool} has no thin device id left", self.vg().name))
        })?;
        self.change(pool)?.taken.insert(id);
        Ok(id)
    }

    fn record(
        &mut self,
        (pool_name, pool): (&LvName, &ThinPool),
        (extents, device_id): (Extents, ThinId),
        origin: Option<(&LvName, &Origin)>,
        wanted: &NewVolumeSpec<'_>,
    ) -> Result<NewThin, Refusal> {
        let id: LvmUuid = self.uuid()?;
        let flags = [(wanted.skip_activation, "ACTIVATION_SKIP"), (!wanted.autoactivate, "NOAUTOACTIVATE")];
        let header = &self.observed.inputs.header;
        Ok(NewThin {
            name: wanted.name.clone(),
            id,
            read_only: wanted.read_only,
            flags: flags.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()).collect(),
            tags: origin
                .map_or_else(|| wanted.tags.to_vec(), |(_, origin)| complete_tags(wanted.tags, &origin.uuid)),
            creation_time: header.time,
            creation_host: header.host.clone(),
            extents,
            pool: pool_name.clone(),
            transaction_id: pool.transaction_id,
            device_id,
            origin: origin.map(|(name, _)| name.clone()),
            // What the snapshot does not hold it reads from where its origin does.
            external_origin: origin.and_then(|(_, origin)| origin.external_origin.clone()),
        })
    }

    fn add(&mut self, thin: NewThin, empty: bool, activate: bool, effect: Effect) -> Result<(), Refusal> {
        let listed = Listed { vg: self.vg(), name: &thin.name, tags: &thin.tags };
        let refusal = self.observed.policy.lists.refusal(listed).filter(|_| activate);
        if let Some(why) = refusal {
            self.warnings.push(format!(
                "{}/{} is left inactive on this host: {why}",
                self.vg().name,
                thin.name
            ));
        }
        let activate = activate && refusal.is_none();
        self.outcomes.push(Outcome { request: 0, name: thin.name.clone(), uuid: Some(thin.id), effect });
        self.added.insert(thin.name.clone(), thin.pool.clone());
        self.promised.insert(thin.pool.clone());
        self.edits.push(Edit::AddThin(thin.clone()));
        let pool = thin.pool.clone();
        self.change(&pool)?.new.push(NewVolume { thin, empty, activate });
        Ok(())
    }

    fn warn_of_unzeroed(&mut self, name: &LvName, pool: &ThinPool) {
        if !pool.zero_new_blocks {
            let warning = format!(
                "pool {} does not zero new chunks: a partly written chunk of a new volume may show old data of others",
                self.vg().name.volume(name)
            );
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }
}

/// Where a snapshot starts from, as it is at that point of the batch.
pub(super) struct Origin {
    /// Its pool.
    pub pool: LvName,
    /// Its identity.
    pub uuid: LvmUuid,
    /// Its thin device.
    pub id: ThinId,
    /// Its size.
    pub extents: Extents,
    /// Its device, if it is active and is to be suspended.
    pub active: Option<DmName>,
    /// The volume that provides what was never written to it.
    pub external_origin: Option<LvName>,
}
