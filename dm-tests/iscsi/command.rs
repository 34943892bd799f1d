//! The command, as a user meets it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use iscsi::protocol::chap::Algorithm;

use crate::peer::{Act, Peer};
use crate::target::ScriptedTarget;
use crate::{INITIATOR, account};

const SECRET: &str = "correct horse battery";

/// Runs the command as an initiator.
pub fn thinvol(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thinvol"));
    command.args(arguments).args(["--initiator", INITIATOR]).env_remove("NO_COLOR");
    command.output().expect("the command runs")
}

/// What it printed to standard output, if it succeeded without a word on standard error.
pub fn printed(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{:?}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// The exit code and what it printed to standard error, if it printed nothing else.
fn refused(output: &Output) -> (i32, String) {
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    let code = output.status.code().expect("the command is not killed");
    (code, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// An address on which nothing listens.
fn closed() -> String {
    TcpListener::bind("127.0.0.1:0").expect("loopback").local_addr().expect("it is bound").to_string()
}

#[test]
fn targets_are_listed_as_pvesm_lists_them() {
    let peer = Peer::sound(ScriptedTarget::named(&[
        "iqn.2025-01.test:b",
        "iqn.2025-01.test:longer",
        "iqn.2025-01.test:a",
    ]));
    let portal = peer.portal().to_string();
    assert_eq!(
        printed(&thinvol(&["scan", "iscsi", &portal])),
        "iqn.2025-01.test:a      127.0.0.1:3260\niqn.2025-01.test:b      127.0.0.1:3260\n\
         iqn.2025-01.test:longer 127.0.0.1:3260\n"
    );
    let json: serde_json::Value =
        serde_json::from_str(&printed(&thinvol(&["scan", "iscsi", &portal, "--json"]))).unwrap();
    assert_eq!(json["portal"], portal);
    assert_eq!(json["targets"][2]["target"], "iqn.2025-01.test:longer");
    assert_eq!(json["targets"][2]["portals"], serde_json::json!(["127.0.0.1:3260"]));
}

#[test]
fn a_portal_is_asked_by_one_interface_alone() {
    let peer = Peer::sound(ScriptedTarget::named(&["iqn.2025-01.test:a"]));
    let portal = peer.portal().to_string();
    let by = |name: &str| thinvol(&["iscsi", "discover", &portal, "--interface", name]);
    assert!(printed(&by("lo")).contains("iqn.2025-01.test:a"));
    let (code, text) = refused(&by("nowhere"));
    assert_eq!(code, 3);
    assert_eq!(
        text,
        format!(
            "error: there is no network interface 'nowhere' to reach portal {portal} by\nhint: 'ip link' lists the \
             interfaces; without --interface the routes decide\n"
        )
    );
    let (code, text) = refused(&thinvol(&["iscsi", "discover", &closed(), "--interface", "lo"]));
    assert!(code == 4 && text.contains("cannot be reached by interface lo\n"), "{code} {text}");
    for wrong in ["a/b", "default", "sixteen-characts"] {
        let (code, text) = refused(&by(wrong));
        assert!(code == 2 && text.contains("network interface"), "{code} {text}");
    }
    // A link-local portal has its interface in it, or from the option, and not both.
    let (code, text) = refused(&thinvol(&["iscsi", "discover", "fe80::1%eth0", "--interface", "lo"]));
    assert!(code == 2 && text.contains("is not reached by interface lo"), "{code} {text}");
    let (_, text) =
        refused(&thinvol(&["iscsi", "discover", "fe80::1", "--interface", "lo", "--timeout", "1"]));
    assert!(text.contains("[fe80::1%lo]:3260"), "{text}");
    let (code, text) = refused(&thinvol(&["iscsi", "discover", "fe80::5"]));
    assert!(code == 2 && text.contains("is missing\nhint: write 'fe80::5%<interface>'\n"), "{code} {text}");
}

#[test]
fn a_portal_without_targets_is_an_empty_list_and_one_that_is_down_an_error() {
    let peer = Peer::sound(ScriptedTarget::named(&[]));
    assert_eq!(printed(&thinvol(&["scan", "iscsi", &peer.portal().to_string()])), "");
    let portal = closed();
    let (code, text) = refused(&thinvol(&["scan", "iscsi", &portal]));
    assert_eq!(code, 4);
    assert_eq!(
        text,
        format!(
            "error: portal {portal} cannot be reached\ncaused by: Connection refused (os error 111)\nhint: the host is \
             there and nothing listens on that port: check the port, and whether the target's service is running\n"
        )
    );
    let stalled = Peer::start(ScriptedTarget::named(&[]), |_, _| Act::Stall);
    let (code, text) = refused(&thinvol(&["scan", "iscsi", &stalled.portal().to_string(), "--timeout", "1"]));
    assert_eq!(code, 4);
    assert!(text.contains("was given up while it was waited for an answer"), "{text}");
    assert!(text.contains("caused by: the time limit of 1.0 s is over"), "{text}");
    let (code, text) = refused(&thinvol(&["scan", "iscsi", "nowhere.invalid"]));
    assert!(
        code == 3 && text.contains("the host of portal nowhere.invalid:3260 cannot be found"),
        "{code} {text}"
    );
}

#[test]
fn several_portals_give_one_list_and_each_failure_is_told() {
    let list = "iqn.2025-01.test:a  127.0.0.1:3260  1\niqn.2025-01.test:b  127.0.0.1:3260  1\n";
    let (code, text) = refused(&thinvol(&["iscsi", "discover", &closed(), &closed()]));
    assert!(code == 4 && text.starts_with("error: 2 of 2 portals did not answer"), "{code} {text}");
    let one = Peer::sound(ScriptedTarget::named(&["iqn.2025-01.test:a", "iqn.2025-01.test:b"]));
    let two = Peer::sound(ScriptedTarget::named(&["iqn.2025-01.test:b"]));
    let (first, second) = (one.portal().to_string(), two.portal().to_string());
    assert_eq!(printed(&thinvol(&["iscsi", "discover", &first, &second, &first])), list);
    let down = closed();
    let output = thinvol(&["iscsi", "discover", &first, &down, "--json"]);
    assert_eq!(output.status.code(), Some(5));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["targets"].as_array().unwrap().len(), 2);
    assert_eq!(json["targets"][0]["listed_by"], serde_json::json!([first]));
    assert_eq!(json["targets"][0]["addresses"][0], serde_json::json!({"portal": "127.0.0.1:3260", "tag": 1}));
    assert_eq!(json["failed"][0]["portal"], down);
    assert_eq!(json["failed"][0]["error"]["code"], 4);
}

#[test]
fn secrets_come_from_a_closed_file_and_are_shown_nowhere() {
    let target = ScriptedTarget {
        accounts: Some((account("alice", SECRET), None)),
        ..ScriptedTarget::named(&["iqn.2025-01.test:a"])
    };
    assert_eq!(target.algorithm, Algorithm::Md5);
    let peer = Peer::sound(target);
    let portal = peer.portal().to_string();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chap");
    let name = path.to_str().unwrap();
    let file = |text: &str, mode| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let scan = || thinvol(&["scan", "iscsi", &portal, "--chap-file", name, "-vvv"]);
    file(&format!("user = alice\nsecret = {SECRET}\n"), 0o600);
    let output = scan();
    assert!(output.status.success());
    let shown = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(shown.contains("iqn.2025-01.test:a") && !shown.contains(SECRET), "{shown}");
    file(&format!("user = alice\nsecret = {SECRET}x\n"), 0o600);
    let output = scan();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("could not authenticate this initiator") && !text.contains(SECRET), "{text}");
    file(&format!("user = alice\nsecret = {SECRET}\n"), 0o644);
    let output = scan();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("its mode is 0644") && text.contains("chmod 600"), "{text}");
}

