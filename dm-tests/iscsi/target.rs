//! A target for discovery that keeps to the standard.

use iscsi::protocol::chap::{Account, Algorithm};
use iscsi::protocol::pdu::{
    LoginRequest, LoginResponse, LogoutResponse, NO_TAG, Numbers, Pdu, Stage, TextRequest, TextResponse,
    opcode,
};
use iscsi::protocol::text;

/// What the target is like.
pub struct ScriptedTarget {
    /// Its answer to SendTargets.
    pub list: Vec<u8>,
    /// How much of it goes in one PDU.
    pub piece: usize,
    /// Who may log in, and what the target proves itself with.
    pub accounts: Option<(Account, Option<Account>)>,
    /// The algorithm it picks.
    pub algorithm: Algorithm,
    /// What it says where CHAP is offered and it does none; without it, it refuses the login.
    pub picks_no_chap: bool,
    /// Whether it says its proof, and that it is done with the initiator's, without ending the stage.
    pub stays_after_proof: bool,
    /// Where it sends everybody.
    pub moved_to: Option<String>,
}

/// The target's challenge and its number.
const CHALLENGE: ([u8; 2], u8) = ([0xab, 0xcd], 42);

impl ScriptedTarget {
    /// A target with these names in its list, for everybody.
    pub fn named(names: &[&str]) -> Self {
        let mut list = Vec::new();
        for name in names {
            text::push(&mut list, "TargetName", name);
            text::push(&mut list, "TargetAddress", "127.0.0.1:3260,1");
        }
        Self {
            list,
            piece: 8192,
            accounts: None,
            algorithm: Algorithm::Md5,
            picks_no_chap: false,
            stays_after_proof: false,
            moved_to: None,
        }
    }
}

/// One connection.
pub struct Session<'a> {
    target: &'a ScriptedTarget,
    stat_sn: u32,
    /// How much of the list was sent.
    listed: usize,
}

impl<'a> Session<'a> {
    pub fn new(target: &'a ScriptedTarget) -> Self {
        Self { target, stat_sn: 1000, listed: 0 }
    }

    /// The answers to a request.
    pub fn answer(&mut self, request: &Pdu) -> Vec<Pdu> {
        let numbers = Numbers { stat_sn: self.stat_sn, exp_cmd_sn: 1, max_cmd_sn: 32 };
        let answer = match request.opcode() {
            opcode::LOGIN_REQUEST => self.login(request),
            opcode::TEXT_REQUEST => {
                let header = TextRequest::decode(request).expect("its opcode is right");
                let rest = &self.target.list[self.listed..];
                let piece = &rest[..rest.len().min(self.target.piece)];
                self.listed += piece.len();
                let last = self.listed == self.target.list.len();
                let ttt = if last { NO_TAG } else { 77 };
                TextResponse { last, more: false, itt: header.itt, ttt, numbers }.encode(piece.to_vec())
            }
            opcode::LOGOUT_REQUEST => {
                let itt = u32::from_be_bytes(request.header[16..20].try_into().expect("four bytes"));
                LogoutResponse { response: 0, itt, numbers, time2wait: 2, time2retain: 0 }.encode()
            }
            _ => return Vec::new(),
        };
        self.stat_sn += 1;
        vec![answer]
    }

    fn login(&self, request: &Pdu) -> Pdu {
        let header = LoginRequest::decode(request).expect("its opcode is right");
        let pairs = text::parse(&request.data, 99).expect("we write sound texts");
        let value = |key: &str| {
            pairs
                .iter()
                .find(|pair| pair.key == key)
                .map(|pair| pair.text().expect("we write UTF-8").to_owned())
        };
        let mut response = LoginResponse {
            transit: header.transit,
            more: false,
            stage: header.stage,
            version_active: 0,
            isid: header.isid,
            tsih: if header.transit == Some(Stage::FullFeature) { 7 } else { 0 },
            itt: header.itt,
            stat_sn: self.stat_sn,
            exp_cmd_sn: header.cmd_sn,
            max_cmd_sn: header.cmd_sn,
            status: (0, 0),
        };
        let mut text = Vec::new();
        match &self.target.accounts {
            _ if self.target.moved_to.is_some() => {
                let address = self.target.moved_to.as_deref().unwrap_or_default();
                (response.status, response.transit) = ((1, 1), None);
                text::push(&mut text, "TargetAddress", address);
            }
            None if header.stage == Stage::Security && self.target.picks_no_chap => {
                text::push(&mut text, "AuthMethod", "None");
            }
            None if header.stage == Stage::Security => response.status = (2, 1),
            Some(_) if header.stage == Stage::Operational && value("InitiatorName").is_some() => {
                (response.status, response.transit) = ((2, 1), None);
            }
            Some((initiator, target)) if header.stage == Stage::Security => {
                self.security(&value, initiator, target.as_ref(), &mut response, &mut text);
            }
            _ => {}
        }
        response.encode(text)
    }

    fn security(
        &self,
        value: &dyn Fn(&str) -> Option<String>,
        initiator: &Account,
        target: Option<&Account>,
        response: &mut LoginResponse,
        text: &mut Vec<u8>,
    ) {
        let algorithm = self.target.algorithm;
        let (challenge, number) = CHALLENGE;
        if let Some(method) = value("AuthMethod") {
            assert_eq!(method, "CHAP", "nothing else is offered");
            text::push(text, "AuthMethod", "CHAP");
        } else if value("CHAP_A").is_some() {
            text::push(text, "CHAP_A", &algorithm.number().to_string());
            text::push(text, "CHAP_I", &number.to_string());
            text::push(text, "CHAP_C", &hex(&challenge));
        } else if value("CHAP_R").is_some() {
            let due = hex(&algorithm.response(number, &initiator.secret, &challenge));
            if self.target.stays_after_proof {
                response.transit = None;
            }
            let is_right = value("CHAP_N").as_ref() == Some(&initiator.user) && value("CHAP_R") == Some(due);
            if !is_right {
                (response.status, response.transit) = ((2, 1), None);
            } else if let (Some(target), Some(number), Some(challenge)) =
                (target, value("CHAP_I"), value("CHAP_C"))
            {
                let number = number.parse().expect("we write numbers");
                let proof = algorithm.response(number, &target.secret, &unhex(&challenge));
                text::push(text, "CHAP_N", &target.user);
                text::push(text, "CHAP_R", &hex(&proof));
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.strip_prefix("0x").expect("we write hexadecimal");
    let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("these are digits");
    (0..digits.len()).step_by(2).map(pair).collect()
}
