//! The security stage: one method, CHAP, and no way around it once it is configured.

use super::{Login, LoginError, Phase, Step};
use crate::protocol::chap::{ChapError, Exchange};
use crate::protocol::pdu::Stage;
use crate::protocol::text::{NOT_UNDERSTOOD, Pair, printable};

impl Login {
    /// Takes the answer to what was said last in the security stage.
    pub(super) fn security(
        &mut self,
        phase: Phase,
        pairs: &[Pair<'_>],
        is_next_stage: bool,
    ) -> Result<Step, LoginError> {
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
                Ok(Step::Send(self.talk.say(Stage::Security, None, &say)?))
            }
            Phase::Algorithm { chap, nonce } => {
                let mut say = only(pairs, &["CHAP_A", "CHAP_I", "CHAP_C"])?;
                let (exchange, answer) = Exchange::answer(&chap, nonce, pairs)?;
                say.extend(answer);
                self.phase = Phase::Proof { chap, exchange };
                Ok(Step::Send(self.talk.say(Stage::Security, Some(Stage::Operational), &say)?))
            }
            Phase::Proof { chap, exchange } => {
                let demanded: &[&str] = if chap.target().is_some() { &["CHAP_N", "CHAP_R"] } else { &[] };
                only(pairs, demanded)?;
                exchange.verify(&chap, pairs)?;
                if !is_next_stage {
                    return Err(LoginError::Stage("does not end the security stage after CHAP".into()));
                }
                self.authenticated = Some(exchange.algorithm());
                self.is_mutual = chap.target().is_some();
                self.start_operational()
            }
            Phase::Operational | Phase::Over => Err(LoginError::Over),
        }
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
