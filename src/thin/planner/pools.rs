//! Activates and deactivates devices, and the pools they need.

use super::devices::refuse;
use super::sequence::Sequence;
use crate::observed::PoolState;
use crate::plan::{Left, PoolExpectation, Purpose, Step};
use crate::pool_health::check_pool;
use crate::refusal::Refusal;
use crate::stack::{DeviceSpec, PoolStack, StackError};
use base::error_kind::ErrorKind;
use base::ids::LvName;
use dm::kernel::DeviceInfo;
use dm::name::{DmName, DmUuid, Layer};
use lvm2::format::model::{Lv, ThinPool};

impl Sequence<'_, '_> {
    /// Makes a pool's target run, or checks the one that does.
    pub(super) fn start_pool(&mut self, name: &LvName, purpose: Purpose) -> Result<(), Refusal> {
        if !self.running.insert(name.clone()) {
            return Ok(());
        }
        let (lv, pool) = self.draft.pool(name)?;
        let expect = self.expectation(&lv.name, pool.transaction_id, purpose);
        let shown = format!("{}/{name}", self.draft.vg().name);
        if !pool.messages.is_empty() {
            // Where the group can be written, recovery has cleared them by now.
            return Err(Refusal::rule(format!("the last transaction of pool {shown} is not finished"))
                .hint("it can be finished once the volume group can be changed again"));
        }
        if purpose >= Purpose::Change {
            self.draft.check_beneath(lv, pool, self.state(name)?)?;
        }
        let new_volumes = self.draft.pools.contains_key(name);
        let (stack, _) = if new_volumes && pool.transaction_id.0 == 0 {
            (self.draft.stacks().pool(lv, pool).map_err(|error| refuse(&error))?, false)
        } else {
            self.draft.pool_stack(lv, pool)?
        };
        match self.state(name)? {
            PoolState::Active(status) => {
                self.draft.check_transaction(lv, &expect)?;
                return check_pool(&shown, status, &expect);
            }
            PoolState::ActiveNew(status) if !new_volumes => return check_pool(&shown, status, &expect),
            PoolState::Inactive(_) => self.draft.check_transaction(lv, &expect)?,
            PoolState::ActiveNew(_) => {}
            PoolState::Unreadable(why) => self.draft.may_start(lv, why)?,
        }
        self.start_stack(name, &stack, expect)?;
        if matches!(self.state(name)?, PoolState::ActiveNew(_)) {
            self.bring_up(stack.pool)?;
            self.hold(name)?;
        }
        Ok(())
    }

    /// Brings a pool's devices up, checks its metadata in between, and what the target says afterwards. For a volume
    /// that may be activated its pool comes up, whatever the lists say of it; for messages it must be listed itself, as
    /// for lvm2: it may run on another host.
    pub(super) fn start_stack(
        &mut self,
        name: &LvName,
        stack: &PoolStack,
        expect: PoolExpectation,
    ) -> Result<(), Refusal> {
        let stopped = matches!(self.state(name)?, PoolState::Inactive(_) | PoolState::Unreadable(_));
        if stopped && expect.purpose >= Purpose::Change {
            self.draft.check_allowed(self.draft.pool(name)?.0)?;
        }
        if stopped {
            self.clear_parts(name, stack)?;
        }
        self.bring_up_parts(name, stack)?;
        self.plan.push(Step::ThinCheck { tmeta: stack.tmeta.clone() });
        self.bring_up(stack.tpool.clone())?;
        self.plan.push(Step::ExpectPool { tpool: stack.tpool.name.clone(), expect });
        self.users.entry(name.clone()).or_insert(0);
        Ok(())
    }

