//! What lvm.conf says of a volume group, and its lock.

use std::collections::BTreeMap;

use super::Engine;
use crate::error::EngineError;
use crate::observed::Policy;
use crate::pool_rules::PoolRules;
use crate::watch::Extension;
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
            beyond_rules: self.settings.beyond_rules,
            has_pools_watched: self.conf.activation.monitoring,
        }
    }

    /// When and by how much a pool is extended: as its tags say, else its profile or its group's, else lvm.conf.
    pub fn extension(&self, vg: &Vg, lv: &Lv) -> Extension {
        let rules = PoolRules::of(lv).unwrap_or_default();
        let profile = lv.profile.as_ref().or(vg.profile.as_ref());
        // One that cannot be read is told of where the threshold is looked for.
        let of_profile =
            profile.and_then(|profile| self.conf.percent_of_profile(profile).unwrap_or_default());
        let by = of_profile.unwrap_or(self.conf.activation.thin_pool_autoextend_percent);
        let policy = self.policy(vg);
        Extension {
            at: rules.extend_at.unwrap_or_else(|| policy.threshold(&lv.name)).clamp(50, 100),
            by: rules.extend_by.unwrap_or_else(|| u32::try_from(by).unwrap_or(u32::MAX)).max(1),
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
