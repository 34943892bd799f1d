//! A whole volume group: everything that can be activated is; a problem of one volume does not stop the others and is
//! reported.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, PoolChange};
use super::sequence::Sequence;
use crate::plan::{Apart, Left, Planned, Purpose, Step};
use crate::refusal::Refusal;
use crate::stack::DeviceSpec;
use base::error_kind::ErrorKind;
use base::first_few::first_few;
use base::ids::{LvName, LvmUuid};
use dm::kernel::DeviceInfo;
use dm::name::{DmName, DmUuid, Layer};

/// More names than this are counted, not listed.
const NAMED: usize = 8;

impl<'a> Draft<'a> {
    /// The devices of spares for pools' metadata, which only repairs have.
    pub(super) fn spare_devices(&self) -> Vec<(DeviceSpec, &'a DeviceInfo)> {
        let spares = self.vg().lvs.others().filter(|lv| lv.is_metadata_spare());
        let specs = spares.filter_map(|lv| self.stacks().hidden(lv).ok());
        specs
            .filter_map(|spec| {
                let device = self.observed.device(&spec.uuid)?;
                Some((spec, device))
            })
            .collect()
    }
}

impl Sequence<'_, '_> {
    /// Activates what comes only because all do: each pool with its volumes, and each volume, apart from the others.
    pub(super) fn activate_the_rest(&mut self) -> Result<(), Refusal> {
        let draft = self.draft;
        let mut groups: Vec<(Option<&LvName>, Vec<&LvName>)> = Vec::new();
        let mut places: BTreeMap<&LvName, usize> = BTreeMap::new();
        for name in draft.activate.iter().filter(|name| draft.with_all.contains(*name)) {
            let lv = draft.before(name)?;
            let pool = lv.thin().map(|thin| &thin.pool).or_else(|| lv.thin_pool().map(|_| &lv.name));
            match pool.and_then(|pool| places.get(pool)) {
                Some(place) => groups[*place].1.push(name),
                None => {
                    places.extend(pool.map(|pool| (pool, groups.len())));
                    groups.push((pool, vec![name]));
                }
            }
        }
        self.shared_grounds(&groups);
        for (pool, names) in groups {
            match pool {
                Some(pool) => self.activate_pool_and(pool, &names),
                None => names.into_iter().for_each(|name| self.activate_apart(name)),
            }
        }
        Ok(())
    }

    /// What volumes of several pools read from comes first, apart from them: it must not go with the first pool that
    /// fails.
    fn shared_grounds(&mut self, groups: &[(Option<&LvName>, Vec<&LvName>)]) {
        let mut users: BTreeMap<LvName, usize> = BTreeMap::new();
        for (_, names) in groups {
            let grounds = names.iter().filter_map(|name| self.ground_of(self.draft.vg().lv(name)?));
            for ground in grounds.collect::<BTreeSet<_>>() {
                *users.entry(ground).or_default() += 1;
            }
        }
        for ground in users.into_iter().filter(|(_, users)| *users > 1).map(|(ground, _)| ground) {
            let shown = self.draft.vg().name.volume(&ground);
            self.apart(format!("activate what reads {shown}"), &ground, &[], |sequence| {
                sequence.stand_on(&ground)?;
                sequence.step_off(&ground, 1)
            });
        }
    }

    /// A pool that has to be started and its volumes fail together; each volume of one that runs fails by itself.
    fn activate_pool_and(&mut self, pool: &LvName, names: &[&LvName]) {
        let shown = self.draft.vg().name.volume(pool);
        let what = format!("start pool {shown} and activate what is in it");
        self.apart(what, pool, names, |sequence| {
            sequence.start_pool(pool, Purpose::Activation)?;
            names.iter().for_each(|name| sequence.activate_apart(name));
            Ok(())
        });
    }

    fn activate_apart(&mut self, name: &LvName) {
        let what = format!("activate {}", self.draft.vg().name.volume(name));
        self.apart(what, name, &[name], |sequence| sequence.activation(name));
    }