    /// Prepares a pool that never held a volume for its first one, as lvm2 does: the target under the pool LV's own
    /// name goes before the text is committed, and comes back under the `-tpool` name after it. So a crash leaves an
    /// inactive pool, which both the old and the new text allow, never a stack that contradicts the text.
    pub(super) fn take_over(&mut self, lv: &Lv, pool: &ThinPool, purpose: Purpose) -> Result<(), Refusal> {
        let shown = format!("{}/{}", self.draft.vg().name, lv.name);
        let expect = self.expectation(&lv.name, pool.transaction_id, purpose);
        self.draft.check_beneath(lv, pool, self.state(&lv.name)?)?;
        match self.state(&lv.name)? {
            PoolState::ActiveNew(status) => {
                check_pool(&shown, status, &expect)?;
                let stack = self.draft.stacks().new_pool(lv, pool).map_err(|error| refuse(&error))?;
                if let Some(device) = self.draft.observed.device(&stack.tpool.uuid) {
                    self.draft.check_unused(lv, device, 0)?;
                }
                self.take_down_new(&lv.name, &stack.tpool)
            }
            PoolState::Active(status) => {
                self.draft.check_transaction(lv, &expect)?;
                check_pool(&shown, status, &expect)
            }
            PoolState::Inactive(_) => self.draft.check_transaction(lv, &expect),
            PoolState::Unreadable(why) => self.draft.may_start(lv, why),
        }
    }

    /// Data and metadata that are active while their pool is stopped: a killed start leaves them, `lvchange -ay` of a
    /// part makes them, and so does lvm2's repair, whose `thin_repair` may outlive it and still read them. Those that
    /// are in use refuse the start, as with lvm2; the others go first, since they may be read-only, or show other
    /// extents than the text says.
    pub(super) fn clear_parts(&mut self, name: &LvName, stack: &PoolStack) -> Result<(), Refusal> {
        let observed = self.draft.observed;
        if observed.device(&stack.tpool.uuid).is_some_and(|device| device.live_table || device.inactive_table)
        {
            // It holds them itself: what a killed start of the pool leaves.
            return Ok(());
        }
        let vg = self.draft.vg();
        let (_, pool) = self.draft.pool(name)?;
        for (part, layer) in [(&pool.metadata, Layer::Tmeta), (&pool.data, Layer::Tdata)] {
            let Some(uuid) = vg.lv(part).map(|lv| DmUuid::of_lv(&vg.id, &lv.id, layer)) else { continue };
            let Some(device) = observed.device(&uuid) else { continue };
            if self.freed.contains(&device.name) || !device.live_table {
                continue;
            }
            if device.open_count > 0 {
                let (shown, part) = (format!("{}/{name}", vg.name), &device.name);
                let message =
                    format!("pool {shown} is not started while {part} is active and in use without it");
                return Err(Refusal::new(ErrorKind::Busy, message)
                    .hint("see what uses it, perhaps a thin_repair that goes on; let it end, then try again")
                    .busy_device(device.dev));
            }
            let parts = stack.parts.iter().flatten();
            if let Some(spec) = parts.map(|part| &part.top).find(|top| top.uuid == uuid) {
                self.take_down(&DeviceSpec { name: device.name.clone(), ..spec.clone() });
            }
        }
        Ok(())
    }

    /// Brings data and metadata up, unless they are: then it does not matter what they are made of.
    fn bring_up_parts(&mut self, name: &LvName, stack: &PoolStack) -> Result<(), Refusal> {
        let observed = self.draft.observed;
        let runs = |uuid: &DmUuid| observed.device(uuid).is_some_and(|device| device.live_table);
        match &stack.parts {
            Ok(parts) => {
                for part in parts {
                    if !runs(&part.top.uuid) || self.freed.contains(&part.top.name) {
                        part.below.iter().try_for_each(|spec| self.bring_up(spec.clone()))?;
                    }
                    self.bring_up(part.top.clone())?;
                }
                Ok(())
            }
            Err(error) => {
                let vg = self.draft.vg();
                let (_, pool) = self.draft.pool(name)?;
                let uuid = |lv: &LvName, layer| vg.lv(lv).map(|lv| DmUuid::of_lv(&vg.id, &lv.id, layer));
                let parts = [uuid(&pool.metadata, Layer::Tmeta), uuid(&pool.data, Layer::Tdata)];
                let run = parts.iter().flatten().filter(|uuid| runs(uuid)).count() == parts.len();
                if run { Ok(()) } else { Err(refuse(error)) }
            }
        }
    }

