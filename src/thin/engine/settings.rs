//! What lvm.conf says of a volume group, and its lock.

use std::collections::BTreeMap;

use super::Engine;
use crate::error::EngineError;
use crate::observed::Policy;
use base::error_kind::ErrorKind;
use base::ids::{LvName, VgName};
use lvm2::format::model::{Lv, Vg};
use lvm2::format::volume_list::VolumeLists;
use lvm2::host::lock::LockError;

impl Engine {
    /// The settings that decide what is planned for that volume group.
    pub(super) fn policy(&self, vg: &Vg) -> Policy {
        let threshold = self.conf.activation.thin_pool_autoextend_threshold;
        Policy {
            autoextend_threshold: u32::try_from(threshold).unwrap_or(100),
            thresholds: self.thresholds(vg),
            system_ids: self.ids.ids.clone(),
            lists: VolumeLists {
                allowed: self.conf.activation.volume_list.clone(),
                automatic: self.conf.activation.auto_activation_volume_list.clone(),
                read_only: self.conf.activation.read_only_volume_list.clone(),
                host_tags: self.host_tags.clone(),
            },
            no_read_ahead: self.conf.activation.no_read_ahead,
            pools: self.conf.pools,
            record_history: self.conf.metadata.record_history,
        }
    }

    /// The thresholds of pools that have a profile, or whose group has one. A profile that cannot be read counts as one
    /// that says nothing: for lvm2 as well.
    fn thresholds(&self, vg: &Vg) -> BTreeMap<LvName, u32> {
        let of_pool = |lv: &Lv| {
            let profile = lv.profile.as_ref().or(vg.profile.as_ref())?;
            let threshold = self.conf.threshold_of_profile(profile).unwrap_or_else(|error| {
                tracing::warn!(%error, profile, "the profile is not used");
                None
            })?;
            Some((lv.name.clone(), u32::try_from(threshold).unwrap_or(100)))
        };
        vg.pools().filter_map(|(lv, _)| of_pool(lv)).collect()
    }
}

/// A lock that was not to be had.
pub(super) fn locked(vg: &VgName, error: LockError) -> EngineError {
    match &error {
        LockError::Timeout { .. } => {
            EngineError::caused(ErrorKind::Busy, format!("volume group {vg} is locked"), error)
                .with_hint("wait for the other command, or for longer (--lock-timeout)")
        }
        LockError::Io { .. } => {
            EngineError::caused(ErrorKind::Refused, format!("volume group {vg} cannot be locked"), error)
        }
    }
}
