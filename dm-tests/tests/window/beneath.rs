//! What a running pool lies on is longer than the text says: lvm2 makes it so before it commits the text.

use base::error_chain::in_words;
use base::error_kind::ErrorKind;
use base::units::Sectors;
use dm::kernel::{Kernel, StatusFlush, Suspend, UdevEvent};
use dm::status::PoolStatus;
use dm::table::Table;
use dm_tests::world::asks::create;
use dm_tests::world::text::EXTENT;
use dm_tests::world::{World, device, tpool};

use super::{kernel, length, used};

/// Gives a device another table with that length, put in place or left waiting.
fn give(world: &World, name: &str, length: u64, in_place: bool) {
    let mut table = kernel(world).table(&device(name)).expect("the simulated kernel does it");
    table[0].length = Sectors::new(length);
    kernel(world).load(&device(name), &Table(table), false).expect("the simulated kernel does it");
    if in_place {
        kernel(world).resume(&device(name), UdevEvent(0)).expect("the simulated kernel does it");
    }
}

/// Sectors of metadata that the kernel uses.
fn metadata(world: &World) -> u64 {
    let (_, lines) =
        kernel(world).status(&tpool(), StatusFlush::NoFlush).expect("the simulated kernel does it");
    let PoolStatus::Working(working) =
        PoolStatus::parse(&lines[0].params).expect("the simulated kernel does it")
    else {
        panic!("it works")
    };
    working.metadata.total * 8
}

fn resume_pool(world: &World) {
    kernel(world).suspend(&tpool(), Suspend::Flush).expect("the simulated kernel does it");
    kernel(world).resume(&tpool(), UdevEvent(0)).expect("the simulated kernel does it");
}

const METADATA: &str = "data_tmeta";
const DATA: &str = "data_tdata";

#[test]
fn what_a_killed_extension_left_longer_is_made_as_long_as_the_text_says() {
    for is_pool_suspended in [false, true] {
        for name in [METADATA, DATA] {
            let world = used();
            let (whole, used) = (length(&world, name), metadata(&world));
            give(&world, name, whole + EXTENT, true);
            if is_pool_suspended {
                kernel(&world).suspend(&tpool(), Suspend::Flush).unwrap();
            }
            let repair = world.recover().unwrap();
            assert!(
                repair.recovered.iter().any(|found| found.contains("is longer than")),
                "{:?}",
                repair.recovered
            );
            assert_eq!(length(&world, name), whole);
            resume_pool(&world);
            assert_eq!(metadata(&world), used, "the kernel uses what is nobody's");
            assert!(world.recover().unwrap().recovered.is_empty());
        }
    }
}

#[test]
fn a_change_sees_it_too() {
    let world = used();
    let whole = length(&world, METADATA);
    give(&world, METADATA, whole * 2, true);
    world.run(&[create("n", true)]).unwrap();
    assert_eq!(length(&world, METADATA), whole);
}

#[test]
fn a_table_that_waits_in_the_pool_is_not_put_in_place() {
    let world = used();
    let live = || kernel(&world).table(&tpool()).unwrap();
    let before = live();
    let mut longer = before.clone();
    longer[0].length = Sectors::new(longer[0].length.get() + EXTENT);
    kernel(&world).load(&tpool(), &Table(longer), false).unwrap();
    world.run(&[create("n", true)]).unwrap();
    assert!(!kernel(&world).info(&tpool()).unwrap().unwrap().inactive_table);
    assert_eq!(live(), before);
}

#[test]
fn what_is_shorter_grows() {
    let world = used();
    let (whole, used) = (length(&world, METADATA), metadata(&world));
    // As if the text said more: the kernel has the shorter one.
    give(&world, METADATA, whole - 8, true);
    let repair = world.recover().unwrap();
    assert!(repair.recovered.iter().any(|found| found.contains("is shorter than")), "{:?}", repair.recovered);
    assert_eq!((length(&world, METADATA), metadata(&world)), (whole, used));
}

#[test]
fn a_pool_that_uses_more_than_the_text_gives_it_is_refused_and_the_way_out_named() {
    let world = used();
    let whole = length(&world, METADATA);
    give(&world, METADATA, whole * 2, true);
    resume_pool(&world);
    assert_eq!(metadata(&world), whole * 2);
    assert_eq!(world.recover().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(length(&world, METADATA), whole * 2, "the kernel would fail the pool");
    let error = world.run(&[create("n", true)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", in_words(&error));
    let told = in_words(&error);
    assert!(told.contains("of metadata in pool pve/data"), "{told}");
}

#[test]
fn the_place_is_named_if_nothing_else_lies_there() {
    let world = used();
    let whole = length(&world, METADATA);
    // After the last extent of the metadata, on the only physical volume.
    give(&world, METADATA, whole * 2, true);
    resume_pool(&world);
    let hint = world.recover().unwrap_err().hint().unwrap();
    assert!(
        hint.contains(&format!("'lvextend --poolmetadatasize +{whole}s pve/data /dev/sda:32-32'")),
        "{hint}"
    );
}