    /// Makes a device exist with its table, whatever part of the way it already is.
    pub(super) fn bring_up(&mut self, spec: DeviceSpec) -> Result<(), Refusal> {
        let there = self.draft.observed.device(&spec.uuid).filter(|_| !self.freed.contains(&spec.name));
        let named = |device: &DeviceInfo| self.renamed.get(&spec.uuid).unwrap_or(&device.name) == &spec.name;
        match there {
            Some(device) if named(device) && device.live_table => {}
            Some(device) if named(device) => self.plan.push(Step::ReloadDevice(spec)),
            found => {
                // Left by a crash under another name, without a table: it only keeps the uuid from being used.
                if let Some(left) = found.filter(|left| !left.live_table && !self.freed.contains(&left.name))
                {
                    self.plan
                        .push(Step::RemoveDevice(DeviceSpec { name: left.name.clone(), ..spec.clone() }));
                }
                if !self.freed.contains(&spec.name) {
                    self.draft.check_name_free(&spec)?;
                }
                self.plan.push_undoable(Step::CreateDevice(spec.clone()), vec![Step::RemoveDevice(spec)]);
            }
        }
        Ok(())
    }

    /// Takes the target of a pool down that is made anew for its first volume. dmeventd loses it with that: it is to
    /// watch the new one, or that of before if the change is taken back.
    pub(super) fn take_down_new(&mut self, name: &LvName, tpool: &DeviceSpec) -> Result<(), Refusal> {
        self.freed.insert(tpool.name.clone());
        let mut back = vec![Step::CreateDevice(tpool.clone())];
        if let Some(how) = self.draft.seen(name)?.watch.clone() {
            let pool = self.draft.vg().name.volume(name);
            let watch = Step::Watch { pool, tpool: tpool.uuid.clone(), how };
            back.push(watch.clone());
            self.watched.push(watch);
        }
        self.plan.push_undoable(Step::RemoveDevice(tpool.clone()), back);
        Ok(())
    }

    /// Has dmeventd watch what it watched before.
    pub(super) fn watch_again(&mut self) {
        std::mem::take(&mut self.watched).into_iter().for_each(|watch| self.plan.push(watch));
    }

    /// Makes a device go.
    pub(super) fn take_down(&mut self, spec: &DeviceSpec) {
        self.freed.insert(spec.name.clone());
        self.plan.push_undoable(Step::RemoveDevice(spec.clone()), vec![Step::CreateDevice(spec.clone())]);
    }

    /// A device under the name it has: that of its volume, or one of before a rename that could not be mended.
    pub(super) fn as_named(&self, spec: DeviceSpec) -> DeviceSpec {
        let observed = self.draft.observed;
        let is_it = |(_, uuid): &(&DmName, &Option<DmUuid>)| uuid.as_ref() == Some(&spec.uuid);
        let listed = observed.listed.iter().find(is_it).map(|(name, _)| name);
        let name = self.renamed.get(&spec.uuid).or(listed).unwrap_or(&spec.name).clone();
        DeviceSpec { name, ..spec }
    }

    /// Counts one more device on a pool's target.
    pub(super) fn hold(&mut self, name: &LvName) -> Result<(), Refusal> {
        *self.users_of(name)? += 1;
        Ok(())
    }

    /// Counts one device less on a pool's target.
    pub(super) fn release(&mut self, name: &LvName) -> Result<(), Refusal> {
        let users = self.users_of(name)?;
        *users = users.saturating_sub(1);
        Ok(())
    }

