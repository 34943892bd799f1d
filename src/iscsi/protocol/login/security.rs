//! The security stage: one method, CHAP, and no way around it once it is configured.

use super::{Login, LoginError, LoginStep, Phase};
use crate::protocol::chap::{ChapError, Exchange};
use crate::protocol::pdu::Stage;
use crate::protocol::text::{NOT_UNDERSTOOD, Pair, printable};

impl Login {
    /// Takes the answer to our last text in the security stage.
    pub(super) fn security(
        &mut self,
        phase: Phase,
        pairs: &[Pair<'_>],
        is_next_stage: bool,
    ) -> Result<LoginStep, LoginError> {
        match phase {
            Phase::Method { chap, nonce } => {
                let mut say = only(pairs, &["AuthMethod"])?;
                let method = pairs.iter().find(|pair| pair.key == "AuthMethod");
                let method = method.ok_or(ChapError::Missing("AuthMethod"))?;
                if method.value != b"CHAP" {
                    return Err(ChapError::Method(printable(method.value)).into());
                }
                let numbers: Vec<_> =
                    chap.algorithms().iter().map(|algorithm| algorithm.number().to_string()).collect();
                say.push(("CHAP_A", numbers.join(",")));
                self.phase = Phase::Algorithm { chap, nonce };
                Ok(LoginStep::Send(self.talk.say(Stage::Security, None, &say)?))
            }
            Phase::Algorithm { chap, nonce } => {
                let mut say = only(pairs, &["CHAP_A", "CHAP_I", "CHAP_C"])?;
                let (exchange, answer) = Exchange::answer(&chap, nonce, pairs)?;
                say.extend(answer);
                self.phase = Phase::Proof { chap, exchange };
                Ok(LoginStep::Send(self.talk.say(Stage::Security, Some(Stage::Operational), &say)?))
            }
            Phase::Proof { chap, exchange } => {
                let demanded: &[&str] = if chap.target().is_some() { &["CHAP_N", "CHAP_R"] } else { &[] };
                let say = only(pairs, demanded)?;
                exchange.verify(&chap, pairs)?;
                self.authenticated = Some(exchange.algorithm());
                self.is_mutual = chap.target().is_some();
                self.leave_security(is_next_stage, &say)
            }
            Phase::Proven => {
                let say = only(pairs, &[])?;
                self.leave_security(is_next_stage, &say)
            }
            Phase::Operational | Phase::Over => Err(LoginError::Over),
        }
    }

    /// After the proofs. A target need not end the stage with its own: then it is asked to, with an empty request
    /// that says again that we are ready. Source: RFC 7143 sections 6.3 (the T bit) and 12.1.3.
    fn leave_security(
        &mut self,
        is_next_stage: bool,
        say: &[(&str, String)],
    ) -> Result<LoginStep, LoginError> {
        if is_next_stage {
            return self.start_operational();
        }
        self.phase = Phase::Proven;
        Ok(LoginStep::Send(self.talk.say(Stage::Security, Some(Stage::Operational), say)?))
    }
}

/// Refuses keys other than these, and these if they come twice. A vendor's key gets the answer that it is not
/// understood. Source: RFC 7143 section 6.2 (unknown keys).
fn only<'a>(pairs: &[Pair<'a>], keys: &[&str]) -> Result<Vec<(&'a str, String)>, ChapError> {
    let mut seen: Vec<&str> = Vec::new();
    let mut replies = Vec::new();
    for pair in pairs {
        let is_vendors = pair.key.starts_with("X-") || pair.key.starts_with("X#");
        if seen.contains(&pair.key) || !is_vendors && !keys.contains(&pair.key) {
            return Err(ChapError::Unexpected(pair.key.to_owned()));
        }
        seen.push(pair.key);
        if is_vendors {
            replies.push((pair.key, NOT_UNDERSTOOD.to_owned()));
        }
    }
    Ok(replies)
}
