//! Devices of the group whose volumes are in no text: what was to have them was killed before its commit.

use base::ids::LvmUuid;
use base::units::Sectors;
use dm::kernel::{Kernel, UdevEvent};
use dm::name::{DmName, DmUuid, Layer};
use dm::table::Table;
use dm_tests::world::{World, device, lv};

use super::{kernel, used};

/// How far a device was made.
#[derive(Clone, Copy, PartialEq)]
enum Made {
    Created,
    Loaded,
    Resumed,
}

/// Makes a device of a volume that no text knows.
fn make(world: &World, vg: &LvmUuid, layer: Layer, made: Made) -> DmName {
    make_of(world, &DmUuid::of_lv(vg, &LvmUuid::from_random([40; 32]), layer), made)
}

fn make_of(world: &World, uuid: &DmUuid, made: Made) -> DmName {
    let name = DmName::new("pve-stray").expect("a name");
    kernel(world).create(&name, uuid, None).expect("the simulated kernel does it");
    if made != Made::Created {
        let mut table = kernel(world).table(&device("data_tdata")).expect("the simulated kernel does it");
        table[0].length = Sectors::new(8);
        kernel(world).load(&name, &Table(table), true).expect("the simulated kernel does it");
    }
    if made == Made::Resumed {
        kernel(world).resume(&name, UdevEvent(0)).expect("the simulated kernel does it");
    }
    name
}

#[test]
fn what_was_cut_short_and_serves_nobody_goes() {
    for (layer, made) in [
        (Layer::Real, Made::Created),
        (Layer::Real, Made::Loaded),
        (Layer::Real, Made::Resumed),
        (Layer::Plain, Made::Created),
        (Layer::Plain, Made::Loaded),
    ] {
        let world = used();
        world.recover().unwrap();
        let name = make(&world, &world.metadata().vg.id, layer, made);
        let repair = world.recover().unwrap();
        assert!(repair.recovered.iter().any(|found| found.contains(name.as_str())), "{:?}", repair.recovered);
        assert!(!world.exists(&name));
        assert!(world.recover().unwrap().recovered.is_empty());
    }
}

#[test]
fn a_thin_volume_that_was_to_become_an_external_origin_has_no_layer() {
    for made in [Made::Created, Made::Loaded, Made::Resumed] {
        let world = used();
        let volume = world.metadata().vg.lv(&lv("a")).unwrap().id;
        let name = make_of(&world, &DmUuid::of_lv(&world.metadata().vg.id, &volume, Layer::Real), made);
        assert_eq!(world.recover().unwrap().recovered.len(), 1);
        assert!(!world.exists(&name) && world.recover().unwrap().recovered.is_empty());
    }
}

#[test]
fn what_may_hold_something_or_is_not_ours_stays() {
    let other = LvmUuid::from_random([41; 32]);
    let own = used().metadata().vg.id;
    for (vg, layer, made) in [
        (own, Layer::Plain, Made::Resumed),
        (other, Layer::Real, Made::Resumed),
        (other, Layer::Real, Made::Created),
    ] {
        let world = used();
        let name = make(&world, &vg, layer, made);
        world.recover().unwrap();
        assert!(world.exists(&name), "{layer:?}");
    }
}