    /// What will be open on a pool's target, counted from what is open now.
    fn users_of(&mut self, name: &LvName) -> Result<&mut u32, Refusal> {
        if !self.users.contains_key(name) {
            let open = self.open_on(name)?;
            self.users.insert(name.clone(), open);
        }
        Ok(self.users.entry(name.clone()).or_default())
    }

    fn open_on(&self, name: &LvName) -> Result<u32, Refusal> {
        let (lv, pool) = self.draft.pool(name)?;
        let stack = self.draft.stacks().pool(lv, pool).map_err(|error| refuse(&error))?;
        Ok(self.draft.observed.device(&stack.tpool.uuid).map_or(0, |device| device.open_count))
    }

    pub(super) fn deactivations(&mut self) -> Result<(), Refusal> {
        for name in self.draft.deactivate.iter() {
            if self.draft.removed.contains(name) || self.reshaping.covers(name) {
                continue;
            }
            let lv = self.draft.before(name)?;
            match (lv.thin_pool(), lv.thin()) {
                (Some(pool), _) => self.deactivate_pool(lv, pool)?,
                (None, thin) => {
                    let spec = self.draft.stacks().volume_to_take_down(lv).map_err(|error| refuse(&error))?;
                    let device = self.draft.observed.device(&spec.uuid);
                    if let Some(ground) = self.ground_of(lv) {
                        self.step_off(&ground, u32::from(device.is_some()))?;
                    }
                    if let Some(device) = device {
                        self.draft.check_unused(lv, device, 0)?;
                        self.take_down(&DeviceSpec { name: device.name.clone(), ..spec });
                        if let Some(thin) = thin {
                            self.release(&thin.pool)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn deactivate_pool(&mut self, lv: &Lv, pool: &ThinPool) -> Result<(), Refusal> {
        let (stack, new) = self.draft.pool_stack(lv, pool)?;
        if new && self.draft.pools.contains_key(&lv.name) {
            // It has its layers by now, and perhaps its first volume on them.
            self.users_of(&lv.name)?;
        } else if new {
            let open = self.draft.observed.device(&stack.tpool.uuid);
            self.users.insert(lv.name.clone(), open.map_or(0, |device| device.open_count));
        } else if let Some(device) = self.draft.observed.device(&stack.pool.uuid) {
            self.draft.check_unused(lv, device, 0)?;
            self.take_down(&self.as_named(stack.pool));
            self.release(&lv.name)?;
        } else {
            let open = self.open_on(&lv.name)?;
            self.users.entry(lv.name.clone()).or_insert(open);
        }
        Ok(())
    }

    pub(super) fn activations(&mut self) -> Result<(), Refusal> {
        let draft = self.draft;
        for name in draft.activate.iter().filter(|name| !draft.with_all.contains(*name)) {
            self.activation(name)?;
        }
        self.activate_the_rest()
    }

    /// Brings up what a volume needs, and its device.
    pub(super) fn activation(&mut self, name: &LvName) -> Result<(), Refusal> {
        if self.reshaping.covers(name) {
            return Ok(());
        }
        let lv = self.draft.before(name)?;
        match (lv.thin_pool(), lv.thin()) {
            (Some(pool), _) => {
                let (_, is_new) = self.draft.pool_stack(lv, pool)?;
                self.start_pool(name, Purpose::Activation)?;
                // Its first volume gives it its layers, and a device of its own; one that ran before has got it.
                let gets_layers = self.draft.pools.contains_key(name)
                    && !matches!(self.state(name)?, PoolState::ActiveNew(_));
                if !is_new || gets_layers {
                    self.bring_up(self.stack_at_end(lv, pool)?.pool)?;
                }
                self.hold(name)
            }
            (None, Some(thin)) => {
                let altered = self.reshaping.wanted(name).cloned();
                let spec = altered.map_or_else(|| self.draft.stacks().volume(lv), Ok);
                let spec = spec.map_err(|error| refuse(&error))?;
                self.start_pool(&thin.pool, Purpose::Activation)?;
                self.stand(lv)?;
                self.bring_up(spec)?;
                self.hold(&thin.pool)
            }
            (None, None) => {
                let spec = self.draft.stacks().volume(lv).map_err(|error| refuse(&error))?;
                self.stand(lv)?;
                self.bring_up(spec)
            }
        }
    }

    /// Stops pools that the plan started or emptied and that nothing stands on any more, as lvm2 does.
    pub(super) fn stop_idle_pools(&mut self) -> Result<(), Refusal> {
        let idle: Vec<LvName> =
            self.users.iter().filter(|(_, open)| **open == 0).map(|(name, _)| name.clone()).collect();
        for name in idle {
            let (lv, pool) = self.draft.pool(&name)?;
            let stack = self.stack_at_end(lv, pool)?;
            if self.running.contains(&name) || self.draft.pool_runs(&name)? {
                match &stack.parts {
                    Ok(_) => {
                        self.take_down(&self.as_named(stack.tpool.clone()));
                        stack
                            .part_devices()
                            .rev()
                            .for_each(|spec| self.take_down(&self.as_named(spec.clone())));
                    }
                    Err(why) => self.stays(lv, &stack, why),
                }
            } else if self.draft.deactivate.contains(&name) {
                match &stack.parts {
                    Ok(_) => self.take_down_parts(lv, &stack)?,
                    Err(why) if self.draft.has_device(lv) => self.parts_stay(lv, why),
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Data and metadata that are active without their pool, after a crash, go with it.
    fn take_down_parts(&mut self, lv: &Lv, stack: &PoolStack) -> Result<(), Refusal> {
        for spec in stack.part_devices().rev() {
            let Some(device) = self.draft.observed.device(&spec.uuid) else { continue };
            // What stands on a part has gone before it.
            if stack.parts.iter().flatten().any(|part| part.top.uuid == spec.uuid) {
                self.draft.check_unused(lv, device, 0)?;
            }
            self.take_down(&DeviceSpec { name: device.name.clone(), ..spec.clone() });
        }
        Ok(())
    }

    /// A pool that nothing stands on any more and that lies on what only lvm2 starts and stops. Where it is to be
    /// deactivated its target goes: lvm2 stops the rest only without one that has no volumes. Else it goes on running,
    /// for thinvol could not start it again.
    fn stays(&mut self, lv: &Lv, stack: &PoolStack, why: &StackError) {
        let shown = format!("{}/{}", self.draft.vg().name, lv.name);
        if self.draft.deactivate.contains(&lv.name) {
            self.take_down(&self.as_named(stack.tpool.clone()));
            self.parts_stay(lv, why);
        } else {
            let hint = format!("'thinvol deactivate {shown}', then 'lvchange -an {shown}' stop it");
            self.plan.warnings.push(format!("pool {shown} stays active: {why}; {hint}"));
        }
    }

    fn parts_stay(&mut self, lv: &Lv, why: &StackError) {
        let shown = format!("{}/{}", self.draft.vg().name, lv.name);
        let message = format!("data and metadata of pool {shown} stay active: {why}");
        // Since 2.03.31 lvm2 stops them with the whole group only, and complains.
        let hint = format!("'lvchange -an {shown}' or 'vgchange -an {}' stops them", self.draft.vg().name);
        let refusal = Refusal::new(ErrorKind::Unsupported, message).hint(hint);
        self.plan.left.push(Left::of(&refusal, self.draft.place_of(&lv.name), vec![lv.name.clone()]));
    }

    /// The stack a pool has once the plan's transaction is through: the first one gives a new pool its layers.
    fn stack_at_end(&self, lv: &Lv, pool: &ThinPool) -> Result<PoolStack, Refusal> {
        if self.draft.pools.contains_key(&lv.name) {
            return self.draft.stacks().pool(lv, pool).map_err(|error| refuse(&error));
        }
        self.draft.pool_stack(lv, pool).map(|(stack, _)| stack)
    }
}
