//! The real devices of external origins: they come before the first device that stands on them and go after the last.

use super::devices::refuse;
use super::sequence::Sequence;
use crate::refusal::Refusal;
use crate::stack::DeviceSpec;
use base::error_kind::ErrorKind;
use base::ids::LvName;
use dm::name::{DmUuid, Layer};
use lvm2::format::model::Lv;

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

    /// Takes down the real devices that nothing stands on any more.
    pub(super) fn leave_idle_grounds(&mut self) -> Result<(), Refusal> {
        let idle: Vec<LvName> =
            self.grounds.iter().filter(|(_, users)| **users == 0).map(|(name, _)| name.clone()).collect();
        for name in idle {
            let (_, real) = self.real_of(&name)?;
            self.take_down(&real);
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
