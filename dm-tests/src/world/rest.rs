//! A volume group at rest: text and kernel agree, nothing is pending, and the volumes hold what they should.

use std::collections::{BTreeMap, BTreeSet};

use base::ids::{LvName, LvmUuid, ThinId, TransactionId};
use dm::kernel::Kernel as _;
use dm::name::{DmUuid, Layer};
use lvm2::format::model::{Lv, SegmentKind, Vg};
use thin::EngineError;
use thin::internals::request::Request;
use thin::internals::stack::{DevRef, DeviceSpec, Stacks};

use super::asks::{SECTORS, activate_anyway};
use super::place::metadata_place;
use super::tape::Tape;
use super::text::VG;
use super::{World, machine};
use base::error_chain::in_words;

/// What the volumes' sectors hold.
pub type Contents = BTreeMap<LvName, Vec<u64>>;

/// The volumes of a volume group and what they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The thin volumes' records, by name.
    pub volumes: BTreeMap<LvName, Lv>,
    /// What they hold.
    pub contents: Contents,
    /// The other LVs, whatever transaction the pools are at.
    pub ground: BTreeMap<LvName, Lv>,
}

/// The thin volumes' records.
pub fn volumes(vg: &Vg) -> BTreeMap<LvName, Lv> {
    let thins = vg.lvs.iter().filter(|lv| lv.thin().is_some());
    thins.map(|lv| (lv.name.clone(), lv.clone())).collect()
}

/// Everything that thin volumes stand on, without what each change of them changes.
pub fn ground(vg: &Vg) -> BTreeMap<LvName, Lv> {
    let others = vg.lvs.iter().filter(|lv| lv.thin().is_none());
    let still = |lv: &Lv| {
        let mut lv = lv.clone();
        for segment in &mut lv.segments {
            if let SegmentKind::ThinPool(pool) = &mut segment.kind {
                (pool.transaction_id, pool.messages) = (TransactionId(0), Vec::new());
            }
        }
        lv
    };
    others.map(|lv| (lv.name.clone(), still(lv))).collect()
}

impl Expect {
    /// What a world that is at rest holds.
    ///
    /// # Errors
    /// What is not at rest.
    pub fn of(world: &World) -> Result<Self, String> {
        let vg = at_rest(world)?;
        Ok(Self { volumes: volumes(&vg), contents: contents(world)?, ground: ground(&vg) })
    }

    /// The same without some volumes.
    pub fn without(mut self, names: &[&str]) -> Self {
        self.volumes.retain(|name, _| !names.contains(&name.as_str()));
        self.contents.retain(|name, _| !names.contains(&name.as_str()));
        self
    }
}

/// Checks that nothing is pending and the pools hold what the text names, and nothing else; returns what the text says.
///
/// # Errors
/// What is not at rest.
pub fn at_rest(world: &World) -> Result<Vg, String> {
    match at_rest_but(world)? {
        (vg, strangers) if strangers.is_empty() => Ok(vg),
        (_, strangers) => Err(format!("thin devices belong to no volume: {strangers:?}")),
    }
}

/// The same for pools that may hold more, which is returned as well.
///
/// # Errors
/// What is not at rest.
pub fn at_rest_but(world: &World) -> Result<(Vg, BTreeSet<ThinId>), String> {
    let mut strangers = BTreeSet::new();
    let store = world.open(&Tape::new(&world.machine, false));
    if let Some(issue) = store.issues().first() {
        return Err(format!("the metadata areas: {issue}"));
    }
    let vg = world.metadata().vg;
    for (lv, pool) in vg.pools() {
        if !pool.messages.is_empty() {
            return Err(format!("messages are left: {:?}", pool.messages));
        }
        let pvs = machine::pvs(world.machine.disks.len());
        let place = metadata_place(&vg, pool, &pvs).ok_or("the pool's metadata is nowhere")?;
        let (kernel, devices) = world.machine.kernel.metadata_on_disk(place.0, place.1).unwrap_or_default();
        if kernel != pool.transaction_id.0 {
            return Err(format!(
                "the kernel is at transaction {kernel}, the text at {}",
                pool.transaction_id
            ));
        }
        let text: BTreeSet<ThinId> = vg.thins_of(&lv.name).map(|(_, thin)| thin.device_id).collect();
        let devices: BTreeSet<ThinId> = devices.into_keys().collect();
        if !text.is_subset(&devices) {
            return Err(format!("the text has thin devices {text:?}, the kernel {devices:?}"));
        }
        strangers.extend(devices.difference(&text));
    }
    unharmed(world)?;
    Ok((vg, strangers))
}

