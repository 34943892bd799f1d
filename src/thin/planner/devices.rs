//! Requests to activate and deactivate, and the devices behind them.

use super::draft::Draft;
use crate::effect::Effect;
use crate::observed::PoolReadError;
use crate::plan::{Left, Outcome};
use crate::refusal::Refusal;
use crate::stack::{DeviceSpec, PoolStack, StackError};
use base::error_kind::ErrorKind;
use base::ids::LvName;
use dm::kernel::DeviceInfo;
use dm::name::{DmName, DmUuid, Layer};
use lvm2::format::model::{Lv, Segment, SegmentKind, ThinPool};
use lvm2::format::volume_list::Listed;

/// The flag of volumes and groups that come up only when asked for. Source: lvm2 `lib/format_text/flags.c`.
const NO_AUTOACTIVATION: &str = "NOAUTOACTIVATE";

impl Draft<'_> {
    pub(super) fn activate(&mut self, name: &LvName, ignore_skip: bool) -> Result<(), Refusal> {
        if self.added.contains_key(name) {
            return Err(Refusal::rule(format!("{}/{name} is created by the same batch", self.vg().name))
                .hint("ask for it to be active where it is created"));
        }
        let lv = self.existing(name)?;
        if !lv.is_visible() {
            return Err(Refusal::rule(format!(
                "{}/{name} is an internal volume: it comes with the one it belongs to",
                self.vg().name
            )));
        }
        self.check_allowed(lv)?;
        self.check_flawless(lv, "activate")?;
        self.check_complete(lv)?;
        let mut effect = Effect::Activated;
        if lv.has_flag("ACTIVATION_SKIP") && !ignore_skip {
            effect = Effect::Skipped;
            self.warnings.push(format!(
                "{}/{name} has the activation skip flag; it is activated when asked for by name",
                self.vg().name
            ));
        } else {
            self.activate.add(&lv.name);
        }
        // The later of two requests about one device is the one that counts.
        self.deactivate.remove(&lv.name);
        self.outcomes.push(Outcome { request: 0, name: name.clone(), uuid: Some(lv.id), effect });
        Ok(())
    }

    pub(super) fn deactivate(&mut self, name: &LvName) -> Result<(), Refusal> {
        let lv = self.existing(name)?;
        if !lv.is_visible() {
            return Err(Refusal::rule(format!(
                "{}/{name} is an internal volume: it goes with the one it belongs to",
                self.vg().name
            )));
        }
        self.deactivate.add(&lv.name);
        self.activate.remove(&lv.name);
        self.outcomes.push(Outcome {
            request: 0,
            name: name.clone(),
            uuid: Some(lv.id),
            effect: Effect::Deactivated,
        });
        Ok(())
    }

    /// Refuses what `lvm.conf` does not let be activated on this host.
    pub(super) fn check_allowed(&self, lv: &Lv) -> Result<(), Refusal> {
        let vg = self.vg();
        let listed = Listed { vg, name: &lv.name, tags: &lv.tags };
        self.observed.policy.lists.refusal(listed).map_or(Ok(()), |why| {
            Err(Refusal::rule(format!("{}/{} must not be activated on this host: {why}", vg.name, lv.name))
                .hint("lvm2 does not activate it either; it may be in use by another host"))
        })
    }

    /// Whether activating all of the VG concerns a volume; `auto`: activating what nobody asked for by name.
    fn comes_with_all(&self, lv: &Lv, auto: bool) -> bool {
        let listed = Listed { vg: self.vg(), name: &lv.name, tags: &lv.tags };
        let lists = &self.observed.policy.lists;
        lv.is_visible()
            && !lv.has_flag("ACTIVATION_SKIP")
            && lists.refusal(listed).is_none()
            && (!auto || !lv.has_flag(NO_AUTOACTIVATION) && lists.is_automatic(listed))
    }

    pub(super) fn activate_all(&mut self, auto: bool) -> Result<(), Refusal> {
        if auto && self.vg().flags.iter().any(|flag| flag == NO_AUTOACTIVATION) {
            return Ok(());
        }
        let stacks = self.stacks();
        let volumes = self.vg().lvs.iter().filter(|lv| self.comes_with_all(lv, auto));
        for lv in volumes.collect::<Vec<_>>() {
            if let Err(refusal) = self.check_flawless(lv, "activate").and_then(|()| self.check_complete(lv)) {
                self.warnings.push(format!("{}/{} is left as it is: {refusal}", self.vg().name, lv.name));
                continue;
            }
            let possible = match lv.thin_pool() {
                Some(pool) => stacks.pool(lv, pool).map(|_| ()),
                None => stacks.volume(lv).map(|_| ()),
            };
            let admitted = possible.map_err(|error| refuse(&error)).and_then(|()| {
                let asked = self.activate.contains(&lv.name);
                self.activate(&lv.name, false)?;
                if !asked {
                    self.with_all.insert(lv.name.clone());
                }
                Ok(())
            });
            if let Err(refusal) = admitted
                && !self.runs_by_lvm2(lv)
            {
                let message = format!("{}/{} is left inactive: {refusal}", self.vg().name, lv.name);
                let refusal = Refusal { message, ..refusal };
                self.left.push(Left::of(&refusal, 0, vec![lv.name.clone()]));
            }
        }
        Ok(())
    }

    /// Whether an LV of a kind that thinvol does not activate has devices, or is of one that lvm2 does not activate
    /// with all others, either.
    fn runs_by_lvm2(&self, lv: &Lv) -> bool {
        let parts = |segment: &Segment| match &segment.kind {
            SegmentKind::Opaque { segtype, .. } => {
                segtype.starts_with("cache-pool") || segtype.starts_with("vdo-pool")
            }
            _ => false,
        };
        lv.segments.iter().any(parts) || self.devices_of(lv).next().is_some()
    }

    /// The devices of an LV, in whatever layer.
    fn devices_of(&self, lv: &Lv) -> impl Iterator<Item = &'_ DmName> + use<'_> {
        let own = DmUuid::of_lv(&self.vg().id, &lv.id, Layer::Plain);
        let is_own = move |uuid: &DmUuid| {
            let rest = uuid.as_str().strip_prefix(own.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        let listed = self.observed.listed.iter();
        listed.filter(move |(_, uuid)| uuid.as_ref().is_some_and(&is_own)).map(|(name, _)| name)
    }

    pub(super) fn deactivate_all(&mut self) -> Result<(), Refusal> {
        let active = self.vg().lvs.iter().filter(|lv| lv.is_visible() && self.has_device(lv));
        for lv in active.collect::<Vec<_>>() {
            let possible = match lv.thin_pool() {
                Some(pool) => self.stacks().pool(lv, pool).map(|_| ()),
                None => self.stacks().volume_to_take_down(lv).map(|_| ()),
            };
            match possible {
                Ok(()) => self.deactivate(&lv.name)?,
                Err(error) => {
                    let shown = format!("{}/{}", self.vg().name, lv.name);
                    let refusal = refuse(&error);
                    let message = format!("{shown} stays active: {refusal}");
                    let hint = Some(format!("'lvchange -an {shown}' deactivates it"));
                    let refusal = Refusal { message, hint, ..refusal };
                    self.left.push(Left::of(&refusal, 0, vec![lv.name.clone()]));
                }
            }
        }
        Ok(())
    }

    /// Whether a visible LV has a device (a pool: or its data or metadata has).
    pub(super) fn has_device(&self, lv: &Lv) -> bool {
        let parts = lv.thin_pool().into_iter().flat_map(|pool| [&pool.metadata, &pool.data]);
        let parts = parts.filter_map(|part| self.index.lv(part));
        parts.chain([lv]).any(|lv| self.devices_of(lv).next().is_some())
    }

    /// The device of a volume that is to be removed or replaced, checked to be out of use.
    pub(super) fn unused_device(&self, lv: &Lv) -> Result<Option<DeviceSpec>, Refusal> {
        let spec = self.stacks().volume(lv).map_err(|error| refuse(&error))?;
        match self.observed.device(&spec.uuid) {
            None => Ok(None),
            Some(device) => {
                self.check_unused(lv, device, 0)?;
                Ok(Some(DeviceSpec { name: device.name.clone(), ..spec }))
            }
        }
    }

    /// Refuses a device that more than `expected` openers use.
    pub(super) fn check_unused(&self, lv: &Lv, device: &DeviceInfo, expected: u32) -> Result<(), Refusal> {
        if device.open_count <= expected {
            return Ok(());
        }
        let message = format!("{}/{} is in use ({} times open)", self.vg().name, lv.name, device.open_count);
        Err(Refusal::new(ErrorKind::Busy, message)
            .hint("stop what uses it, then try again")
            .busy_device(device.dev))
    }

    /// Refuses a device whose name another device bears.
    pub(super) fn check_name_free(&self, spec: &DeviceSpec) -> Result<(), Refusal> {
        if self.observed.name_taken_from(&spec.name, &spec.uuid) {
            return Err(Refusal::rule(format!("another device-mapper device is called {}", spec.name))
                .hint(format!("'dmsetup info {}' shows it; rename or remove it", spec.name)));
        }
        Ok(())
    }

    /// The stack of a pool as its transaction id wants it, and whether it is that of a never-used pool.
    pub(super) fn pool_stack(&self, lv: &Lv, pool: &ThinPool) -> Result<(PoolStack, bool), Refusal> {
        let stacks = self.stacks();
        let new = pool.transaction_id.0 == 0;
        let stack = if new { stacks.new_pool(lv, pool) } else { stacks.pool(lv, pool) };
        stack.map(|stack| (stack, new)).map_err(|error| refuse(&error))
    }

    /// Whether the pool's target runs.
    pub(super) fn pool_runs(&self, name: &LvName) -> Result<bool, Refusal> {
        Ok(self.seen(name)?.state.runs())
    }

    /// Refuses to start a pool whose metadata could not be read. One that is only out of reach is started: it is
    /// checked on the way, and what it says of its transaction is compared. But then nothing must be pending.
    pub(super) fn may_start(&self, pool: &Lv, why: &PoolReadError) -> Result<(), Refusal> {
        let shown = format!("{}/{}", self.vg().name, pool.name);
        let unread = format!("the metadata of pool {shown} cannot be read: {why}");
        match why {
            PoolReadError::OutOfReach(_) => match pool.thin_pool() {
                Some(segment) if !segment.messages.is_empty() => Err(Refusal::rule(format!(
                    "the last transaction of pool {shown} is not finished, and how far it came cannot be seen while \
                     the pool is stopped: {why}"
                ))
                .hint(format!("'lvchange -ay {shown}' starts the pool, then 'thinvol recover {}'", self.vg().name))),
                _ => Ok(()),
            },
            PoolReadError::Failed(_) => Err(Refusal::rule(unread)
                .hint("see that its physical volumes are there and can be read: the kernel log tells more")),
            PoolReadError::Damaged(_) => Err(Refusal::new(ErrorKind::Corrupt, unread)
                .hint(format!("'thinvol pool repair {shown}' repairs what can be read"))),
        }
    }
}

/// A stack that cannot be built, as a refusal.
pub(super) fn refuse(error: &StackError) -> Refusal {
    match error {
        StackError::Unsupported { .. } | StackError::BuiltUpon { .. } => Refusal::new(
            ErrorKind::Unsupported,
            error.to_string(),
        )
        .hint("use lvm2's own commands for this volume; a pool that they have started can be used here, too"),
        StackError::Merging { origin, .. } => Refusal::new(ErrorKind::Unsupported, error.to_string())
            .hint(format!(
                "lvm2 finishes the merge: 'thinvol deactivate {origin}', then 'lvchange --activate y {origin}'"
            )),
        StackError::Overflow { .. } | StackError::Dangling { .. } => {
            Refusal::new(ErrorKind::Corrupt, error.to_string())
        }
        StackError::Name { .. } => Refusal::rule(error.to_string()),
    }
}
