//! The planner by itself: random requests to random machines. Every plan keeps the rules that docs/transactions.md
//! rests on; what was planned is what is done; what is refused changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use base::error_chain::in_words;
use base::ids::{LvName, ThinId};
use base::units::Sectors;
use dm::kernel::{Kernel as _, Verb};
use dm::name::DmName;
use dm_tests::world::asks::{
    SIZE, Start, activate, activate_anyway, clone, create_in, deactivate, remove, rename, roll_back, snapshot,
};
use dm_tests::world::rest::{at_rest, names_group, no_layer_alone};
use dm_tests::world::text::{POOL, POOL_2};
use dm_tests::world::{World, device, lv};
use lvm2::format::metadata::Metadata;
use lvm2::format::model::{PoolMessage, Vg};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, TestCaseError, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use thin::Plan;
use thin::changes::NewSize;
use thin::internals::plan::{Commit, Message, Planned, Send, Step};
use thin::internals::request::{Attributes, Request};

#[path = "planner/in_turn.rs"]
mod in_turn;

/// Names that requests use: volumes that machines start with, new ones, pools, one nobody has and one nobody may have.
const NAMES: [&str; 11] = ["a", "b", "s", "c", "n", "m", "o", POOL, POOL_2, "nobody", "x_tmeta"];

fn name() -> impl Strategy<Value = &'static str> {
    (0..NAMES.len()).prop_map(|place| NAMES[place])
}

fn request() -> impl Strategy<Value = Request> {
    let pool = prop_oneof![8 => Just(POOL), 2 => Just(POOL_2), 1 => Just("a")];
    prop_oneof![
        4 => (pool, name(), any::<bool>()).prop_map(|(pool, name, up)| create_in(pool, name, SIZE, up)),
        4 => (name(), name()).prop_map(|(origin, name)| snapshot(origin, name)),
        3 => (name(), name()).prop_map(|(origin, name)| clone(origin, name)),
        4 => name().prop_map(remove),
        1 => name().prop_map(|name| Request::Discard { name: lv(name) }),
        1 => name().prop_map(|name| Request::Zero { name: lv(name) }),
        2 => (name(), resized(), any::<bool>())
            .prop_map(|(name, size, shrink)| Request::Resize { name: lv(name), size, shrink }),
        2 => (name(), name()).prop_map(|(name, to)| rename(name, to)),
        2 => (name(), name()).prop_map(|(name, to)| roll_back(name, to)),
        1 => (name(), any::<bool>()).prop_map(|(name, read_only)| {
            let attributes = Attributes { read_only: Some(read_only), ..Attributes::default() };
            Request::Modify { name: lv(name), attributes }
        }),
        2 => name().prop_map(activate),
        1 => name().prop_map(activate_anyway),
        2 => name().prop_map(deactivate),
        1 => any::<bool>().prop_map(|auto| Request::ActivateAll { auto }),
        1 => Just(Request::DeactivateAll),
    ]
}

fn changes() -> impl Strategy<Value = Vec<Vec<Request>>> {
    proptest::collection::vec(proptest::collection::vec(request(), 1..5), 1..6)
}

fn resized() -> impl Strategy<Value = NewSize> {
    prop_oneof![
        (1..4_u64).prop_map(|half| NewSize::To(Sectors::new(half * SIZE.get() / 2))),
        Just(NewSize::By(SIZE)),
    ]
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        1 => Just(Start::Fresh),
        1 => Just(Start::FreshRunning),
        4 => Just(Start::Used),
        2 => Just(Start::Stopped),
        2 => Just(Start::TwoPools),
        1 => Just(Start::SecondFresh),
    ]
}

fn sends(step: &Step) -> &[Send] {
    match step {
        Step::Freeze { sends, .. } | Step::Send { sends } => sends,
        _ => &[],
    }
}

/// What a commit says.
fn said(commit: &Commit) -> Vg {
    let text = commit.text().expect("a planned text can be made");
    Metadata::parse(&text).expect("what is committed can be read").vg
}