    /// Plans steps that nothing else depends on. What cannot be planned is left, and is said.
    fn apart(
        &mut self,
        what: String,
        about: &LvName,
        lvs: &[&LvName],
        work: impl FnOnce(&mut Self) -> Result<(), Refusal>,
    ) {
        let (users, running, freed) = (self.users.clone(), self.running.clone(), self.freed.clone());
        let grounds = self.grounds.clone();
        let (start, left) = (self.plan.steps.len(), self.plan.left.len());
        let request = self.draft.all_up;
        let lvs: Vec<LvName> = lvs.iter().map(|lv| (*lv).clone()).collect();
        if let Err(refusal) = work(self) {
            self.plan.steps.truncate(start);
            self.plan.left.truncate(left);
            (self.users, self.running, self.freed, self.grounds) = (users, running, freed, grounds);
            let message = format!("{}/{about} is left inactive: {refusal}", self.draft.vg().name);
            self.plan.left.push(Left::of(&Refusal { message, ..refusal }, request, lvs));
            return;
        }
        let steps = self.plan.steps.split_off(start);
        let only_apart = steps.iter().all(|planned| matches!(planned.step, Step::Apart(_)));
        if only_apart {
            self.plan.steps.extend(steps);
        } else {
            let step = Step::Apart(Apart { request, what, lvs, steps });
            self.plan.steps.push(Planned { step, undo: Vec::new() });
        }
    }

    /// The LVs whose devices are to be there although all go, for the batch asks for more than that: what it activates,
    /// alters or adds, with all that it lies on.
    fn wanted(&self) -> BTreeSet<LvmUuid> {
        let draft = self.draft;
        let active = |change: &&PoolChange| change.new.iter().any(|new| new.activate);
        let pools = draft.pools.iter().filter(|(_, change)| active(change)).map(|(pool, _)| pool);
        let altered = draft.altered.keys().filter(|name| self.stays_up(name));
        let mut ahead: Vec<&LvName> = draft.activate.iter().chain(altered).chain(pools).collect();
        let mut wanted = BTreeSet::new();
        while let Some(lv) = ahead.pop().and_then(|name| draft.vg().lv(name)) {
            if wanted.insert(lv.id) {
                ahead.extend(lv.thin().map(|thin| &thin.pool));
                ahead.extend(lv.thin().and_then(|thin| thin.external_origin.as_ref()));
                ahead.extend(lv.thin_pool().into_iter().flat_map(|pool| [&pool.metadata, &pool.data]));
                ahead.extend(lv.legs().iter().flat_map(|leg| [&leg.metadata, &leg.data]));
            }
        }
        wanted
    }

    /// Whether a volume has a device, and keeps it.
    fn stays_up(&self, name: &LvName) -> bool {
        let Some(lv) = self.draft.vg().lv(name) else { return false };
        let uuid = DmUuid::of_lv(&self.draft.vg().id, &lv.id, Layer::Plain);
        let device = self.draft.observed.device(&uuid);
        device.is_some_and(|device| !self.freed.contains(self.renamed.get(&uuid).unwrap_or(&device.name)))
    }

    /// Takes down what a killed repair of lvm2's leaves active and nobody uses: the spare for pools' metadata. One
    /// that is open, as by a `thin_repair` that goes on, is said to stay.
    pub(super) fn take_down_spare(&mut self) {
        if self.draft.all_down.is_none() {
            return;
        }
        for (spec, device) in self.draft.spare_devices() {
            if device.open_count == 0 {
                self.take_down(&DeviceSpec { name: device.name.clone(), ..spec });
            }
        }
    }

    /// After everything was to be deactivated: the devices of the volume group that the plan does not remove.
    pub(super) fn say_what_stays_active(&mut self) {
        let Some(request) = self.draft.all_down else { return };
        let vg = self.draft.vg();
        let wanted = self.wanted();
        let stays = |(name, uuid): (&'_ DmName, &'_ Option<DmUuid>)| {
            let uuid = uuid.as_ref()?;
            let parts = uuid.lvm_parts().ok().filter(|parts| parts.vg == vg.id)?;
            let name = self.renamed.get(uuid).unwrap_or(name);
            (!wanted.contains(&parts.lv) && !self.freed.contains(name)).then(|| name.as_str().to_owned())
        };
        let stay: Vec<String> = self.draft.observed.listed.iter().filter_map(stays).collect();
        if stay.is_empty() {
            return;
        }
        let named = first_few(&stay, NAMED, ", ");
        let message = format!("{} devices of volume group {} stay: {named}", stay.len(), vg.name);
        let refusal = Refusal::new(ErrorKind::Busy, message)
            .hint(format!("'vgchange -an {}' deactivates what is lvm2's", vg.name));
        self.plan.left.push(Left::of(&refusal, request, Vec::new()));
    }
}
