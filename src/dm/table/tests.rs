use proptest::prelude::{any, prop, proptest};

use super::{DmTarget, LinearParams, PoolParams, StripedParams, Table, TargetLine, ThinParams};
use base::ids::{DevNo, ThinId};
use base::units::{Chunks, Sectors};

fn dev(minor: u32) -> DevNo {
    DevNo { major: 253, minor }
}

fn pool() -> PoolParams {
    PoolParams {
        metadata: dev(0),
        data: dev(1),
        chunk_size: Sectors::new(128),
        low_water: Chunks::new(7),
        skip_block_zeroing: true,
        ignore_discard: false,
        no_discard_passdown: true,
        error_if_no_space: true,
        read_only: false,
    }
}

#[test]
fn pool_features_come_in_any_order_but_are_written_in_one() {
    let lvm = "253:0 253:1 128 7 3 skip_block_zeroing no_discard_passdown error_if_no_space";
    let kernel = "253:0 253:1 128 7 3 error_if_no_space skip_block_zeroing no_discard_passdown ";
    assert_eq!(PoolParams::parse(lvm).unwrap(), pool());
    assert_eq!(PoolParams::parse(kernel).unwrap(), pool());
    assert_eq!(pool().to_string(), lvm);
    let line = |params: &str| TargetLine {
        start: Sectors::ZERO,
        length: Sectors::new(2048),
        target: "thin-pool".into(),
        params: params.into(),
    };
    assert!(Table::single(line(lvm)).maps_like(&[line(kernel)]));
    assert!(!Table::single(line(lvm)).maps_like(&[line("253:0 253:1 128 7 0")]));
    assert!(!Table::single(line("broken")).maps_like(&[line("broken")]));
}

#[test]
fn a_pool_without_features_may_leave_the_count_out() {
    assert_eq!(PoolParams::parse("7:0 7:1 128 0").unwrap(), PoolParams::parse("7:0 7:1 128 0 0 ").unwrap());
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    let error = PoolParams::parse("253:0 253:1 128 7 2 skip_block_zeroing fast").unwrap_err();
    assert_eq!(
        error.to_string(),
        "thin-pool table '253:0 253:1 128 7 2 skip_block_zeroing fast': \
         word 7 should be a known thin-pool feature, but it is 'fast'"
    );
    let error = PoolParams::parse("253:0 253:1 128 7 2 skip_block_zeroing").unwrap_err();
    assert_eq!((error.place, error.found.as_str()), (7, "the line ends"));
    assert_eq!(ThinParams::parse("253:4 16777216").unwrap_err().place, 2);
    assert_eq!(ThinParams::parse("253:4 1 253:9 x").unwrap_err().expected, "absent");
    assert_eq!(LinearParams::parse("/dev/sda 0").unwrap_err().place, 1);
    assert!(StripedParams::parse("99999999999 128 7:0 0").is_err());
}

#[test]
fn a_table_knows_its_length() {
    let line = |start, length| {
        TargetLine::linear(Sectors::new(start), Sectors::new(length), dev(0), Sectors::new(2048))
    };
    assert_eq!(Table(vec![line(0, 8), line(8, 16)]).length(), Some(Sectors::new(24)));
    assert_eq!(Table(vec![]).length(), Some(Sectors::ZERO));
    assert_eq!(Table::single(line(u64::MAX, 1)).length(), None);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        minors in prop::collection::vec(any::<u32>(), 1..20),
        offset: u64,
        id in 0u64..1 << 24,
        flags: [bool; 5],
    ) {
        let stretch = |minor: &u32| LinearParams { device: dev(*minor), offset: Sectors::new(offset) };
        let stripes = minors.iter().map(stretch).collect();
        let striped = StripedParams { chunk_size: Sectors::new(128), stripes };
        let linear = stretch(&minors[0]);
        let id = ThinId::new(id).unwrap();
        let external_origin = flags[0].then(|| dev(9));
        let thin = ThinParams { pool: dev(minors[0]), id, external_origin };
        let [skip_block_zeroing, ignore_discard, no_discard_passdown, error_if_no_space, read_only] = flags;
        let pool = PoolParams {
            skip_block_zeroing, ignore_discard, no_discard_passdown, error_if_no_space, read_only, ..pool()
        };
        let (start, length) = (Sectors::ZERO, Sectors::new(64));
        let lines = [
            (TargetLine::linear(start, length, linear.device, linear.offset), DmTarget::Linear(linear)),
            (TargetLine::striped(start, length, &striped), DmTarget::Striped(striped)),
            (TargetLine::thin(length, thin.pool, id, external_origin), DmTarget::Thin(thin)),
            (TargetLine::thin_pool(length, &pool), DmTarget::ThinPool(pool)),
        ];
        for (line, target) in lines {
            assert_eq!(line.parse().unwrap(), target);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(
        text in "\\PC{0,80}", words in "([0-9]{1,21}|[0-9]{1,3}:[0-9]{1,3}|[a-z_]{1,9}| ){0,40}",
    ) {
        for target in ["linear", "striped", "thin", "thin-pool", "error"] {
            for params in [&text, &words] {
                let (start, length) = (Sectors::ZERO, Sectors::new(1));
                let line = TargetLine { start, length, target: target.into(), params: params.clone() };
                let understood = line.parse().is_ok();
                assert_eq!(line.maps_like(&line), understood);
            }
        }
    }
}
