use proptest::prelude::proptest;

use super::{Discards, NoSpace, Percent, PoolMode, PoolStatus, PoolWorking, ThinStatus, Usage};
use base::ids::TransactionId;
use base::units::Sectors;

fn working(text: &str) -> PoolWorking {
    match PoolStatus::parse(text).unwrap() {
        PoolStatus::Working(working) => working,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pool_status_of_today() {
    assert_eq!(
        working("3 141/4096 12/1600 - rw discard_passdown queue_if_no_space - 1024 "),
        PoolWorking {
            transaction_id: TransactionId(3),
            metadata: Usage { used: 141, total: 4096 },
            data: Usage { used: 12, total: 1600 },
            held_metadata_root: None,
            mode: PoolMode::ReadWrite,
            discards: Discards::Passdown,
            no_space: NoSpace::Queue,
            needs_check: false,
            metadata_low_water: Some(1024),
        }
    );
}

#[test]
fn a_pool_in_trouble() {
    let pool = working("9 4096/4096 1600/1600 77 ro no_discard_passdown error_if_no_space needs_check 24 ");
    assert_eq!((pool.mode, pool.needs_check), (PoolMode::ReadOnly, true));
    assert_eq!((pool.held_metadata_root, pool.no_space), (Some(77), NoSpace::Error));
    let full = working("9 10/4096 1600/1600 - out_of_data_space ignore_discard queue_if_no_space - 24");
    assert_eq!((full.mode, full.discards), (PoolMode::OutOfDataSpace, Discards::Ignore));
    assert_eq!(PoolStatus::parse("Fail").unwrap(), PoolStatus::Failed);
    assert_eq!(PoolStatus::parse("Error").unwrap(), PoolStatus::Error);
}

#[test]
fn older_and_newer_kernels_say_less_and_more() {
    let old = working("0 10/4096 0/1600 - rw discard_passdown queue_if_no_space ");
    assert_eq!((old.needs_check, old.metadata_low_water), (false, None));
    let middle = working("0 10/4096 0/1600 - rw discard_passdown queue_if_no_space needs_check ");
    assert_eq!((middle.needs_check, middle.metadata_low_water), (true, None));
    let new = working("0 10/4096 0/1600 - rw discard_passdown queue_if_no_space - 1024 and more");
    assert_eq!(new.metadata_low_water, Some(1024));
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    let place = |text| PoolStatus::parse(text).unwrap_err().place;
    assert_eq!(place(""), 1);
    assert_eq!(place("-1"), 1);
    assert_eq!(place("1 2 3/4"), 2);
    assert_eq!(place("1 2/3 3/4x"), 3);
    assert_eq!(place("1 2/3 3/4 - wr"), 5);
    assert_eq!(place("99999999999999999999 2/3 3/4 - rw"), 1);
    assert_eq!(
        PoolStatus::parse("1 2/3 3/4 - rw").unwrap_err().to_string(),
        "thin-pool status '1 2/3 3/4 - rw': word 6 should be the discard mode, but the line ends"
    );
}

#[test]
fn thin_statuses() {
    let parse = |text| ThinStatus::parse(text).unwrap();
    let working = |mapped, highest: Option<u64>| ThinStatus::Working {
        mapped: Sectors::new(mapped),
        highest_mapped: highest.map(Sectors::new),
    };
    assert_eq!(parse("2048 4095"), working(2048, Some(4095)));
    assert_eq!(parse("0 -"), working(0, None));
    assert_eq!(parse("-"), ThinStatus::Inactive);
    assert_eq!(parse("Fail"), ThinStatus::Failed);
    assert_eq!(parse("Error"), ThinStatus::Error);
    assert_eq!(ThinStatus::parse("2048 x").unwrap_err().place, 2);
}

#[test]
fn percentages_are_shown_as_lvm2_shows_them() {
    let shown = |used, total| Percent::of(used, total).to_string();
    assert_eq!(shown(0, 1600), "0.00");
    assert_eq!(shown(1, 1_000_000), "0.01");
    assert_eq!(shown(12, 1600), "0.75");
    assert_eq!(shown(2, 3), "66.67");
    assert_eq!(shown(999_999, 1_000_000), "99.99");
    assert_eq!(shown(u64::MAX - 1, u64::MAX), "99.99");
    assert_eq!(shown(1600, 1600), "100.00");
    assert_eq!(shown(0, 0), "100.00");
    assert_eq!(format!("{:>7}", Percent::of(1, 2)), "  50.00");
}

#[test]
fn thresholds_are_exact() {
    let usage = Usage { used: 799, total: 1000 };
    assert!(!usage.reaches(80) && usage.reaches(79));
    assert!(Usage { used: u64::MAX, total: u64::MAX }.reaches(100));
    assert_eq!(Usage { used: 5, total: 3 }.free(), 0);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}", words in "([0-9]{1,21}|[0-9]/[0-9]|rw|-| ){0,20}") {
        for text in [text, words] {
            let _ = PoolStatus::parse(&text);
            let _ = ThinStatus::parse(&text);
        }
    }

    #[test]
    fn only_nothing_is_zero_and_only_all_is_a_hundred(used: u64, total: u64) {
        let percent = Percent::of(used, total);
        assert_eq!(percent == Percent::FULL, used >= total);
        assert_eq!(percent == Percent::ZERO, used == 0 && total != 0);
        assert_eq!(percent.to_string() == "100.00", used >= total);
        assert_eq!(percent.to_string() == "0.00", used == 0 && total != 0);
    }
}
