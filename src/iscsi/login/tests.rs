use super::*;
use crate::iscsi::pdu::LoginResponse;
use crate::iscsi::text;

pub fn settings() -> Settings {
    Settings {
        initiator: "iqn.2025-01.test:init".parse().unwrap(),
        kind: SessionKind::Normal("iqn.2025-01.test:a".parse().unwrap()),
        isid: Isid([0x80, 1, 2, 3, 4, 5]),
        numbering: Numbering::Ours { itt: 7, cmd_sn: 100 },
        exp_stat_sn: 0,
        chap: None,
        offer: Offer::default(),
    }
}

pub fn nonce() -> Nonce {
    [9; 33].into()
}

/// The answer of a sound target to a request, with these pairs.
pub fn reply(request: &Pdu, stat_sn: u32, text: &str) -> (LoginResponse, Vec<u8>) {
    let request = LoginRequest::decode(request).unwrap();
    let response = LoginResponse {
        transit: request.transit,
        more: false,
        stage: request.stage,
        version_active: 0,
        isid: request.isid,
        tsih: if request.transit == Some(Stage::FullFeature) { 0x1234 } else { 0 },
        itt: request.itt,
        stat_sn,
        exp_cmd_sn: request.cmd_sn,
        max_cmd_sn: request.cmd_sn,
        status: (0, 0),
    };
    (response, text.replace(' ', "\0").into_bytes())
}

fn sent(pdu: &Pdu) -> Vec<String> {
    let pairs = text::parse(&pdu.data, 99).unwrap();
    pairs.iter().map(|pair| format!("{}={}", pair.key, pair.text().unwrap())).collect()
}

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
    let (response, text) = reply(&first, 41, "TargetPortalGroupTag=1 TargetAlias=disk InitialR2T=Yes");
    let Step::Done(done) = login.answer(&response.encode(text)).unwrap() else { panic!("not done") };
    assert_eq!((done.tsih, done.cmd_sn, done.exp_stat_sn, done.requests), (0x1234, 100, 42, 1));
    assert_eq!((done.portal_group_tag, done.target_alias.as_deref()), (Some(1), Some("disk")));
    assert!(done.parameters.initial_r2t && done.authenticated.is_none());
    assert_eq!(login.answer(&first).unwrap_err(), LoginError::Over);
}