/// Checks that each device of a volume or pool that is there has the name, the table and the mode that the text says.
///
/// # Errors
/// The first that differs.
pub fn devices_match(world: &World) -> Result<(), String> {
    let (vg, kernel) = (world.metadata().vg, &world.machine.kernel);
    let lists = world.lists();
    let stacks = Stacks::new(&vg, world.threshold()).with_lists(&lists);
    let pvs = machine::pvs(world.machine.disks.len());
    let mut specs = Vec::new();
    for (lv, pool) in vg.pools() {
        let new = pool.transaction_id.0 == 0;
        let stack = if new { stacks.new_pool(lv, pool) } else { stacks.pool(lv, pool) };
        let stack = stack.map_err(|error| error.to_string())?;
        specs.extend(stack.part_devices().cloned());
        specs.push(stack.tpool.clone());
    }
    for lv in vg.lvs.iter().filter(|lv| lv.thin().is_some()) {
        specs.push(stacks.volume(lv).map_err(|error| error.to_string())?);
    }
    for spec in specs {
        let device = kernel.info_by_uuid(&spec.uuid).map_err(|error| error.to_string())?;
        let Some(device) = device else { continue };
        // A repair reads it so; the next start of the pool, which does not run meanwhile, makes it anew.
        let is_being_repaired = device.read_only && spec.uuid.as_str().ends_with("-tmeta");
        let spec = DeviceSpec { read_only: spec.read_only || is_being_repaired, ..spec };
        let table = spec.table(|dev| match dev {
            DevRef::Device(name) => kernel.info(name).ok().flatten().map(|info| info.dev).ok_or("no pool"),
            DevRef::Pv(key) => {
                let pv = vg.pv(key).and_then(|pv| pvs.get(&pv.id));
                pv.copied().ok_or("no such disk")
            }
        })?;
        let mut live = kernel.table(&device.name).map_err(|error| error.to_string())?;
        // The kernel puts a blank behind each of a pool's words.
        live.iter_mut().for_each(|line| line.params.truncate(line.params.trim_end().len()));
        let is = (device.name.as_str(), live, device.read_only, device.inactive_table);
        let should = (spec.name.as_str(), table.0, spec.read_only, false);
        if is != should {
            return Err(format!("the device of {} is {is:?} instead of {should:?}", spec.lv));
        }
    }
    Ok(())
}

/// The thin volumes that have a device, by their uuids: a name may change.
///
/// # Errors
/// If the kernel does not answer.
pub fn active(world: &World) -> Result<BTreeSet<LvmUuid>, String> {
    let vg = world.metadata().vg;
    let mut active = BTreeSet::new();
    for lv in vg.lvs.iter().filter(|lv| lv.thin().is_some()) {
        let uuid = DmUuid::of_lv(&vg.id, &lv.id, Layer::Plain);
        if world.machine.kernel.info_by_uuid(&uuid).map_err(|error| error.to_string())?.is_some() {
            active.insert(lv.id);
        }
    }
    Ok(active)
}

/// Checks that no layer of a pool is there that nothing stands on: whoever takes the last volume down takes them, too.
///
/// # Errors
/// The first that is.
pub fn no_layer_alone(world: &World) -> Result<(), String> {
    let kernel = &world.machine.kernel;
    for listed in kernel.list().map_err(|error| error.to_string())? {
        let uuid = listed.uuid.as_ref().map(|uuid| uuid.as_str()).unwrap_or_default();
        let is_layer = ["-tdata", "-tmeta", "-tpool", "-real"].iter().any(|layer| uuid.ends_with(layer));
        // A pool that never held a volume is shown by its layer itself.
        let is_shown = uuid.ends_with("-tpool") && !listed.name.as_str().ends_with("-tpool");
        let openers = kernel.info(&listed.name).map_err(|error| error.to_string())?;
        if is_layer && !is_shown && openers.is_some_and(|device| device.open_count == 0) {
            return Err(format!("{} is left, and nothing stands on it", listed.name));
        }
    }
    Ok(())
}

/// Checks that nothing is suspended and nobody did what nobody may do.
///
/// # Errors
/// The first violation.
pub fn unharmed(world: &World) -> Result<(), String> {
    world.machine.kernel.violations().first().map_or(Ok(()), |violation| Err(violation.to_string()))
}

/// What all thin volumes hold, read on a machine of its own where all are active.
///
/// # Errors
/// If one cannot be activated.
pub fn contents(world: &World) -> Result<Contents, String> {
    let fork = world.fork();
    let names: Vec<LvName> = volumes(&fork.metadata().vg).into_keys().collect();
    let all: Vec<Request> = names.iter().map(|name| activate_anyway(name.as_str())).collect();
    if !all.is_empty() {
        fork.run(&all).map_err(|error| format!("the volumes cannot be activated: {}", in_words(&error)))?;
    }
    let contents = fork.read_active(&names, &SECTORS);
    if contents.len() != names.len() {
        return Err(format!("of {} volumes {} can be read", names.len(), contents.len()));
    }
    Ok(contents)
}

/// Whether an error says which group it is about: who works on several must know in which one to look. One that
/// device-mapper as a whole causes is about none.
pub fn names_group(error: &EngineError) -> bool {
    let message = error.to_string();
    let named = [format!("{VG}/"), format!("volume group {VG}")];
    named.iter().any(|named| message.contains(named)) || message == "device-mapper does not answer"
}
