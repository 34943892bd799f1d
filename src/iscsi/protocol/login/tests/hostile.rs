//! Targets that break the rules.

use super::*;
use crate::protocol::params::ParamError;
use crate::protocol::pdu::{NopIn, Numbers, PduError, Reject};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

/// The error of a first response that was changed.
fn changed(change: impl FnOnce(&mut LoginResponse), text: &str) -> LoginError {
    let (mut login, first) = Login::start(settings(), nonce());
    let mut response = reply(&first, 1);
    change(&mut response);
    let error = login.answer(&response.encode(pairs(text))).unwrap_err();
    assert_eq!(login.answer(&reply(&first, 1).encode(Vec::new())).unwrap_err(), LoginError::Over);
    error
}

#[test]
fn echoes_and_numbers_must_be_right() {
    assert_eq!(changed(|r| r.itt = 8, ""), LoginError::TaskTag { due: 7, found: 8 });
    let isid = Isid([1; 6]);
    assert_eq!(changed(|r| r.isid = isid, ""), LoginError::Isid { due: settings().isid, found: isid });
    assert_eq!(changed(|r| r.version_active = 1, ""), LoginError::Version(1));
    assert_eq!(changed(|r| r.tsih = 0, ""), LoginError::NoSession);
    assert!(matches!(changed(|r| r.stage = Stage::Security, ""), LoginError::Stage(_)));
    assert!(matches!(changed(|r| r.transit = Some(Stage::Operational), ""), LoginError::Stage(_)));
    let both = changed(|r| r.more = true, "");
    assert_eq!(both, LoginError::Pdu(PduError::Flags("Login Response")));
    let (mut login, first) = Login::start(settings(), nonce());
    let mut slow = reply(&first, 5);
    slow.transit = None;
    let second = next(login.answer(&slow.encode(Vec::new())).unwrap());
    let error = login.answer(&reply(&second, 5).encode(Vec::new())).unwrap_err();
    assert_eq!(error, LoginError::StatSn { due: 6, found: 5 });
}

#[test]
fn other_pdus_have_no_place_in_a_login() {
    let numbers = Numbers { stat_sn: 1, exp_cmd_sn: 1, max_cmd_sn: 1 };
    let hear = |pdu: &Pdu| Login::start(settings(), nonce()).0.answer(pdu).unwrap_err();
    let reject = Reject { reason: 4 };
    assert_eq!(hear(&reject.encode(numbers)), LoginError::Rejected(reject));
    let ping = NopIn { itt: u32::MAX, ttt: 1, lun: [0; 8], numbers }.encode();
    assert!(hear(&ping).to_string().contains("opcode 0x20 came (NOP-In)"));
}

#[test]
fn the_end_comes_when_it_was_asked_for() {
    let (mut login, first) = Login::start(settings(), nonce());
    let mut part = reply(&first, 1);
    (part.transit, part.more) = (None, true);
    let ask = next(login.answer(&part.encode(b"X-a".to_vec())).unwrap());
    let mut early = reply(&ask, 2);
    early.transit = Some(Stage::FullFeature);
    assert!(matches!(login.answer(&early.encode(b"=1\0".to_vec())), Err(LoginError::Stage(_))));
    let error = changed(|_| {}, "IFMarker=Yes");
    assert_eq!(error, LoginError::Params(ParamError::Unanswerable("IFMarker".into())));
    assert_eq!(
        changed(|_| {}, "TargetPortalGroupTag=1 TargetPortalGroupTag=2"),
        LoginError::Params(ParamError::Twice("TargetPortalGroupTag".into()))
    );
    assert!(changed(|_| {}, "TargetPortalGroupTag=65536").to_string().contains("TargetPortalGroupTag"));
}

#[test]
fn a_target_that_never_ends_is_left() {
    // It never says that it is ready.
    let (mut login, mut request) = Login::start(settings(), nonce());
    let mut rounds = 0;
    let error = loop {
        let mut response = reply(&request, rounds);
        response.transit = None;
        match login.answer(&response.encode(Vec::new())) {
            Ok(step) => request = next(step),
            Err(error) => break error,
        }
        rounds += 1;
    };
    assert_eq!(error, LoginError::TooManyRequests(64));
    // Its text never ends.
    let (mut login, mut request) = Login::start(settings(), nonce());
    let mut rounds = 0;
    let error = loop {
        let mut response = reply(&request, rounds);
        (response.transit, response.more) = (None, true);
        match login.answer(&response.encode(vec![b'x'; 8192])) {
            Ok(step) => request = next(step),
            Err(error) => break error,
        }
        rounds += 1;
    };
    assert_eq!(error, LoginError::TooLong(65_536));
}

fn stage() -> impl Strategy<Value = Option<Stage>> {
    prop::option::of(prop_oneof![Just(Stage::Security), Just(Stage::Operational), Just(Stage::FullFeature)])
}

fn some_text() -> impl Strategy<Value = Vec<u8>> {
    let known = prop_oneof![
        Just("TargetPortalGroupTag=1"),
        Just("AuthMethod=CHAP"),
        Just("CHAP_A=5 CHAP_I=1 CHAP_C=0x01"),
        Just("MaxRecvDataSegmentLength=512"),
        Just("InitialR2T=Yes"),
        Just("X-a=1"),
    ];
    let texts = prop::collection::vec(known, 0..5).prop_map(|texts| pairs(&texts.join(" ")));
    prop_oneof![texts, any::<Vec<u8>>()]
}

proptest! {
    #[test]
    fn whatever_comes_a_login_ends_within_its_bounds(
        with_chap: bool,
        responses in prop::collection::vec((stage(), any::<bool>(), any::<bool>(), some_text()), 1..80),
    ) {
        let mut settings = settings();
        if with_chap {
            let secret = |text: &str| {
                crate::protocol::chap::Secret::new(zeroize::Zeroizing::new(text.into())).unwrap()
            };
            let account = crate::protocol::chap::Account { user: "a".into(), secret: secret("hush hush") };
            settings.chap = Some(Chap::new(account, None, vec![Algorithm::Md5]).unwrap());
        }
        let (mut login, mut request) = Login::start(settings, nonce());
        let mut requests = 1;
        for (stat_sn, (transit, more, is_sound, text)) in (0..).zip(responses) {
            let mut response = reply(&request, stat_sn);
            if !is_sound {
                (response.transit, response.more) = (transit, more);
            }
            match login.answer(&response.encode(text)) {
                Ok(LoginStep::Send(pdu)) => {
                    assert!(pdu.data.len() <= 8192);
                    request = pdu;
                    requests += 1;
                }
                Ok(LoginStep::Done(session)) => {
                    assert!(!with_chap || session.authenticated.is_some());
                    break;
                }
                Ok(LoginStep::Redirect(_)) => panic!("nobody redirects here"),
                Err(error) => {
                    assert!(error.to_string().chars().all(|c| !c.is_control()), "{error:?}");
                    break;
                }
            }
            assert!(requests <= 64);
        }
    }

    #[test]
    fn any_pdu_is_a_step_or_an_error(header: [u8; 32], tail: [u8; 16], data in any::<Vec<u8>>()) {
        let mut bytes = [0; 48];
        bytes[..32].copy_from_slice(&header);
        bytes[32..].copy_from_slice(&tail);
        bytes[0] = 0x23;
        let _ = Login::start(settings(), nonce()).0.answer(&Pdu { header: bytes, data });
    }
}
