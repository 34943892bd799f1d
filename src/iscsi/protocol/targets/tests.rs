use super::*;
use proptest::prelude::{any, proptest};

fn read(text: &str, asked: &str) -> SendTargetsAnswer {
    SendTargetsAnswer::read(text.replace(' ', "\0").as_bytes(), &asked.parse().unwrap()).unwrap()
}

fn shown(targets: &SendTargetsAnswer) -> Vec<String> {
    let addresses =
        |target: &DiscoveredTarget| target.addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    targets.targets.iter().map(|target| format!("{} {}", target.name, addresses(target).join(" "))).collect()
}

#[test]
fn targets_are_grouped_and_sorted_and_their_addresses_kept_in_order() {
    let found = read(
        "TargetName=iqn.2025-01.test:b TargetAddress=10.0.0.2:3260,1 TargetAddress=10.0.0.1:3260,2 \
         TargetName=iqn.2025-01.test:a TargetAddress=[::1]:3260,1 TargetAlias=x \
         TargetName=iqn.2025-01.test:b TargetAddress=10.0.0.2:3260,1 TargetAddress=10.0.0.2:3260,7",
        "10.0.0.9",
    );
    assert_eq!(
        shown(&found),
        [
            "iqn.2025-01.test:a [::1]:3260,1",
            "iqn.2025-01.test:b 10.0.0.2:3260,1 10.0.0.1:3260,2 10.0.0.2:3260,7"
        ]
    );
    assert!(found.left_out.is_empty());
    assert_eq!(read("", "10.0.0.9"), SendTargetsAnswer::default());
}

#[test]
fn where_nothing_usable_is_said_the_portal_that_was_asked_counts() {
    let found = read(
        "TargetName=iqn.2025-01.test:a TargetName=iqn.2025-01.test:b TargetAddress=0.0.0.0:3261,1 \
         TargetName=iqn.2025-01.test:c TargetAddress=[::]:3260,1",
        "san:3260",
    );
    assert_eq!(
        shown(&found),
        ["iqn.2025-01.test:a san:3260", "iqn.2025-01.test:b san:3261,1", "iqn.2025-01.test:c san:3260,1"]
    );
}

#[test]
fn link_local_addresses_keep_the_interface() {
    let text = "TargetName=iqn.2025-01.test:a TargetAddress=[fe80::2]:3260,1 TargetAddress=[fd00::2]:3260,1";
    assert_eq!(
        shown(&read(text, "[fe80::1%eth0]")),
        ["iqn.2025-01.test:a [fe80::2%eth0]:3260,1 [fd00::2]:3260,1"]
    );
    let without = read(text, "10.0.0.1");
    assert_eq!(shown(&without), ["iqn.2025-01.test:a [fd00::2]:3260,1"]);
    assert!(without.left_out[0].contains("link-local"), "{:?}", without.left_out);
    let theirs = "TargetName=iqn.2025-01.test:a TargetAddress=[fe80::2%igb3]:3260,1 \
                  TargetAddress=[fd00::2%igb3]:3260,1";
    assert_eq!(
        shown(&read(theirs, "[fe80::1%eth0]")),
        ["iqn.2025-01.test:a [fe80::2%eth0]:3260,1 [fd00::2]:3260,1"],
        "an interface of the target's is none of ours"
    );
}

#[test]
fn what_cannot_be_used_is_left_out_and_said_and_the_rest_stays() {
    let found = read(
        "TargetAddress=10.0.0.1:3260,1 TargetName=iqn.2025-01.test:a TargetAddress=10.0.0.1:99999,1 \
         TargetAddress=10.0.0.1:3260,1 TargetName=../etc TargetAddress=10.0.0.3:3260,1",
        "10.0.0.9",
    );
    assert_eq!(shown(&found), ["iqn.2025-01.test:a 10.0.0.1:3260,1"]);
    assert_eq!(found.left_out.len(), 4, "{:?}", found.left_out);
    let many = "TargetName=x ".repeat(1000);
    assert_eq!(read(&many, "10.0.0.9").left_out.len(), MAX_LEFT_OUT + 1);
}

proptest! {
    #[test]
    fn any_bytes_are_targets_or_an_error(bytes in any::<Vec<u8>>()) {
        let text = [b"TargetName=iqn.2025-01.a:b\0TargetAddress=".as_slice(), &bytes].concat();
        if let Ok(found) = SendTargetsAnswer::read(&text, &"10.0.0.9".parse().unwrap()) {
            assert!(found.left_out.iter().all(|text| text.chars().all(|c| !c.is_control())));
        }
    }
}