fn is_snapshot(send: &Send) -> bool {
    matches!(send.message, Message::CreateSnap { .. })
}

fn is_delete(send: &&Send) -> bool {
    matches!(send.message, Message::Delete(_))
}

/// At most two commits: one a transaction ahead, with messages; one without any. Nothing is irreversible before the one
/// point of no return, which lies between them, and nothing is taken back after it. What needs no message is one
/// commit, and can be taken back to its end.
fn commits_and_returns(plan: &Plan, vg: &Vg) -> Result<(), TestCaseError> {
    let commits = plan.steps.iter().filter_map(|planned| match &planned.step {
        Step::Commit(commit) => Some(commit),
        _ => None,
    });
    let commits: Vec<_> = commits.collect();
    let at = |wanted: fn(&Step) -> bool| -> Vec<usize> {
        let found = plan.steps.iter().enumerate().filter(|(_, planned)| wanted(&planned.step));
        found.map(|(place, _)| place).collect()
    };
    let returns = at(|step| matches!(step, Step::PointOfNoReturn));
    let steps_on = at(|step| matches!(step, Step::SetTransaction { .. }));
    let places = at(|step| matches!(step, Step::Commit(_)));
    if commits.is_empty() {
        prop_assert!(returns.is_empty() && steps_on.is_empty());
        prop_assert!(plan.steps.iter().all(|planned| sends(&planned.step).is_empty()));
        return Ok(());
    }
    if let [only] = commits.as_slice() {
        prop_assert!(returns.is_empty() && steps_on.is_empty());
        prop_assert_eq!(only.seqno.0, plan.parent.0 + 1);
        for (after, before) in said(only).pools().zip(vg.pools()) {
            prop_assert_eq!(after.1, before.1);
        }
        return Ok(());
    }
    prop_assert_eq!((commits.len(), returns.len()), (2, 1));
    let seqnos: Vec<u32> = commits.iter().map(|commit| commit.seqno.0).collect();
    prop_assert_eq!(seqnos, vec![plan.parent.0 + 1, plan.parent.0 + 2]);
    prop_assert!(
        places[0] < returns[0] && steps_on.iter().all(|step| returns[0] < *step && *step < places[1])
    );
    let (ahead, done) = (said(commits[0]), said(commits[1]));
    prop_assert!(done.pools().all(|(_, pool)| pool.messages.is_empty()));
    let mut changed = 0;
    for (lv, pool) in ahead.pools() {
        let before = vg.lv(&lv.name).and_then(|lv| lv.thin_pool()).expect("no pool comes by a change");
        if pool.messages.is_empty() {
            prop_assert_eq!(pool.transaction_id, before.transaction_id);
            continue;
        }
        changed += 1;
        prop_assert_eq!(Some(pool.transaction_id), before.transaction_id.next());
        // lvm2 can replay no snapshot that was made.
        for message in &pool.messages {
            let PoolMessage::Create(name) = message else { continue };
            prop_assert_eq!(
                ahead.lv(name).and_then(|lv| lv.thin()).and_then(|thin| thin.origin.clone()),
                None
            );
        }
    }
    prop_assert_eq!(steps_on.len(), changed);
    Ok(())
}

