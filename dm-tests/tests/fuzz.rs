//! Hostile input for a bounded time: `THINVOL_FUZZ_SECONDS` for each target, 5 unless it is set. `dm-tests/fuzz` drives
//! the same targets with a fuzzer, for as long as one likes.

use std::path::Path;
use std::time::Duration;

use dm_tests::fuzz::drive::{drive, findings};
use dm_tests::fuzz::targets::TARGETS;

fn run(name: &str) {
    let seconds = std::env::var("THINVOL_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let target = TARGETS.iter().find(|target| target.name == name).expect("it is in the list");
    let failed = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
    let driven = drive(target, Duration::from_secs(seconds), &failed);
    let driven = driven.unwrap_or_else(|error| panic!("{error:#}"));
    println!("{name}: {driven:?}");
    assert!(driven.seeds > 0, "nothing to start from");
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { run(stringify!($name)); })*

        #[test]
        fn every_target_is_driven_and_has_its_program() {
            let driven = [$(stringify!($name)),*];
            for target in TARGETS {
                assert!(driven.contains(&target.name), "{} is not driven", target.name);
                let program = findings().with_file_name("fuzz_targets").join(format!("{}.rs", target.name));
                assert!(program.exists(), "{} is missing", program.display());
            }
        }
    };
}

targets!(text conf disk status batch pool iscsi);
