//! What a complete text of the target leads to.

use super::error::Context;
use super::talk::Heard;
use super::{LoggedIn, Login, LoginError, LoginStep, Phase, Redirect};
use crate::protocol::params::ParamError;
use crate::protocol::pdu::{LoginResponse, Pdu, Stage};
use crate::protocol::portal::TargetAddress;
use crate::protocol::status::Status;
use crate::protocol::text::{self, Pair, printable};

/// How many keys a text may have. There are about forty in the standard.
const MAX_KEYS: usize = 256;

impl Login {
    /// One step, before its outcome is written down.
    pub(super) fn step(&mut self, pdu: &Pdu) -> Result<LoginStep, LoginError> {
        if matches!(self.phase, Phase::Over) {
            return Err(LoginError::Over);
        }
        let (text, is_next_stage, response) = match self.talk.hear(pdu)? {
            Heard::Part(request) => return Ok(LoginStep::Send(request)),
            Heard::Refused { status, text } => return self.refused(status, &text),
            Heard::Text { text, is_next_stage, response } => (text, is_next_stage, response),
        };
        let pairs = text::parse(&text, MAX_KEYS)?;
        let mut rest = Vec::with_capacity(pairs.len());
        for pair in pairs {
            if !self.describes(&pair)? {
                rest.push(pair);
            }
        }
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Operational => self.operational(&rest, is_next_stage, &response),
            phase => self.security(phase, &rest, is_next_stage),
        }
    }

    /// Takes the keys in which the target describes itself, in any stage.
    fn describes(&mut self, pair: &Pair<'_>) -> Result<bool, LoginError> {
        match pair.key {
            "TargetPortalGroupTag" => {
                let tag = pair.text()?;
                let tag = tag.parse().map_err(|_| LoginError::PortalGroupTag(printable(tag.as_bytes())))?;
                if self.portal_group_tag.replace(tag).is_some_and(|before| before != tag) {
                    return Err(ParamError::Twice(pair.key.to_owned()).into());
                }
            }
            "TargetAlias" => self.target_alias = Some(printable(pair.value)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A status other than success: a redirection, or the end.
    fn refused(&self, status: Status, text: &[u8]) -> Result<LoginStep, LoginError> {
        if status.class != 1 {
            let (offered, picked) = match &self.phase {
                Phase::Method { chap, .. } | Phase::Algorithm { chap, .. } => {
                    (chap.algorithms().to_vec(), None)
                }
                Phase::Proof { chap, exchange } => (chap.algorithms().to_vec(), Some(exchange.algorithm())),
                Phase::Proven | Phase::Operational | Phase::Over => {
                    (self.authenticated.into_iter().collect(), self.authenticated)
                }
            };
            let context = Context { stage: self.talk.stage(), offered, picked };
            return Err(LoginError::Refused { status, context });
        }
        let pairs = text::parse(text, MAX_KEYS)?;
        let address = pairs.iter().find(|pair| pair.key == "TargetAddress").ok_or(LoginError::NoAddress)?;
        let address: TargetAddress = address.text()?.parse().map_err(LoginError::Address)?;
        Ok(LoginStep::Redirect(Redirect { portal: address.portal, is_permanent: status.detail == 2 }))
    }

    /// Starts the operational stage after the security stage.
    pub(super) fn start_operational(&mut self) -> Result<LoginStep, LoginError> {
        self.phase = Phase::Operational;
        let offers: Vec<_> = self.negotiation.offers().collect();
        Ok(LoginStep::Send(self.talk.say(Stage::Operational, Some(Stage::FullFeature), &offers)?))
    }

    /// Answers and proposals of the operational stage. We are ready for the full feature phase all the time;
    /// the target says when.
    fn operational(
        &mut self,
        pairs: &[Pair<'_>],
        is_last: bool,
        response: &LoginResponse,
    ) -> Result<LoginStep, LoginError> {
        let mut replies = Vec::new();
        for pair in pairs {
            if let Some(reply) = self.negotiation.take(pair, is_last)? {
                replies.push((pair.key, reply));
            }
        }
        if !is_last {
            self.phase = Phase::Operational;
            return Ok(LoginStep::Send(self.talk.say(
                Stage::Operational,
                Some(Stage::FullFeature),
                &replies,
            )?));
        }
        // A session for discovery is never named again: what identifies it does not matter.
        if response.tsih == 0 && !self.is_discovery {
            return Err(LoginError::NoSession);
        }
        Ok(LoginStep::Done(Box::new(LoggedIn {
            parameters: self.negotiation.finish()?,
            tsih: response.tsih,
            cmd_sn: self.talk.cmd_sn(),
            exp_stat_sn: response.stat_sn.wrapping_add(1),
            exp_cmd_sn: response.exp_cmd_sn,
            max_cmd_sn: response.max_cmd_sn,
            portal_group_tag: self.portal_group_tag,
            target_alias: self.target_alias.take(),
            authenticated: self.authenticated,
            is_mutual: self.is_mutual,
            requests: self.talk.requests(),
        })))
    }
}
