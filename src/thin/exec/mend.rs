//! Checks and repairs of pool metadata, and what is asked of a repaired copy.

use super::{Run, StepError};
use crate::observed::PoolReadError;
use crate::plan::{MetadataRepair, Repaired};
use crate::ports::{CheckFailure, CheckFound, Devices};
use crate::refusal::Refusal;
use crate::stack::DevRef;
use base::error_kind::ErrorKind;
use base::first_few::first_few;
use base::ids::{LvName, ThinId};
use dm::name::DmName;

/// More volumes than this are counted, not listed.
const LISTED: usize = 5;

impl Run<'_, '_> {
    /// The pool that a metadata device is of, as users know it.
    fn pool_of(&self, tmeta: &DmName) -> String {
        let parts = tmeta.lvm_parts().ok();
        let pool = parts.and_then(|parts| Some(parts.lv.as_str().strip_suffix("_tmeta")?.to_owned()));
        pool.map_or_else(|| tmeta.to_string(), |pool| format!("{}/{pool}", self.lock.vg()))
    }

    pub(super) fn expect_damage(&mut self, tmeta: &DmName) -> Result<(), StepError> {
        let dev = self.number(&DevRef::Device(tmeta.clone()))?;
        let (host, pool) = (self.ports.host, self.pool_of(tmeta));
        let found = match host.check_all(tmeta, dev) {
            Err(CheckFailure { found: CheckFound::Damage(said), .. }) => {
                tracing::debug!(said, "the metadata is damaged");
                return Ok(());
            }
            Err(CheckFailure { found: CheckFound::Nothing(why), .. }) => {
                let message = format!("the metadata of pool {pool} is not known to be damaged: {why}");
                return Err(Refusal::rule(message).hint("--force repairs it unchecked").into());
            }
            Ok(()) => host.superblock(dev),
        };
        let marked = found.is_ok_and(|superblock| superblock.needs_check);
        let refusal = Refusal::rule(format!("nothing is wrong with the metadata of pool {pool}"));
        Err(if marked {
            refusal.hint(format!(
                "the kernel marked it, and it passes its check: 'thinvol pool check {pool} --clear-needs-check' takes \
                 the mark away"
            ))
        } else {
            refusal.hint("there is nothing to repair; --force makes a copy of it all the same")
        }
        .into())
    }

    /// The mark must be gone afterwards.
    pub(super) fn clear_mark(&mut self, tmeta: &DmName) -> Result<(), StepError> {
        let dev = self.number(&DevRef::Device(tmeta.clone()))?;
        self.ports.host.clear_mark(tmeta, dev)?;
        match self.ports.host.superblock(dev) {
            Ok(superblock) if !superblock.needs_check => Ok(()),
            Ok(_) => {
                let pool = self.pool_of(tmeta);
                Err(Refusal::rule(format!("the mark of pool {pool} that it needs a check is still there"))
                    .into())
            }
            Err(error) => Err(unread(&self.pool_of(tmeta), &error)),
        }
    }

    pub(super) fn repair_metadata(&mut self, repair: &MetadataRepair) -> Result<(), StepError> {
        let [from, to] = [&repair.from, &repair.to].map(|name| self.number(&DevRef::Device(name.clone())));
        Ok(self.ports.host.repair(from?, to?, repair.assumed.as_ref())?)
    }

    /// The copy is whole; it is at a transaction that the text allows; and it has all that the damaged metadata says of
    /// the volumes. Only the last two can be waived.
    pub(super) fn expect_repaired(&mut self, repaired: &Repaired) -> Result<(), StepError> {
        let [from, on] =
            [&repaired.from, &repaired.on].map(|name| self.number(&DevRef::Device(name.clone())));
        let (from, on) = (from?, on?);
        let (host, pool) = (self.ports.host, self.lock.vg().volume(&repaired.pool));
        if let Err(CheckFailure { found, .. }) = host.check_all(&repaired.on, on) {
            let message = format!("the repaired copy of the metadata of pool {pool} is not used: {found}");
            match found {
                CheckFound::Nothing(why) if repaired.whatever_is_lost => {
                    self.executed.warnings.push(format!("the repaired metadata was not checked: {why}"));
                }
                _ => return Err(by_hand(Refusal::new(ErrorKind::Corrupt, message)).into()),
            }
        }
        let read = || Ok::<_, PoolReadError>((host.superblock(on)?, host.devices(on)?));
        let (superblock, devices) = read().map_err(|error| unread(pool.to_string().as_str(), &error))?;
        let mut lost = Vec::new();
        let kernel = superblock.transaction_id;
        if !repaired.transactions.is_empty() && !repaired.transactions.contains(&kernel) {
            let text: Vec<String> = repaired.transactions.iter().map(ToString::to_string).collect();
            lost.push(format!(
                "it is at transaction {kernel} and the volume group's metadata at {}, so that changes since are not in \
                 it, or more than that text knows",
                text.join(" or ")
            ));
        }
        let before = host.devices(from);
        if let Err(error) = &before {
            self.executed
                .warnings
                .push(format!("how much the volumes of pool {pool} held before cannot be told: {error}"));
        }
        lost.extend(missing(&repaired.volumes, before.as_ref().ok(), &devices));
        if lost.is_empty() {
            return Ok(());
        }
        let lost = format!("the repaired metadata of pool {pool} is not all there was: {}", lost.join("; "));
        if repaired.whatever_is_lost {
            self.executed.warnings.push(lost);
            return Ok(());
        }
        Err(Refusal::new(ErrorKind::Corrupt, lost)
            .hint("--force uses it all the same; what is damaged is kept, too")
            .into())
    }
}

/// Volumes without a device, and those that map less than was said of them.
fn missing(volumes: &[(ThinId, LvName)], before: Option<&Devices>, now: &Devices) -> Vec<String> {
    let (mut gone, mut less) = (Vec::new(), Vec::new());
    for (id, name) in volumes {
        let had = before.and_then(|before| before.get(id)).map(|details| details.mapped_blocks);
        match (now.get(id).map(|details| details.mapped_blocks), had) {
            (None, _) => gone.push(name.to_string()),
            (Some(has), Some(had)) if has < had => less.push(format!("{name} maps {has} chunks of {had}")),
            (Some(_), _) => {}
        }
    }
    let gone = (!gone.is_empty()).then(|| format!("it has no device for {}", first_few(&gone, LISTED, ", ")));
    let less = (!less.is_empty()).then(|| first_few(&less, LISTED, ", "));
    gone.into_iter().chain(less).collect()
}

fn unread(pool: &str, error: &PoolReadError) -> StepError {
    let message = format!("the repaired copy of the metadata of pool {pool} cannot be read: {error}");
    by_hand(Refusal::new(ErrorKind::Corrupt, message)).into()
}

/// What is left to do where a repair does not come to anything.
fn by_hand(refusal: Refusal) -> Refusal {
    refusal.hint(
        "nothing is changed; the disks below, and newer thin-provisioning-tools, are what is left to try",
    )
}
