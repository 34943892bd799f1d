//! Logins with CHAP.

use super::*;
use crate::protocol::chap::{Account, ChapError, Secret};
use zeroize::Zeroizing;

fn account(user: &str, secret: &str) -> Account {
    Account { user: user.into(), secret: Secret::new(Zeroizing::new(secret.into())).unwrap() }
}

fn with_chap(is_mutual: bool) -> Settings {
    let target = is_mutual.then(|| account("array", "another secret"));
    let chap = Chap::new(account("alice", "secretsecret1"), target, vec![Algorithm::Md5]).unwrap();
    Settings { chap: Some(chap), ..settings() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// A login that has sent its proof, and the request that holds it.
fn proof_sent(settings: Settings) -> (Login, Pdu) {
    let (mut login, first) = Login::start(settings, nonce());
    let header = LoginRequest::decode(&first).unwrap();
    assert_eq!((header.stage, header.transit), (Stage::Security, None));
    assert!(sent(&first).contains(&"AuthMethod=CHAP".to_owned()));
    let text = pairs("TargetPortalGroupTag=1 AuthMethod=CHAP");
    let second = next(login.answer(&reply(&first, 1).encode(text)).unwrap());
    assert_eq!(sent(&second), ["CHAP_A=5"]);
    let text = pairs("CHAP_A=5 CHAP_I=42 CHAP_C=0x0102");
    let third = next(login.answer(&reply(&second, 2).encode(text)).unwrap());
    assert_eq!(LoginRequest::decode(&third).unwrap().transit, Some(Stage::Operational));
    (login, third)
}

#[test]
fn one_way_takes_four_rounds_and_the_parameters_come_last() {
    let (mut login, proof) = proof_sent(with_chap(false));
    let due = Algorithm::Md5.response(42, &account("", "secretsecret1").secret, &[1, 2]);
    assert_eq!(sent(&proof), ["CHAP_N=alice".to_owned(), format!("CHAP_R={}", hex(&due))]);
    let fourth = next(login.answer(&reply(&proof, 3).encode(Vec::new())).unwrap());
    let header = LoginRequest::decode(&fourth).unwrap();
    assert_eq!((header.stage, header.transit), (Stage::Operational, Some(Stage::FullFeature)));
    assert_eq!(sent(&fourth).len(), 14);
    let session = done(login.answer(&reply(&fourth, 4).encode(Vec::new())).unwrap());
    assert_eq!((session.authenticated, session.is_mutual), (Some(Algorithm::Md5), false));
    assert_eq!((session.requests, session.portal_group_tag), (4, Some(1)));
}

fn target_proof(secret: &str) -> String {
    let proof = Algorithm::Md5.response(9, &account("", secret).secret, &[9; 16]);
    format!("CHAP_N=array CHAP_R={}", hex(&proof))
}

#[test]
fn both_ways_the_target_proves_itself_before_anything_else_is_said() {
    let (mut login, proof) = proof_sent(with_chap(true));
    assert_eq!(sent(&proof)[2..], ["CHAP_I=9".to_owned(), format!("CHAP_C=0x{}", "09".repeat(16))]);
    let fourth = login.answer(&reply(&proof, 3).encode(pairs(&target_proof("another secret")))).unwrap();
    let fourth = next(fourth);
    let session = done(login.answer(&reply(&fourth, 4).encode(Vec::new())).unwrap());
    assert!(session.is_mutual);
}

/// The error of a login that has sent its proof and gets this text.
fn after_proof(is_mutual: bool, text: &str) -> LoginError {
    let (mut login, proof) = proof_sent(with_chap(is_mutual));
    login.answer(&reply(&proof, 3).encode(pairs(text))).unwrap_err()
}

#[test]
fn a_target_that_does_not_prove_itself_is_refused() {
    let chap = |error| LoginError::Chap(error);
    assert_eq!(after_proof(true, ""), chap(ChapError::Missing("CHAP_N")));
    assert_eq!(after_proof(true, "CHAP_N=array"), chap(ChapError::Missing("CHAP_R")));
    assert_eq!(after_proof(true, &target_proof("secretsecret1")), chap(ChapError::WrongProof));
    let (_, proof) = proof_sent(with_chap(true));
    let reflected = sent(&proof)[..2].join(" ").replace("alice", "array");
    assert_eq!(
        after_proof(true, &reflected),
        chap(ChapError::WrongProof),
        "our own proof is none of the target's"
    );
    let unasked = after_proof(false, &target_proof("another secret"));
    assert_eq!(unasked, chap(ChapError::Unexpected("CHAP_N".into())));
    let twice = format!("{0} {0}", target_proof("another secret"));
    assert_eq!(after_proof(true, &twice), chap(ChapError::Unexpected("CHAP_N".into())));
}

/// The answer of a target that does not end the stage, to the request and its number.
fn staying(request: &Pdu, stat_sn: u32) -> LoginResponse {
    let mut response = reply(request, stat_sn);
    response.transit = None;
    response
}

#[test]
fn a_target_that_proves_itself_without_ending_the_stage_is_asked_to() {
    for is_mutual in [false, true] {
        let (mut login, proof) = proof_sent(with_chap(is_mutual));
        let theirs = if is_mutual { target_proof("another secret") } else { String::new() };
        let text = format!("{theirs} X-org.test.a=1");
        let fourth = next(login.answer(&staying(&proof, 3).encode(pairs(text.trim()))).unwrap());
        let header = LoginRequest::decode(&fourth).unwrap();
        assert_eq!((header.stage, header.transit), (Stage::Security, Some(Stage::Operational)));
        assert_eq!(sent(&fourth), ["X-org.test.a=NotUnderstood"]);
        let fifth = next(login.answer(&staying(&fourth, 4).encode(Vec::new())).unwrap());
        assert!(fifth.data.is_empty(), "nothing is left to be said");
        let sixth = next(login.answer(&reply(&fifth, 5).encode(Vec::new())).unwrap());
        assert_eq!(LoginRequest::decode(&sixth).unwrap().stage, Stage::Operational);
        let session = done(login.answer(&reply(&sixth, 6).encode(Vec::new())).unwrap());
        assert_eq!((session.authenticated, session.is_mutual), (Some(Algorithm::Md5), is_mutual));
    }
}

#[test]
fn a_proof_that_is_due_does_not_come_later() {
    let (mut login, proof) = proof_sent(with_chap(true));
    let error = login.answer(&staying(&proof, 3).encode(Vec::new())).unwrap_err();
    assert_eq!(error, LoginError::Chap(ChapError::Missing("CHAP_N")));
    let (mut login, proof) = proof_sent(with_chap(false));
    let fourth = next(login.answer(&staying(&proof, 3).encode(Vec::new())).unwrap());
    let error = login.answer(&staying(&fourth, 4).encode(pairs("CHAP_A=5"))).unwrap_err();
    assert_eq!(error, LoginError::Chap(ChapError::Unexpected("CHAP_A".into())));
}

#[test]
fn a_security_stage_that_does_not_end_is_left() {
    let (mut login, mut request) = proof_sent(with_chap(false));
    let error =
        (3..).find_map(|stat_sn| match login.answer(&staying(&request, stat_sn).encode(Vec::new())) {
            Ok(step) => {
                request = next(step);
                None
            }
            Err(error) => Some(error),
        });
    assert_eq!(error, Some(LoginError::TooManyRequests(64)));
}

#[test]
fn there_is_no_way_around_authentication() {
    for (text, error) in [
        ("AuthMethod=None", ChapError::Method("None".into())),
        ("AuthMethod=Reject", ChapError::Method("Reject".into())),
        ("AuthMethod=KRB5", ChapError::Method("KRB5".into())),
        ("AuthMethod=CHAP,None", ChapError::Method("CHAP,None".into())),
        ("", ChapError::Missing("AuthMethod")),
        ("AuthMethod=CHAP AuthMethod=CHAP", ChapError::Unexpected("AuthMethod".into())),
        ("AuthMethod=CHAP CHAP_A=5", ChapError::Unexpected("CHAP_A".into())),
        ("AuthMethod=CHAP MaxBurstLength=512", ChapError::Unexpected("MaxBurstLength".into())),
    ] {
        let (mut login, first) = Login::start(with_chap(false), nonce());
        let answer = login.answer(&reply(&first, 1).encode(pairs(text)));
        assert_eq!(answer.unwrap_err(), LoginError::Chap(error), "{text}");
        let again = login.answer(&reply(&first, 2).encode(pairs("AuthMethod=CHAP")));
        assert_eq!(again.unwrap_err(), LoginError::Over, "a failed login does not go on");
    }
    // Nor by declaring the stage over.
    for stage in [Stage::Operational, Stage::FullFeature] {
        let (mut login, first) = Login::start(with_chap(false), nonce());
        let mut response = reply(&first, 1);
        response.transit = Some(stage);
        let answer = login.answer(&response.encode(pairs("AuthMethod=CHAP")));
        assert!(matches!(answer, Err(LoginError::Stage(_))), "{answer:?}");
    }
}

#[test]
fn vendors_keys_are_not_understood_and_do_no_harm() {
    let (mut login, first) = Login::start(with_chap(false), nonce());
    let answer = login.answer(&reply(&first, 1).encode(pairs("AuthMethod=CHAP X-org.test.a=1"))).unwrap();
    assert_eq!(sent(&next(answer)), ["X-org.test.a=NotUnderstood", "CHAP_A=5"]);
}
