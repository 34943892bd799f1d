//! A signal in the middle of a change: it stops and takes everything back, or is carried through and says so.

use base::error_chain::in_words;
use base::error_kind::ErrorKind;
use base::ids::ThinId;
use dm_tests::world::asks::{activate, create, remove, resize, snapshot};
use dm_tests::world::{World, tpool};
use thin::internals::request::Request;

use super::{POOL, kernel, lv, used};

/// Stops the change at each place where it asks, and once where it does not ask any more.
fn stop_everywhere(requests: &[Request]) {
    let (mut stopped, mut too_late) = (0, 0);
    for asks in 0.. {
        let world = used();
        // When an origin was shared last is no content of it.
        let ids = |world: &World| -> Vec<ThinId> {
            kernel(world).thin_devices(&tpool()).expect("the simulated machine has it").into_keys().collect()
        };
        let (volumes, before) = (world.metadata().vg.lvs.len(), ids(&world));
        world.machine.host.set(|host| host.asks_before_stop = Some(asks));
        match world.run(requests) {
            Err(error) => {
                let told = in_words(&error);
                assert_eq!(error.kind(), ErrorKind::Refused, "after {asks}: {told}");
                let is_told = ["nothing was changed", "before anything was begun"];
                assert!(told.contains("stopped by SIGINT"), "{told}");
                assert!(is_told.iter().any(|words| told.contains(words)), "{told}");
                assert_eq!(world.metadata().vg.lvs.len(), volumes, "after {asks}");
                assert_eq!(ids(&world), before, "after {asks}");
                stopped += 1;
            }
            Ok(ran) if ran.warnings.iter().any(|warning| warning.contains("it is complete")) => too_late += 1,
            Ok(_) => break,
        }
        assert_eq!(kernel(&world).violations(), []);
        assert!(kernel(&world).suspended().is_empty());
        world.machine.host.set(|host| host.asks_before_stop = None);
        assert!(world.recover().expect("the simulated machine has it").recovered.is_empty(), "after {asks}");
    }
    assert!(stopped > 1 && too_late == 1, "{stopped} {too_late}");
}

#[test]
fn a_change_stops_before_the_point_of_no_return_or_is_complete() {
    stop_everywhere(&[create("m", true), create("n", false), snapshot("a", "t"), remove("b")]);
    stop_everywhere(&[resize("a", 3, false)]);
    stop_everywhere(&[snapshot("a", "t"), activate("a")]);
}

/// What was not read any more is not told to be damaged.
#[test]
fn a_look_into_a_pool_that_is_stopped_finds_nothing() {
    let world = used();
    let vg = world.metadata().vg.name;
    world.machine.host.set(|host| host.asks_before_stop = Some(0));
    let looked = world.process(|engine| engine.check_pool(&vg, &lv(POOL), None));
    let error = looked.expect_err("it was stopped");
    assert_eq!(error.kind(), ErrorKind::Refused, "{}", in_words(&error));
    assert!(in_words(&error).contains("stopped by SIGINT"), "{}", in_words(&error));
}