/// Every step before the point of no return that changes something carries what takes it back; of the deletions at most
/// one is before it, as the last message.
fn undo_is_complete(plan: &Plan, vg: &Vg) -> Result<(), TestCaseError> {
    let end = plan.steps.iter().position(|planned| matches!(planned.step, Step::PointOfNoReturn));
    let before = &plan.steps[..end.unwrap_or(plan.steps.len())];
    for Planned { step, undo } in before {
        match (step, undo.as_slice()) {
            (Step::CreateDevice(made), [Step::RemoveDevice(back)])
            | (Step::RemoveDevice(made), [Step::CreateDevice(back)]) => prop_assert_eq!(made, back),
            (Step::Commit(_), [Step::Commit(revert)]) => {
                let back = said(revert);
                prop_assert_eq!(back.seqno.0, plan.parent.0 + 2);
                prop_assert_eq!(&back.lvs, &vg.lvs);
            }
            (Step::RenameDevice { from, to, .. }, [Step::RenameDevice { from: back, to: again, .. }]) => {
                prop_assert_eq!((from, to), (again, back));
            }
            (Step::ReloadDevice(new), [Step::ReloadDevice(old)]) => {
                prop_assert_eq!((&new.name, &new.uuid), (&old.name, &old.uuid));
            }
            (Step::CreateDevice(_) | Step::RemoveDevice(_) | Step::Commit(_), other) => {
                return Err(TestCaseError::fail(format!("'{step}' is taken back by {other:?}")));
            }
            (_, other) => prop_assert!(other.is_empty()),
        }
    }
    let messages: Vec<&Send> = before.iter().flat_map(|planned| sends(&planned.step)).collect();
    let deletes = messages.iter().filter(|send| is_delete(send)).count();
    prop_assert!(deletes <= 1 && (deletes == 0 || messages.last().is_some_and(is_delete)));
    let undoable = messages.iter().filter(|send| send.message.inverse().is_some()).count();
    prop_assert_eq!(undoable + deletes, messages.len());
    Ok(())
}

/// New ids are distinct, and neither in the text nor in the kernel, not even those that the same batch removes.
fn ids_are_fresh(plan: &Plan, vg: &Vg, world: &World) -> Result<(), TestCaseError> {
    let mut used: BTreeMap<DmName, BTreeSet<ThinId>> = BTreeMap::new();
    for (pool, _) in vg.pools() {
        let tpool = DmName::new(&format!("{}-{}-tpool", vg.name, pool.name)).expect("a short name");
        let mut ids: BTreeSet<ThinId> = vg.thins_of(&pool.name).map(|(_, thin)| thin.device_id).collect();
        ids.extend(world.machine.kernel.thin_devices(&tpool).unwrap_or_default().into_keys());
        used.insert(tpool, ids);
    }
    for send in plan.steps.iter().flat_map(|planned| sends(&planned.step)) {
        if let Message::CreateThin(id) | Message::CreateSnap { id, .. } = send.message {
            prop_assert!(
                used.entry(send.tpool.clone()).or_default().insert(id),
                "thin id {} is used twice",
                id
            );
        }
    }
    Ok(())
}

