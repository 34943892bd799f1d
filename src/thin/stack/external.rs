//! External origins: read-only volumes from which thin volumes read what they do not hold themselves.
//! Source: lvm2 `lib/activate/dev_manager.c` (`_add_new_external_lv_to_dtree`, `lv_layer`).

use super::{DevRef, DeviceSpec, Role, StackError, Stacks, TargetSpec};
use base::ids::LvName;
use base::units::Sectors;
use dm::name::Layer;
use lvm2::format::model::Lv;

impl Stacks<'_> {
    /// Whether thin volumes read from that volume what they do not hold.
    pub fn is_external_origin(&self, lv: &LvName) -> bool {
        self.external_origins.contains(lv)
    }

    /// The device of an external origin that thin volumes, and its own visible device, stand on.
    ///
    /// # Errors
    /// If it is made of anything but linear and striped segments.
    pub fn real(&self, lv: &Lv) -> Result<DeviceSpec, StackError> {
        if let Some(user) = self.used_by_unknown(lv) {
            return Err(self.built_upon_by(lv, user));
        }
        self.spec(lv, Layer::Real, self.mapped(lv)?, Role::Internal)
    }

    /// The visible device of a volume that was an external origin before, as long as it stands on that
    /// layer; and as it is to be, on its own extents.
    ///
    /// # Errors
    /// If it is made of anything but linear and striped segments.
    pub fn on_old_layer(&self, lv: &Lv) -> Result<(DeviceSpec, DeviceSpec), StackError> {
        Ok((self.visible(lv, vec![self.over_real(lv)?])?, self.visible(lv, self.mapped(lv)?)?))
    }

    /// What the table of a thin volume names as its external origin.
    pub(super) fn external(
        &self,
        user: &LvName,
        origin: Option<&LvName>,
    ) -> Result<Option<DevRef>, StackError> {
        let Some(origin) = origin else { return Ok(None) };
        let real = self.real(self.find(user, origin)?)?;
        Ok(Some(DevRef::Device(real.name)))
    }

    /// The target of an external origin's visible device.
    pub(super) fn over_real(&self, lv: &Lv) -> Result<TargetSpec, StackError> {
        let device = DevRef::Device(self.real(lv)?.name);
        Ok(TargetSpec::Linear { length: self.length(lv)?, device, offset: Sectors::ZERO })
    }
}
