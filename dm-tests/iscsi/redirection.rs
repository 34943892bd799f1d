//! Targets that send the initiator elsewhere.

use base::error_kind::ErrorKind;

use crate::peer::{Act, Peer};
use crate::target::ScriptedTarget;
use crate::{PLENTY, ask, client, in_full, names};

const NAME: &str = "iqn.2025-01.test:a";

/// A portal that redirects to an address.
fn to(address: &str) -> Peer {
    Peer::sound(ScriptedTarget { moved_to: Some(address.to_owned()), ..ScriptedTarget::named(&[]) })
}

#[test]
fn the_new_portal_is_asked_and_both_are_told() {
    let there = Peer::sound(ScriptedTarget::named(&[NAME]));
    let here = to(&there.portal().to_string());
    let found = ask(&here.portal(), None, PLENTY).unwrap();
    assert_eq!(names(&found), [NAME]);
    assert_eq!(found.way.portals(), [here.portal(), there.portal()]);
}

#[test]
fn it_may_be_a_host_name_or_ipv6() {
    let there = Peer::sound(ScriptedTarget::named(&[NAME]));
    let here = to(&format!("localhost:{}", there.portal().port));
    assert_eq!(names(&ask(&here.portal(), None, PLENTY).unwrap()), [NAME]);
    match Peer::at("[::1]:0", ScriptedTarget::named(&[NAME]), |_, bytes| Act::Send(bytes)) {
        Ok(there) => {
            let here = to(&there.portal().to_string());
            assert_eq!(names(&ask(&here.portal(), None, PLENTY).unwrap()), [NAME]);
        }
        Err(error) => eprintln!("SKIPPED: redirection to IPv6, this machine has no ::1 ({error})"),
    }
}

#[test]
fn circles_are_left() {
    // The first one's address is not known when the second is made: a third is told to go back to the second.
    let target = Peer::sound(ScriptedTarget::named(&[NAME]));
    let portal = target.portal();
    drop(target);
    let second = to(&portal.to_string());
    let first = Peer::at(
        &portal.to_string(),
        ScriptedTarget { moved_to: Some(second.portal().to_string()), ..ScriptedTarget::named(&[]) },
        |_, bytes| Act::Send(bytes),
    )
    .unwrap();
    let error = ask(&first.portal(), None, PLENTY).unwrap_err();
    let due = format!(
        "portal {} redirects to {}, where the login has been already",
        second.portal(),
        first.portal()
    );
    assert_eq!(in_full(&error), due);
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.hint(&client(None).initiator).unwrap().contains("point at each other"));
}

#[test]
fn chains_have_an_end() {
    let mut chain = vec![Peer::sound(ScriptedTarget::named(&[NAME]))];
    for _ in 0..6 {
        let next = chain.last().unwrap().portal().to_string();
        chain.push(to(&next));
    }
    assert_eq!(names(&ask(&chain[5].portal(), None, PLENTY).unwrap()), [NAME], "five are followed");
    let text = in_full(&ask(&chain[6].portal(), None, PLENTY).unwrap_err());
    assert!(text.ends_with("after 5 redirections"), "{text}");
}

#[test]
fn nonsense_is_not_followed() {
    for address in ["", "10.0.0.1:0", "a b", "[::1"] {
        let text = in_full(&ask(&to(address).portal(), None, PLENTY).unwrap_err());
        assert!(text.contains("the target has moved to what is no portal"), "{text}");
    }
}