/// A snapshot of an active volume is taken while it is suspended, all of them together; nothing but snapshots is.
fn suspends_are_for_snapshots(plan: &Plan, world: &World) -> Result<(), TestCaseError> {
    let freezes = plan.steps.iter().filter(|planned| matches!(planned.step, Step::Freeze { .. })).count();
    prop_assert!(freezes <= 1);
    let mut gone = BTreeSet::new();
    for planned in &plan.steps {
        match &planned.step {
            Step::RemoveDevice(spec) => {
                gone.insert(spec.name.clone());
            }
            Step::Freeze { origins, sends, .. } => {
                prop_assert!(sends.iter().all(is_snapshot));
                prop_assert_eq!(origins.iter().collect::<BTreeSet<_>>().len(), origins.len());
                for origin in origins {
                    prop_assert!(world.exists(origin) && !gone.contains(origin));
                }
            }
            Step::Send { sends } => {
                prop_assert!(!sends.iter().any(is_snapshot));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The names of thin volumes that the requests lead to.
fn names_after(vg: &Vg, requests: &[Request]) -> BTreeSet<LvName> {
    let thins = vg.lvs.iter().filter(|lv| lv.thin().is_some());
    let mut names: BTreeSet<LvName> = thins.map(|lv| lv.name.clone()).collect();
    for request in requests {
        match request {
            Request::Create { name, .. } | Request::Snapshot { name, .. } => names.insert(name.clone()),
            Request::Remove { name } => names.remove(name),
            Request::Rename { name, to } => names.remove(name) && names.insert(to.clone()),
            _ => false,
        };
    }
    names
}

/// Plans and makes one change. Returns whether it was one.
fn change(world: &World, requests: &[Request]) -> Result<bool, TestCaseError> {
    let before = world.metadata();
    let devices = world.machine.kernel.list().expect("the list can be had");
    let planned = world.plan(requests);
    prop_assert_eq!(world.metadata().to_disk(), before.to_disk(), "planning wrote metadata");
    prop_assert_eq!(
        world.machine.kernel.list().expect("the list can be had"),
        devices.clone(),
        "planning touched devices"
    );
    let plan = match planned {
        Ok(plan) => plan,
        Err(refused) => {
            let again = world.run(requests).expect_err("what was refused is refused again");
            prop_assert_eq!(in_words(&again), in_words(&refused));
            prop_assert!(
                names_group(&refused),
                "which group it is about is not said: {}",
                in_words(&refused)
            );
            prop_assert_eq!(world.metadata().to_disk(), before.to_disk(), "a refusal wrote metadata");
            prop_assert_eq!(
                world.machine.kernel.list().expect("the list can be had"),
                devices,
                "a refusal touched devices"
            );
            return Ok(false);
        }
    };
    let vg = &before.vg;
    commits_and_returns(&plan, vg)?;
    undo_is_complete(&plan, vg)?;
    ids_are_fresh(&plan, vg, world)?;
    suspends_are_for_snapshots(&plan, world)?;
    world.machine.kernel.clear_log();
    let ran = match world.run(requests) {
        Ok(ran) => ran,
        Err(error) => return Err(TestCaseError::fail(format!("{}\n{plan}", in_words(&error)))),
    };
    prop_assert_eq!(ran.plan.to_string(), plan.to_string(), "another plan was executed than shown");
    let count = |verb| world.machine.kernel.log().iter().filter(|call| call.verb == verb).count();
    prop_assert!(count(Verb::Suspend) <= count(Verb::Resume));
    prop_assert_eq!(world.machine.kernel.suspended(), Vec::new());
    let vg_after = at_rest(world).map_err(TestCaseError::fail)?;
    no_layer_alone(world).map_err(TestCaseError::fail)?;
    let commits = u32::try_from(plan.commits()).expect("two at most");
    prop_assert_eq!(vg_after.seqno.0 - vg.seqno.0, commits);
    prop_assert_eq!(names_after(&vg_after, &[]), names_after(vg, requests));
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_keeps_the_rules(start in start(), changes in changes()) {
        let world = start.world(1);
        for requests in &changes {
            change(&world, requests)?;
        }
    }
}

/// Random requests would prove little if nearly all were refused.
#[test]
fn random_requests_are_often_granted() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut granted, mut refused) = (0, 0);
    for _ in 0..40 {
        let world = Start::TwoPools.world(1);
        for _ in 0..4 {
            let requests =
                proptest::collection::vec(request(), 1..3).new_tree(&mut runner).unwrap().current();
            *(if change(&world, &requests).unwrap() { &mut granted } else { &mut refused }) += 1;
        }
    }
    assert!(granted > 20 && refused > 30, "{granted} granted, {refused} refused");
}

/// Its first volume gives a pool its layers; whoever asks for the pool's own device in the same change gets it on them.
#[test]
fn a_pool_is_activated_with_its_first_volume() {
    for start in [Start::Fresh, Start::FreshRunning] {
        let world = start.world(1);
        world.run(&[create_in(POOL, "a", SIZE, false), activate(POOL)]).unwrap();
        assert!(world.exists(&device(POOL)), "{start:?}");
        no_layer_alone(&world).unwrap();
        world.run(&[Request::DeactivateAll]).unwrap();
        assert!(world.machine.kernel.list().unwrap().is_empty());
    }
}
