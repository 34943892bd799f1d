//! A pool that dmeventd watches gets its layers with its first volume: it is watched on, also if that is taken back.

use std::collections::BTreeMap;

use dm::kernel::Verb;
use dm::name::{DmUuid, Layer};
use dm::sim::{Fault, FaultKind, When};
use dm_tests::world::asks::{activate, create};
use dm_tests::world::text::POOL;
use dm_tests::world::{World, lv};
use lvm2::format::monitoring::Registration;
use nix::errno::Errno;
use thin::internals::plan::Step;

use super::kernel;

/// A machine with a fresh pool that is active, and watched.
fn watched() -> (World, DmUuid, Registration) {
    let world = World::new(1);
    world.run(&[activate(POOL)]).expect("the simulated machine has it");
    let vg = world.metadata().vg;
    let tpool =
        DmUuid::of_lv(&vg.id, &vg.lv(&lv(POOL)).expect("the simulated machine has it").id, Layer::Tpool);
    let how =
        Registration { library: "libdevmapper-event-lvm2thin.so".into(), events: 65_280, timeout_s: 10 };
    let all = BTreeMap::from([(tpool.clone(), how.clone())]);
    world.machine.host.set(|host| host.watched = Some(all));
    (world, tpool, how)
}

/// What is watched, and how often dmeventd was told to.
fn now(world: &World) -> (BTreeMap<DmUuid, Registration>, usize) {
    let state = world.machine.host.state();
    (state.watched.expect("the simulated machine has it"), state.registrations)
}

#[test]
fn a_pool_is_watched_on_with_its_layers() {
    let (world, tpool, how) = watched();
    let plan = world.plan(&[create("a", true)]).unwrap();
    let is_watch = |step: &Step| matches!(step, Step::Watch { .. });
    assert_eq!(plan.steps.iter().filter(|planned| is_watch(&planned.step)).count(), 1, "{plan}");
    world.run(&[create("a", true)]).unwrap();
    assert_eq!(now(&world), (BTreeMap::from([(tpool, how)]), 1));
}

#[test]
fn a_pool_is_watched_again_when_its_layers_are_taken_back() {
    let (world, tpool, how) = watched();
    let plan = world.plan(&[create("a", true)]).unwrap();
    let back =
        plan.steps.iter().find(|planned| planned.undo.iter().any(|step| matches!(step, Step::Watch { .. })));
    assert!(matches!(back.unwrap().step, Step::RemoveDevice(_)), "{plan}");
    let kind = FaultKind::Errno(Errno::EINVAL);
    kernel(&world).inject(Fault { verb: Some(Verb::Message), nth: 3, when: When::Before, kind });
    world.run(&[create("a", true)]).unwrap_err();
    assert_eq!(now(&world), (BTreeMap::from([(tpool, how)]), 1));
}

#[test]
fn one_that_nobody_watches_stays_so() {
    let (world, ..) = watched();
    world.machine.host.set(|host| host.watched = Some(BTreeMap::new()));
    world.run(&[create("a", true)]).unwrap();
    assert_eq!(now(&world), (BTreeMap::new(), 0));
}