#[test]
fn a_chap_file_for_logins_does_not_keep_targets_from_being_listed() {
    let peer = Peer::sound(ScriptedTarget::named(&["iqn.2025-01.test:a"]));
    let portal = peer.portal().to_string();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chap");
    let write = |text: String| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        thinvol(&["scan", "iscsi", &portal, "--chap-file", path.to_str().unwrap()])
    };
    let for_logins = format!("user = alice\nsecret = {SECRET}\n");
    let output = write(for_logins.clone());
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("iqn.2025-01.test:a"), "{out}{err}");
    assert!(err.contains("does no CHAP for discovery"), "{err}");
    printed(&write(format!("{for_logins}[discovery]\n")));
    let (code, text) = refused(&write(format!("{for_logins}[discovery]\nuser = b\nsecret = {SECRET}\n")));
    assert!(code == 1 && text.contains("02/01"), "{code} {text}");
}

#[test]
fn names_and_portals_that_cannot_be_are_errors_of_usage() {
    for (arguments, message) in [
        (vec!["scan", "iscsi", ""], "portal '' is not valid: there is no host"),
        (vec!["scan", "iscsi", "10.0.0.256"], "an IPv4 address has four numbers from 0 to 255"),
        (vec!["iscsi", "discover", "[::1"], "the bracket is not closed"),
        (vec!["iscsi", "discover", "10.0.0.1", "10.0.0.2:x"], "the port is not a number from 1 to 65535"),
    ] {
        let (code, text) = refused(&thinvol(&arguments));
        assert!(code == 2 && text.contains(message) && text.contains("hint: "), "{text}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_thinvol"))
        .args(["scan", "iscsi", "10.0.0.1", "--initiator", "me"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
