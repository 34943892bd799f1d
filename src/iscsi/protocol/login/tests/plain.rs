//! Logins without authentication.

use super::*;

#[test]
fn a_login_without_authentication_takes_one_round() {
    let (mut login, first) = Login::start(settings(), nonce());
    let header = LoginRequest::decode(&first).unwrap();
    assert_eq!((header.stage, header.transit), (Stage::Operational, Some(Stage::FullFeature)));
    assert_eq!((header.itt, header.cmd_sn, header.tsih), (7, 100, 0));
    let keys = sent(&first);
    assert_eq!(
        keys[..3],
        ["InitiatorName=iqn.2025-01.test:init", "TargetName=iqn.2025-01.test:a", "SessionType=Normal"]
    );
    assert_eq!(keys.len(), 3 + 14, "every key is offered, lest the target proposes it");
    let text = pairs("TargetPortalGroupTag=1 TargetAlias=disk InitialR2T=Yes");
    let session = done(login.answer(&reply(&first, 41).encode(text)).unwrap());
    assert_eq!((session.tsih, session.cmd_sn, session.exp_stat_sn, session.requests), (0x1234, 100, 42, 1));
    assert_eq!((session.portal_group_tag, session.target_alias.as_deref()), (Some(1), Some("disk")));
    assert!(session.parameters.initial_r2t && session.authenticated.is_none() && !session.is_mutual);
    assert_eq!(login.answer(&first).unwrap_err(), LoginError::Over);
}

#[test]
fn response_numbers_wrap() {
    let (mut login, first) = Login::start(settings(), nonce());
    let mut slow = reply(&first, u32::MAX);
    slow.transit = None;
    let second = next(login.answer(&slow.encode(Vec::new())).unwrap());
    assert_eq!(LoginRequest::decode(&second).unwrap().exp_stat_sn, 0);
    let session = done(login.answer(&reply(&second, 0).encode(Vec::new())).unwrap());
    assert_eq!(session.exp_stat_sn, 1);
}

#[test]
fn proposals_are_answered_and_we_stay_ready() {
    let (mut login, first) = Login::start(settings(), nonce());
    let mut response = reply(&first, 1);
    response.transit = None;
    let second =
        next(login.answer(&response.encode(pairs("OFMarker=Yes X-y=1 MaxBurstLength=4096"))).unwrap());
    let header = LoginRequest::decode(&second).unwrap();
    assert_eq!((header.transit, header.itt, header.exp_stat_sn), (Some(Stage::FullFeature), 7, 2));
    assert_eq!(sent(&second), ["OFMarker=No", "X-y=NotUnderstood"]);
    let session = done(login.answer(&reply(&second, 2).encode(Vec::new())).unwrap());
    assert_eq!((session.parameters.max_burst_length, session.requests), (4096, 2));
}

#[test]
fn a_text_in_parts_is_joined_whatever_the_cut() {
    let text = pairs("TargetPortalGroupTag=3 MaxBurstLength=4096 InitialR2T=Yes");
    for cut in 0..=text.len() {
        let (mut login, first) = Login::start(settings(), nonce());
        let (a, b) = text.split_at(cut);
        let mut part = reply(&first, 1);
        (part.transit, part.more) = (None, true);
        let ask = next(login.answer(&part.encode(a.to_vec())).unwrap());
        let header = LoginRequest::decode(&ask).unwrap();
        assert_eq!((header.transit, header.more, ask.data.len()), (None, false, 0), "the rest is asked for");
        let ready = next(login.answer(&reply(&ask, 2).encode(b.to_vec())).unwrap());
        let header = LoginRequest::decode(&ready).unwrap();
        assert_eq!(header.transit, Some(Stage::FullFeature), "then we are ready again");
        let session = done(login.answer(&reply(&ready, 3).encode(Vec::new())).unwrap());
        assert_eq!((session.portal_group_tag, session.parameters.max_burst_length), (Some(3), 4096));
    }
}

#[test]
fn our_own_long_texts_go_out_in_parts() {
    let (mut login, first) = Login::start(settings(), nonce());
    let mut response = reply(&first, 1);
    response.transit = None;
    // Proposals so many that their answers do not fit one PDU.
    let text: String = (0..200).map(|n| format!("X-{}{n}=1 ", "k".repeat(50))).collect();
    let mut request = next(login.answer(&response.encode(pairs(&text))).unwrap());
    let (mut text, mut stat_sn, mut parts) = (request.data.clone(), 2, 1);
    loop {
        let header = LoginRequest::decode(&request).unwrap();
        assert!(request.data.len() <= 8192);
        if !header.more {
            assert_eq!(header.transit, Some(Stage::FullFeature));
            break;
        }
        assert_eq!(header.transit, None);
        request = next(login.answer(&reply(&request, stat_sn).encode(Vec::new())).unwrap());
        text.extend_from_slice(&request.data);
        stat_sn += 1;
        parts += 1;
    }
    assert_eq!(parts, 2);
    assert_eq!(text::parse(&text, 999).unwrap().len(), 200);
    assert!(matches!(
        login.answer(&reply(&request, stat_sn).encode(Vec::new())).unwrap(),
        LoginStep::Done(_)
    ));
}

#[test]
fn where_the_kernel_numbers_its_task_tags_are_taken() {
    let settings = Settings { numbering: Numbering::Kernel, exp_stat_sn: 77, ..settings() };
    let (mut login, first) = Login::start(settings, nonce());
    assert_eq!(LoginRequest::decode(&first).unwrap().exp_stat_sn, 77);
    let mut response = reply(&first, 77);
    response.itt = 0x1000_0000;
    assert_eq!(done(login.answer(&response.encode(Vec::new())).unwrap()).exp_stat_sn, 78);
}

#[test]
fn discovery_names_no_target_and_needs_no_session_name() {
    let (mut login, first) = Login::start(Settings { kind: SessionKind::Discovery, ..settings() }, nonce());
    assert_eq!(sent(&first)[..2], ["InitiatorName=iqn.2025-01.test:init", "SessionType=Discovery"]);
    assert!(!sent(&first).iter().any(|pair| pair.starts_with("MaxBurstLength")));
    let mut response = reply(&first, 1);
    response.tsih = 0;
    done(login.answer(&response.encode(Vec::new())).unwrap());
}
