//! Discovery with CHAP.

use base::error_kind::ErrorKind;
use iscsi::host::discover::{DiscoveryClient, discover};
use iscsi::host::limit::Limit;
use iscsi::protocol::chap::Algorithm;

use crate::peer::{Act, Peer};
use crate::target::ScriptedTarget;
use crate::{PLENTY, account, ask, chap, client, in_full, names};

const NAME: &str = "iqn.2025-01.test:a";
const SECRET: &str = "secretsecret1";
const OTHER: &str = "another secret";

fn target(is_mutual: bool, algorithm: Algorithm) -> ScriptedTarget {
    let accounts = Some((account("alice", SECRET), is_mutual.then(|| account("array", OTHER))));
    ScriptedTarget { accounts, algorithm, ..ScriptedTarget::named(&[NAME]) }
}

const ALL: [Algorithm; 4] = [Algorithm::Md5, Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha3_256];

#[test]
fn every_algorithm_works_one_way_and_both_ways() {
    for algorithm in ALL {
        for is_mutual in [false, true] {
            let peer = Peer::sound(target(is_mutual, algorithm));
            let chap = chap(SECRET, is_mutual.then_some(OTHER), &ALL);
            assert_eq!(names(&ask(&peer.portal(), Some(chap), PLENTY).unwrap()), [NAME], "{algorithm}");
        }
    }
}

#[test]
fn a_target_need_not_end_the_stage_with_its_proof() {
    for is_mutual in [false, true] {
        let target = ScriptedTarget { stays_after_proof: true, ..target(is_mutual, Algorithm::Md5) };
        let peer = Peer::sound(target);
        let chap = chap(SECRET, is_mutual.then_some(OTHER), &[Algorithm::Md5]);
        assert_eq!(names(&ask(&peer.portal(), Some(chap), PLENTY).unwrap()), [NAME]);
    }
}

#[test]
fn a_wrong_secret_is_refused_with_what_to_check() {
    let peer = Peer::sound(target(false, Algorithm::Md5));
    let wrong = chap("a wrong secret", None, &[Algorithm::Md5]);
    let error = ask(&peer.portal(), Some(wrong), PLENTY).unwrap_err();
    let text = in_full(&error);
    assert!(text.contains("could not authenticate this initiator (status 02/01"), "{text}");
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.hint(&client(None).initiator).unwrap().contains("check user and secret"));
    let error = ask(&peer.portal(), None, PLENTY).unwrap_err();
    assert!(error.hint(&client(None).initiator).unwrap().contains("the target demands CHAP"));
}

#[test]
fn a_target_that_cannot_prove_itself_gets_nothing_more() {
    let mut impostor = target(true, Algorithm::Md5);
    impostor.accounts = Some((account("alice", SECRET), Some(account("array", "not the secret"))));
    let asked_on = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&asked_on);
    let peer = Peer::start(impostor, move |index, bytes| {
        count.fetch_max(index, std::sync::atomic::Ordering::Relaxed);
        Act::Send(bytes)
    });
    let chap = chap(SECRET, Some(OTHER), &[Algorithm::Md5]);
    let text = in_full(&ask(&peer.portal(), Some(chap), PLENTY).unwrap_err());
    assert!(text.contains("could not prove that it knows its secret"), "{text}");
    drop(peer);
    assert_eq!(
        asked_on.load(std::sync::atomic::Ordering::Relaxed),
        2,
        "nothing was said after the wrong proof"
    );
}

#[test]
fn a_target_without_discovery_chap_is_asked_without_where_none_was_meant_for_it() {
    let may_go =
        DiscoveryClient { may_go_without: true, ..client(Some(chap(SECRET, None, &[Algorithm::Md5]))) };
    for picks_no_chap in [false, true] {
        let peer = Peer::sound(ScriptedTarget { picks_no_chap, ..ScriptedTarget::named(&[NAME]) });
        let answer = discover(&peer.portal(), &may_go, &Limit::new(PLENTY)).unwrap();
        assert!(names(&answer) == [NAME] && answer.went_without);
        let meant = DiscoveryClient { may_go_without: false, ..may_go.clone() };
        discover(&peer.portal(), &meant, &Limit::new(PLENTY)).unwrap_err();
    }
    let peer = Peer::sound(target(false, Algorithm::Md5));
    let answer = discover(&peer.portal(), &may_go, &Limit::new(PLENTY)).unwrap();
    assert!(!answer.went_without, "where CHAP is done it is used");
    let wrong = DiscoveryClient { chap: Some(chap("a wrong secret", None, &[Algorithm::Md5])), ..may_go };
    let text = in_full(&discover(&peer.portal(), &wrong, &Limit::new(PLENTY)).unwrap_err());
    assert!(text.contains("could not authenticate this initiator (status 02/01"), "{text}");
}

#[test]
fn an_algorithm_that_was_not_offered_is_no_choice() {
    let peer = Peer::sound(target(false, Algorithm::Md5));
    let only = chap(SECRET, None, &[Algorithm::Sha256]);
    let text = in_full(&ask(&peer.portal(), Some(only), PLENTY).unwrap_err());
    assert!(text.contains("picks CHAP algorithm '5', which was not offered"), "{text}");
}
