//! The devices of volumes that are changed, not created or removed.
//!
//! A device that nobody may be using while its volume changes (rolled back, shrunk, deactivated) goes before the first
//! commit and, if it is to be there, comes back after the last one. So no crash leaves a device that serves another
//! content, or more of it, than the text says. A device in use is renamed and grown after the first commit: a crash in
//! between leaves it with its old name or size, which the text allows and recovery mends.

use super::devices::refuse;
use super::reshaping::Reshaping;
use super::sequence::Sequence;
use crate::plan::Step;
use crate::refusal::Refusal;
use crate::stack::DeviceSpec;
use base::error_kind::ErrorKind;
use lvm2::format::model::{Lv, Vg};

impl Sequence<'_, '_> {
    /// Works out what the altered volumes' devices are and will be.
    pub(super) fn reshaping(&self, after: &Vg) -> Result<Reshaping, Refusal> {
        let draft = self.draft;
        let stacks = draft.observed.stacks(after);
        let mut reshaping = Reshaping::default();
        for (name, alteration) in &draft.altered {
            let lost = || {
                Refusal::new(
                    ErrorKind::Corrupt,
                    format!("volume {}/{name} is lost in the change", draft.vg().name),
                )
            };
            let lv = draft.before(name)?;
            let now = alteration.name.as_ref().unwrap_or(name);
            let spec = stacks.volume(after.lv(now).ok_or_else(lost)?).map_err(|error| refuse(&error))?;
            let old = draft.stacks().volume(lv).map_err(|error| refuse(&error))?;
            match draft.observed.device(&spec.uuid) {
                Some(device) => {
                    let old = DeviceSpec { name: device.name.clone(), ..old };
                    reshaping.devices.insert(name.clone(), (old, spec));
                }
                None => {
                    reshaping.inactive.insert(name.clone(), spec);
                }
            }
        }
        Ok(reshaping)
    }

    /// Takes the devices down that nobody may be using.
    pub(super) fn take_down_altered(&mut self) -> Result<(), Refusal> {
        let draft = self.draft;
        for (name, altered) in &draft.altered {
            let Some((old, _)) = self.reshaping.devices.get(name).cloned() else { continue };
            if altered.replace || draft.deactivate.contains(name) {
                let lv = draft.before(name)?;
                if let Some(device) = draft.observed.device(&old.uuid) {
                    draft.check_unused(lv, device, 0)?;
                }
                self.take_down(&old);
                self.release_of(lv)?;
                if let Some(ground) = self.ground_of(lv) {
                    self.step_off(&ground, 1)?;
                }
                self.reshaping.down.insert(name.clone());
            }
        }
        Ok(())
    }

    /// Renames and reloads the devices that stay. Renames come in the order of the requests, so that each new name is
    /// free when it is given.
    pub(super) fn reshape(&mut self) -> Result<(), Refusal> {
        let draft = self.draft;
        for name in &draft.renames {
            let Some((old, new)) = self.reshaping.staying(name).cloned() else { continue };
            if !self.freed.contains(&new.name) {
                draft.check_name_free(&new)?;
            }
            self.freed.insert(old.name.clone());
            let role = new.role;
            let back = Step::RenameDevice { from: new.name.clone(), to: old.name.clone(), role };
            self.plan.push_undoable(Step::RenameDevice { from: old.name, to: new.name, role }, vec![back]);
        }
        for name in draft.altered.keys() {
            let Some((old, new)) = self.reshaping.staying(name).cloned() else { continue };
            if old.targets != new.targets || old.read_only != new.read_only {
                let back = DeviceSpec { name: new.name.clone(), ..old };
                self.plan.push_undoable(Step::ReloadDevice(new), vec![Step::ReloadDevice(back)]);
            }
        }
        Ok(())
    }

    /// Brings back what was taken down only for the change.
    pub(super) fn bring_back(&mut self) -> Result<(), Refusal> {
        let draft = self.draft;
        for name in draft.altered.keys().filter(|name| !draft.deactivate.contains(name)) {
            let Some((_, new)) = self.reshaping.devices.get(name).cloned() else { continue };
            if self.reshaping.down.contains(name) {
                let lv = draft.before(name)?;
                self.stand(lv)?;
                self.bring_up(new)?;
                self.hold_of(lv)?;
            }
        }
        Ok(())
    }

    fn release_of(&mut self, lv: &Lv) -> Result<(), Refusal> {
        lv.thin().map_or(Ok(()), |thin| self.release(&thin.pool))
    }

    fn hold_of(&mut self, lv: &Lv) -> Result<(), Refusal> {
        lv.thin().map_or(Ok(()), |thin| self.hold(&thin.pool))
    }
}
