use super::*;
use crate::protocol::pdu::LoginResponse;
use crate::protocol::text;

mod authenticated;
mod hostile;
mod plain;
mod refused;

fn settings() -> Settings {
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

fn nonce() -> Nonce {
    [9; 33].into()
}

/// The answer of a sound target to a request, without text.
fn reply(request: &Pdu, stat_sn: u32) -> LoginResponse {
    let request = LoginRequest::decode(request).unwrap();
    LoginResponse {
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
    }
}

/// Pairs, written with blanks between them.
fn pairs(text: &str) -> Vec<u8> {
    text.split(' ')
        .filter(|pair| !pair.is_empty())
        .flat_map(|pair| [pair.as_bytes(), b"\0"].concat())
        .collect()
}

/// What a request says.
fn sent(pdu: &Pdu) -> Vec<String> {
    let pairs = text::parse(&pdu.data, 99).unwrap();
    pairs.iter().map(|pair| format!("{}={}", pair.key, pair.text().unwrap())).collect()
}

fn next(step: LoginStep) -> Pdu {
    match step {
        LoginStep::Send(pdu) => pdu,
        other => panic!("{other:?}"),
    }
}

fn done(step: LoginStep) -> LoggedIn {
    match step {
        LoginStep::Done(session) => *session,
        other => panic!("{other:?}"),
    }
}
