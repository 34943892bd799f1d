//! tgtd, another implementation: a target in user space that needs neither root nor kernel modules.
//!
//! Its package starts a service when it is installed, so the harness only unpacks it (`target/tgt`). Where there is
//! none the tests say so and pass, unless `THINVOL_NEED_TGTD` is set, as `vm-harness/run test` sets it.

mod daemon;

use std::process::Command;

use iscsi::host::discover::Discovered;
use iscsi::protocol::chap::Algorithm;

use crate::command::{printed, thinvol};
use crate::{PLENTY, ask, names};
use daemon::Daemon;

/// Starts a daemon, or says why the test is skipped.
macro_rules! daemon {
    () => {
        match Daemon::start() {
            Some(daemon) => daemon,
            None => {
                eprintln!("SKIPPED: tgtd is not installed; './vm-harness/run test' unpacks it");
                return;
            }
        }
    };
}

/// What libiscsi's `iscsi-ls` finds there: another initiator's view. Sorted lines of name and portal.
fn seen_by_libiscsi(portal: &str) -> Vec<String> {
    let output = Command::new("iscsi-ls").arg(format!("iscsi://{portal}")).output();
    let output = output.expect("iscsi-ls is there where tgtd is: package libiscsi-bin");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("iscsi-ls prints ASCII");
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| {
            let (name, portal) = line
                .strip_prefix("Target:")
                .and_then(|rest| rest.split_once(" Portal:"))
                .unwrap_or_else(|| panic!("iscsi-ls prints '{line}'"));
            format!("{name} {portal}")
        })
        .collect();
    lines.sort();
    lines
}

fn lines(found: &Discovered) -> Vec<String> {
    let targets = &found.found.targets;
    let lines =
        targets.iter().flat_map(|t| t.addresses.iter().map(|address| format!("{} {address}", t.name)));
    lines.collect()
}

#[test]
fn two_hundred_targets_are_found_as_libiscsi_finds_them() {
    let daemon = daemon!();
    for tid in 1..=200 {
        daemon.target(tid, &format!("iqn.2025-01.test:target-with-a-name-that-takes-its-room-{tid:03}"));
    }
    let found = ask(&daemon.portal(), None, PLENTY).unwrap();
    assert_eq!(found.found.targets.len(), 200);
    assert_eq!(lines(&found), seen_by_libiscsi(&daemon.portal().to_string()));
    let printed = printed(&thinvol(&["scan", "iscsi", &daemon.portal().to_string()]));
    let due: Vec<String> = names(&found).iter().map(|name| format!("{name} {}", daemon.portal())).collect();
    assert_eq!(printed.lines().collect::<Vec<_>>(), due);
}

#[test]
fn a_target_list_comes_by_ipv6_and_by_host_name_too() {
    let daemon = daemon!();
    daemon.target(1, "iqn.2025-01.test:a");
    let by_name = format!("localhost:{}", daemon.portal().port).parse().unwrap();
    assert_eq!(names(&ask(&by_name, None, PLENTY).unwrap()), ["iqn.2025-01.test:a"]);
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: IPv6, this machine has no ::1");
        return;
    }
    let portal = daemon.listen_on_v6();
    let found = ask(&portal, None, PLENTY).unwrap();
    assert_eq!(lines(&found), [format!("iqn.2025-01.test:a {portal},1")]);
    assert_eq!(lines(&found), seen_by_libiscsi(&portal.to_string()));
}

#[test]
fn logins_to_a_target_agree_with_it_on_parameters() {
    let daemon = daemon!();
    daemon.target(1, "iqn.2025-01.test:open");
    let session = daemon.log_in("iqn.2025-01.test:open", None).unwrap();
    assert_eq!(session.requests, 1, "without authentication a login is one round");
    assert!(session.tsih != 0 && session.portal_group_tag == Some(1));
    assert_eq!(session.parameters.max_send_data_segment_length, 8192, "tgtd's default");
    let error = daemon.log_in("iqn.2025-01.test:absent", None).unwrap_err();
    assert!(error.contains("does not exist at this portal (status 02/03"), "{error}");
}

#[test]
fn chap_works_one_way_and_both_ways_and_fails_with_a_reason() {
    const SECRET: &str = "secretsecret1";
    const OTHER: &str = "anothersecret";
    let daemon = daemon!();
    daemon.account("alice", SECRET);
    daemon.account("array", OTHER);
    daemon.target(1, "iqn.2025-01.test:one-way");
    daemon.bind_account(1, "alice", false);
    daemon.target(2, "iqn.2025-01.test:mutual");
    daemon.bind_account(2, "alice", false);
    daemon.bind_account(2, "array", true);
    let chap = |secret: &str, other: Option<&str>, algorithms: &[Algorithm]| {
        Some(crate::chap(secret, other, algorithms))
    };
    let md5 = [Algorithm::Md5];
    let session = daemon.log_in("iqn.2025-01.test:one-way", chap(SECRET, None, &md5)).unwrap();
    assert_eq!(
        (session.authenticated, session.is_mutual, session.requests),
        (Some(Algorithm::Md5), false, 4)
    );
    // tgtd does not know SHA-1 by its number, and falls back to MD5 where that is offered.
    let both = [Algorithm::Sha1, Algorithm::Md5];
    let session = daemon.log_in("iqn.2025-01.test:one-way", chap(SECRET, None, &both)).unwrap();
    assert_eq!(session.authenticated, Some(Algorithm::Md5));
    let session = daemon.log_in("iqn.2025-01.test:mutual", chap(SECRET, Some(OTHER), &md5)).unwrap();
    assert!(session.is_mutual);
    let error = |target, chap| daemon.log_in(target, chap).unwrap_err();
    let text = error("iqn.2025-01.test:one-way", chap("not the secret", None, &md5));
    assert!(text.contains("could not authenticate this initiator (status 02/01"), "{text}");
    let text = error("iqn.2025-01.test:one-way", None);
    assert!(text.contains("hint: the target demands CHAP"), "{text}");
    let text = error("iqn.2025-01.test:mutual", chap(SECRET, Some("not its secret"), &md5));
    assert!(text.contains("could not prove that it knows its secret"), "{text}");
    let text = error("iqn.2025-01.test:one-way", chap(SECRET, Some(OTHER), &md5));
    assert!(text.contains("hint: "), "a target without a secret of its own: {text}");
    let text = error("iqn.2025-01.test:one-way", chap(SECRET, None, &[Algorithm::Sha1]));
    assert!(text.contains("know none of the algorithms offered"), "{text}");
    // tgtd computes SHA-1 under the number of SHA-256.
    let text = error("iqn.2025-01.test:one-way", chap(SECRET, None, &[Algorithm::Sha256]));
    assert!(text.contains("algorithms = md5"), "{text}");
}

#[test]
fn redirections_are_read() {
    let daemon = daemon!();
    for (tid, reason, is_permanent) in [(1, "Temporary", false), (2, "Permanent", true)] {
        let name = format!("iqn.2025-01.test:moved-{tid}");
        daemon.target(tid, &name);
        daemon.redirect(tid, "127.0.0.2", 3261, reason);
        let text = daemon.log_in(&name, None).unwrap_err();
        assert_eq!(text, format!("moved to 127.0.0.2:3261, for good: {is_permanent}"));
    }
}
