//! The security stage: one method, CHAP, and no way around it once it is configured.

use super::{Login, LoginError, Phase, Step};
use crate::iscsi::chap::{ChapError, Exchange};
use crate::iscsi::pdu::Stage;
use crate::iscsi::text::{Pair, printable};

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
                only(pairs, &["AuthMethod"])?;
                let method = pairs.first().ok_or(ChapError::Missing("AuthMethod"))?;
                if method.value != b"CHAP" {
                    return Err(ChapError::Method(printable(method.value)).into());
                }
                let numbers: Vec<_> =
                    chap.algorithms().iter().map(|algorithm| algorithm.number().to_string()).collect();
                self.phase = Phase::Algorithm { chap, nonce };
                Ok(Step::Send(self.talk.say(Stage::Security, None, &[("CHAP_A", numbers.join(","))])?))
            }
            Phase::Algorithm { chap, nonce } => {
                only(pairs, &["CHAP_A", "CHAP_I", "CHAP_C"])?;
                let (exchange, answer) = Exchange::answer(&chap, nonce, pairs)?;
                self.phase = Phase::Proof { chap, exchange };
                Ok(Step::Send(self.talk.say(Stage::Security, Some(Stage::Operational), &answer)?))
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

/// Refuses keys other than these, and these if they come twice.
fn only(pairs: &[Pair<'_>], keys: &[&str]) -> Result<(), ChapError> {
    let mut seen: Vec<&str> = Vec::new();
    for pair in pairs {
        if !keys.contains(&pair.key) || seen.contains(&pair.key) {
            return Err(ChapError::Unexpected(pair.key.to_owned()));
        }
        seen.push(pair.key);
    }
    Ok(())
}
