//! The `-real` devices of external origins: created before the first device on them, removed after the last.

use super::devices::refuse;
use super::draft::Draft;
use super::repair::Mending;
use super::sequence::Sequence;
use crate::plan::Step;
use crate::refusal::Refusal;
use crate::stack::{DevRef, DeviceSpec};
use base::error_kind::ErrorKind;
use base::ids::LvName;
use dm::kernel::DeviceInfo;
use dm::name::{DmUuid, Layer};
use lvm2::format::model::Lv;

impl Draft<'_> {
    /// Whether the batch removes all that read from an external origin what they do not hold.
    fn is_let_go(&self, origin: &LvName) -> bool {
        let reads = |external: Option<&LvName>| external == Some(origin);
        let stays = |lv: &&Lv| lv.thin().is_some_and(|thin| reads(thin.external_origin.as_ref()));
        let new = self.pools.values().flat_map(|change| &change.new);
        self.vg().lvs.others().filter(stays).all(|lv| self.removed.contains(&lv.name))
            && !new.into_iter().any(|new| reads(new.thin.external_origin.as_ref()))
    }
}

impl Mending<'_, '_> {
    /// The layer that an external origin had goes with the last volume that reads from it. A command that was killed
    /// leaves it, and with it the origin's visible device, if that is active, on it.
    pub(super) fn old_layers(&mut self) {
        let draft = self.sequence.draft;
        let (observed, stacks) = (draft.observed, draft.stacks());
        for lv in draft.vg().lvs.others().filter(|lv| lv.is_visible() && !stacks.is_external_origin(&lv.name))
        {
            let uuid = |layer| DmUuid::of_lv(&draft.vg().id, &lv.id, layer);
            let is_awake = |device: &&DeviceInfo| device.live_table && !device.suspended;
            let Some(layer) = observed.device(&uuid(Layer::Real)).filter(is_awake) else { continue };
            let (Ok(real), Ok((over, direct))) = (stacks.real(lv), stacks.on_old_layer(lv)) else { continue };
            let shown = format!("{}/{}", draft.vg().name, lv.name);
            let visible = observed.device(&uuid(Layer::Plain));
            let over = over.table(|dev: &DevRef| observed.numbers.get(dev).copied().ok_or(()));
            let stands = visible.is_some()
                && observed.tables.get(&direct.uuid) == over.ok().map(|table| table.0).as_ref();
            match visible {
                Some(device) if stands && is_awake(&device) && layer.open_count <= 1 => {
                    let name = self.name_now(device);
                    self.sequence.plan.push(Step::ReloadDevice(DeviceSpec { name, ..direct.clone() }));
                    self.reloaded.insert(direct.uuid);
                }
                None if layer.open_count == 0 => {}
                _ => continue,
            }
            self.found.push(format!(
                "volume {shown} has the layer of an external origin, which it is not any more"
            ));
            let name = self.name_now(layer);
            self.sequence.plan.push(Step::RemoveDevice(DeviceSpec { name, ..real }));
        }
    }
}

impl Sequence<'_, '_> {
    /// Makes what the device of a volume stands on, besides its pool, exist.
    pub(super) fn stand(&mut self, lv: &Lv) -> Result<(), Refusal> {
        let draft = self.draft;
        let spec = draft.stacks().name(&lv.name, Layer::Plain).map_err(|error| refuse(&error))?;
        let uuid = DmUuid::of_lv(&draft.vg().id, &lv.id, Layer::Plain);
        let is_there = draft.observed.device(&uuid).is_some_and(|device| device.live_table);
        match self.ground_of(lv) {
            Some(ground) if !is_there || self.freed.contains(&spec) => self.stand_on(&ground),
            _ => Ok(()),
        }
    }

    /// Makes the real device of an external origin exist for one more device on it.
    pub(super) fn stand_on(&mut self, origin: &LvName) -> Result<(), Refusal> {
        let (lv, real) = self.real_of(origin)?;
        let plain = DmUuid::of_lv(&self.draft.vg().id, &lv.id, Layer::Plain);
        let observed = self.draft.observed;
        if observed.device(&real.uuid).is_none() && observed.device(&plain).is_some() {
            let shown = format!("{}/{origin}", self.draft.vg().name);
            let message = format!("the device of {shown} is not the one of an external origin");
            return Err(Refusal::new(ErrorKind::Unsupported, message)
                .hint(format!("'lvchange --refresh {shown}' gives it the layers it is to have")));
        }
        let open = self.open_on_real(&real);
        if !self.grounds.contains_key(origin) {
            self.bring_up(real)?;
        }
        *self.grounds.entry(origin.clone()).or_insert(open) += 1;
        Ok(())
    }

    /// Counts devices that go from the real device of an external origin; it goes with the last.
    pub(super) fn step_off(&mut self, origin: &LvName, devices: u32) -> Result<(), Refusal> {
        let (_, real) = self.real_of(origin)?;
        if self.draft.observed.device(&real.uuid).is_some() || self.grounds.contains_key(origin) {
            let open = self.open_on_real(&real);
            let users = self.grounds.entry(origin.clone()).or_insert(open);
            *users = users.saturating_sub(devices);
        }
        Ok(())
    }

    /// Takes down the real devices that nothing stands on any more. A volume that is no external origin any more, and
    /// active, is put on its own extents first.
    pub(super) fn leave_idle_grounds(&mut self) -> Result<(), Refusal> {
        let draft = self.draft;
        let grounds: Vec<(LvName, u32)> =
            self.grounds.iter().map(|(name, users)| (name.clone(), *users)).collect();
        for (name, users) in grounds {
            let (lv, real) = self.real_of(&name)?;
            let plain = DmUuid::of_lv(&draft.vg().id, &lv.id, Layer::Plain);
            let visible = draft.observed.device(&plain).filter(|device| !self.freed.contains(&device.name));
            match (users, visible) {
                (0, _) => self.take_down(&real),
                (1, Some(device)) if draft.is_let_go(&name) => {
                    let (_, direct) = draft.stacks().on_old_layer(lv).map_err(|error| refuse(&error))?;
                    self.plan.push(Step::ReloadDevice(DeviceSpec { name: device.name.clone(), ..direct }));
                    self.take_down(&real);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The external origin that the device of an existing volume stands on: its own, or itself.
    pub(super) fn ground_of(&self, lv: &Lv) -> Option<LvName> {
        let external = lv.thin().and_then(|thin| thin.external_origin.clone());
        external.or_else(|| self.draft.stacks().is_external_origin(&lv.name).then(|| lv.name.clone()))
    }

    fn real_of(&self, origin: &LvName) -> Result<(&Lv, DeviceSpec), Refusal> {
        let lv = self.draft.before(origin)?;
        let real = self.draft.stacks().real(lv).map_err(|error| refuse(&error))?;
        let found = self.draft.observed.device(&real.uuid);
        let name = found.map_or_else(|| real.name.clone(), |device| device.name.clone());
        Ok((lv, DeviceSpec { name, ..real }))
    }

    fn open_on_real(&self, real: &DeviceSpec) -> u32 {
        self.draft.observed.device(&real.uuid).map_or(0, |device| device.open_count)
    }
}
