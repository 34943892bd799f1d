//! Requests about pools and volumes, drawn at random and made one after another on one machine: pools come, grow,
//! change, are checked, repaired and go, with volumes in them that come and go. After each the machine is at rest, what
//! is refused has changed nothing, and what volumes hold is what they held.

use std::collections::BTreeMap;

use base::error_chain::in_words;
use base::error_kind::ErrorKind;
use base::ids::LvmUuid;
use base::units::Sectors;
use dm::kernel::Kernel as _;
use dm_tests::random::Random;
use dm_tests::world::asks::{
    SIZE, Start, activate, create_in, create_pool, deactivate, remove, resize, roll_back, snapshot,
};
use dm_tests::world::rest::{at_rest, contents, devices_match, no_layer_alone};
use dm_tests::world::text::EXTENT;
use dm_tests::world::{World, lv};
use lvm2::format::model::{Lv, Vg};
use thin::internals::request::{GrowPool, RemovePool, RepairPool, Request, SetPool, Space};

/// How many sequences are drawn unless `THINVOL_SEQUENCES` says otherwise.
const SEQUENCES: usize = 12;

/// How many requests each has.
const LENGTH: usize = 25;

fn more(random: &mut Random, of: usize) -> Option<Space> {
    let extents = u64::try_from(random.below(of)).expect("a small number");
    (extents > 0).then(|| Space::By(Sectors::new(extents * EXTENT)))
}

/// A request about a pool.
fn about_pool(random: &mut Random, pool: &str, fresh: &str) -> Request {
    match random.below(7) {
        0 => create_pool(fresh, 2, random.below(2) == 0),
        1 | 2 => Request::GrowPool(GrowPool {
            pool: lv(pool),
            data: more(random, 3),
            metadata: more(random, 2),
            on: Vec::new(),
        }),
        3 => Request::SetPool(SetPool {
            pool: lv(pool),
            discards: None,
            zero: Some(random.below(2) == 0),
            error_when_full: Some(random.below(2) == 0),
            rules: Vec::new(),
        }),
        4 => Request::RemovePool(RemovePool { pool: lv(pool), with_volumes: random.below(3) == 0 }),
        5 => Request::CheckPool { pool: lv(pool), clear_mark: random.below(2) == 0 },
        _ => Request::RepairPool(RepairPool { pool: lv(pool), force: true, on: Vec::new() }),
    }
}

/// A request about a volume.
fn about_volume(random: &mut Random, (pool, volume, other): (&str, &str, &str), fresh: &str) -> Request {
    match random.below(8) {
        0 | 1 => create_in(pool, fresh, SIZE, random.below(2) == 0),
        2 => snapshot(volume, fresh),
        3 => remove(volume),
        4 => resize(volume, 3, false),
        5 => roll_back(volume, other),
        6 => activate(volume),
        _ => deactivate(volume),
    }
}

fn drawn(random: &mut Random, vg: &Vg, step: usize) -> Request {
    let pools: Vec<&Lv> = vg.pools().map(|(pool, _)| pool).collect();
    let volumes: Vec<&Lv> = vg.lvs.iter().filter(|lv| lv.thin().is_some()).collect();
    let name = |of: Option<&&Lv>| of.map_or("none".to_owned(), |lv| lv.name.to_string());
    let pool = name(random.pick(&pools));
    let [volume, other] = [name(random.pick(&volumes)), name(random.pick(&volumes))];
    match random.below(5) {
        0 => Request::DeactivateAll,
        1 | 2 => about_pool(random, &pool, &format!("p{step}")),
        _ => about_volume(random, (&pool, &volume, &other), &format!("v{step}")),
    }
}

/// What the volumes hold, by their identities: a rollback changes it, nothing else does.
fn held(world: &World, but: Option<&str>) -> Result<BTreeMap<LvmUuid, Vec<u64>>, String> {
    let vg = world.metadata().vg;
    let all = contents(world)?;
    let of = |lv: &Lv| Some((lv.id, all.get(&lv.name)?.clone()));
    Ok(vg.lvs.iter().filter(|lv| Some(lv.name.as_str()) != but).filter_map(of).collect())
}

/// Makes one request. Says whether it was granted.
fn make(world: &World, request: &Request) -> Result<bool, String> {
    let rolled_back = match request {
        Request::Rollback { name, .. } => Some(name.as_str()),
        _ => None,
    };
    let before = (held(world, rolled_back)?, world.metadata().to_disk());
    let devices = || world.machine.kernel.list().map_err(|error| error.to_string());
    let were = devices()?;
    let ran = world.run(std::slice::from_ref(request));
    match &ran {
        Err(error) if error.kind() == ErrorKind::Partial => return Err(in_words(error)),
        Err(error) if world.metadata().to_disk() != before.1 || devices()? != were => {
            return Err(format!("'{}' changed something", in_words(error)));
        }
        _ => {}
    }
    at_rest(world)?;
    devices_match(world)?;
    no_layer_alone(world)?;
    let now = held(world, rolled_back)?;
    for (id, held) in before.0.iter().filter(|(id, _)| now.contains_key(*id)) {
        if now[id] != *held {
            return Err(format!("volume {id} held {held:?} and holds {:?}", now[id]));
        }
    }
    if let Some(found) = world.fork().recover().map_err(|error| in_words(&error))?.recovered.first() {
        return Err(format!("recovery finds something: {found}"));
    }
    Ok(ran.is_ok())
}

#[test]
fn sequences_of_pool_and_volume_requests_leave_the_machine_at_rest() {
    let count = std::env::var("THINVOL_SEQUENCES").ok();
    let count = count.map_or(SEQUENCES, |text| text.parse().expect("THINVOL_SEQUENCES is a number"));
    let mut granted: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..count {
        let mut random = Random::new(&format!("sequence {seed}"));
        let start = [Start::Used, Start::TwoPools, Start::Stopped, Start::SecondFresh][seed % 4];
        let world = start.world(1);
        let mut made: Vec<Request> = Vec::new();
        for step in 0..LENGTH {
            let request = drawn(&mut random, &world.metadata().vg, step);
            made.push(request.clone());
            match make(&world, &request) {
                Ok(true) => {
                    let kind = format!("{request:?}");
                    let kind = kind.split([' ', '(']).next().unwrap_or_default().to_owned();
                    *granted.entry(kind).or_default() += 1;
                }
                Ok(false) => {}
                Err(why) => panic!("sequence {seed}: {why}\nafter {made:#?}"),
            }
        }
    }
    println!("granted: {granted:?}");
    for kind in
        ["CreatePool", "GrowPool", "SetPool", "RemovePool", "RepairPool", "CheckPool", "Create", "Snapshot"]
    {
        assert!(granted.get(kind).is_some_and(|count| *count > 0), "no {kind} was granted: {granted:?}");
    }
}
