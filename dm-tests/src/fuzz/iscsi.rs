//! What iSCSI targets send, and files with their secrets.

use iscsi::host::chap_file;
use iscsi::protocol::chap::{Account, Algorithm, Chap, Nonce, Secret};
use iscsi::protocol::listing::{Listing, Next};
use iscsi::protocol::login::{LoggedIn, Login, LoginStep, Numbering, SessionKind, Settings};
use iscsi::protocol::name::Isid;
use iscsi::protocol::params::Offer;
use iscsi::protocol::pdu::{Framer, LoginResponse, Pdu, Stage};
use iscsi::protocol::portal::Portal;
use iscsi::protocol::targets::SendTargetsAnswer;

/// How large a PDU is taken.
const DATA_MAX: u32 = 65_536;

/// The most a login may send, and then some.
const MANY: usize = 100;

fn settings(has_chap: bool) -> Settings {
    let secret = Secret::new(b"secretsecret1".to_vec().into()).expect("it has a sound length");
    let account = Account { user: "alice".into(), secret };
    let chap = Chap::new(account, None, vec![Algorithm::Md5]).expect("the account is sound");
    Settings {
        initiator: "iqn.2025-01.test:initiator".parse().expect("it is a name"),
        kind: SessionKind::Discovery,
        isid: Isid([0; 6]),
        numbering: Numbering::Kernel,
        exp_stat_sn: 0,
        chap: has_chap.then_some(chap),
        offer: Offer::default(),
    }
}

/// The bytes as a stream of a target's, heard by a login without and with CHAP, and by who asks for targets; and as a
/// list of targets and a CHAP file.
pub fn conversation(bytes: &[u8]) {
    let pdus = pdus(bytes);
    for has_chap in [false, true] {
        if let Some(session) = login(&pdus, has_chap) {
            assert!(!has_chap || session.authenticated.is_some(), "a way around CHAP");
        }
    }
    let portal: Portal = "[fe80::1%eth0]:3260".parse().expect("it is a portal");
    if let Ok(found) = SendTargetsAnswer::read(bytes, &portal) {
        let names: Vec<_> = found.targets.iter().map(|target| &target.name).collect();
        assert!(names.is_sorted() && found.targets.iter().all(|target| !target.addresses.is_empty()));
        assert!(found.left_out.iter().all(|text| !text.chars().any(char::is_control)));
    }
    if let Err(error) = chap_file::parse(bytes) {
        assert!(!error.to_string().chars().any(char::is_control));
    }
}

fn pdus(bytes: &[u8]) -> Vec<Pdu> {
    let mut framer = Framer::new(DATA_MAX);
    let mut rest = bytes;
    std::iter::from_fn(|| framer.take(&mut rest).ok().flatten()).collect()
}

/// The session, if the login came to one.
fn login(pdus: &[Pdu], has_chap: bool) -> Option<LoggedIn> {
    let (mut login, _) = Login::start(settings(has_chap), Nonce::from([9; 33]));
    let mut heard = pdus.iter();
    for pdu in heard.by_ref().take(MANY) {
        match login.answer(pdu) {
            Ok(LoginStep::Send(request)) => assert!(request.data.len() <= 8192),
            Ok(LoginStep::Redirect(_)) => return None,
            Ok(LoginStep::Done(session)) => {
                list(&session, heard.as_slice());
                return Some(*session);
            }
            Err(error) => {
                assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
                return None;
            }
        }
    }
    None
}

fn list(session: &LoggedIn, pdus: &[Pdu]) {
    let (mut listing, _) = Listing::start(session);
    for pdu in pdus {
        match listing.hear(pdu) {
            Ok(Next::Wait | Next::Send(_)) => {}
            Ok(Next::Listed { .. }) | Err(_) => return,
        }
    }
}

/// A response that keeps the rules, with a text.
fn response(stage: Stage, transit: Option<Stage>, stat_sn: u32, text: &str) -> Vec<u8> {
    let response = LoginResponse {
        transit,
        more: false,
        stage,
        version_active: 0,
        isid: Isid([0; 6]),
        tsih: 1,
        itt: 0,
        stat_sn,
        exp_cmd_sn: 1,
        max_cmd_sn: 1,
        status: (0, 0),
    };
    response.encode(text.replace(' ', "\0").into_bytes()).to_bytes()
}

/// Conversations as targets hold them, a list and a CHAP file.
pub fn seeds() -> Vec<Vec<u8>> {
    let (security, operational) = (Stage::Security, Stage::Operational);
    let end = Some(Stage::FullFeature);
    let plain =
        response(operational, end, 1, "TargetPortalGroupTag=1 HeaderDigest=None MaxBurstLength=262144 ");
    let chap = [
        response(security, None, 1, "AuthMethod=CHAP "),
        response(security, None, 2, "CHAP_A=5 CHAP_I=42 CHAP_C=0x0102 "),
        response(security, Some(operational), 3, ""),
        response(operational, end, 4, "IFMarker=No "),
    ];
    let list = "TargetName=iqn.2025-01.test:a TargetAddress=[fe80::2]:3260,1 TargetAddress=0.0.0.0:3260,1 ";
    vec![
        plain,
        chap.concat(),
        list.replace(' ', "\0").into_bytes(),
        b"user = alice\nsecret = secretsecret1\n[discovery]\nalgorithms = sha1\n".to_vec(),
    ]
}
