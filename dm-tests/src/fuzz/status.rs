//! What the kernel says in words: status lines and tables.

use base::units::Sectors;
use dm::name::DmName;
use dm::status::{PoolStatus, ThinStatus};
use dm::table::{DmTarget, Table, TargetLine};

/// Target types whose tables are taken apart.
const TYPES: [&str; 5] = ["linear", "striped", "thin", "thin-pool", "error"];

/// Reads the bytes as the status and as the table of every kind of target. What a table says survives being written.
pub fn lines(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines().take(64) {
        let (pool, thin) = (PoolStatus::parse(line), ThinStatus::parse(line));
        if let (Ok(PoolStatus::Working(pool)), Ok(ThinStatus::Working { .. })) = (&pool, &thin) {
            panic!("one line is the status of a pool ({pool:?}) and of a volume ({thin:?})");
        }
        for target in TYPES {
            table(target, line);
        }
        if let Ok(name) = DmName::new(line)
            && let Ok(parts) = name.lvm_parts()
        {
            assert!(!parts.vg.as_str().is_empty() && !parts.lv.as_str().is_empty());
        }
    }
}

fn table(target: &str, params: &str) {
    let length = Sectors::new(2048);
    let line = TargetLine { start: Sectors::ZERO, length, target: target.into(), params: params.into() };
    let Ok(read) = line.parse() else { return };
    let written = match &read {
        DmTarget::Thin(_) | DmTarget::Linear(_) | DmTarget::Striped(_) => return,
        DmTarget::ThinPool(pool) => TargetLine::thin_pool(length, pool),
        _ => return,
    };
    assert_eq!(written.parse().as_ref(), Ok(&read), "'{params}' is written as '{}'", written.params);
    assert!(Table::single(written).maps_like(&[line]), "'{params}' does not map like itself");
}

/// One line of each kind, in each state.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "5 200/4096 17/51200 - rw discard_passdown queue_if_no_space - 1024",
        "5 200/4096 17/51200 33 ro no_discard_passdown error_if_no_space needs_check 1024",
        "18446744073709551615 1/1 1/1 - out_of_data_space ignore_discard error_if_no_space -",
        "4096 16383\n0 -\nFail\nError\n-",
        "253:0 253:1 128 0 3 skip_block_zeroing no_discard_passdown error_if_no_space",
        "8:0 2048\n2 128 8:0 0 8:16 0\n253:2 7 253:3",
        "pve-vm--100--disk--0\npve-data-tpool\npve-data_tmeta",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
