//! One exchange of challenges and responses.

use super::{Algorithm, CHALLENGE_MAX, Chap, ChapError, Nonce, binary};
use crate::protocol::chap::{ConstantTimeEq, Pair, printable};

/// Our challenge to the target, with the expected response.
#[derive(Debug)]
pub struct Exchange {
    algorithm: Algorithm,
    nonce: Nonce,
}

/// Our response to a challenge: keys and values to send.
type Answer = Vec<(&'static str, String)>;

impl Exchange {
    /// Answers the target's algorithm and challenge, with a challenge of our own where the target must prove
    /// itself too.
    pub fn answer(chap: &Chap, nonce: Nonce, pairs: &[Pair<'_>]) -> Result<(Self, Answer), ChapError> {
        let chosen = value(pairs, "CHAP_A")?;
        let algorithm = chap.algorithms.iter().find(|algorithm| algorithm.number().to_string() == chosen);
        let algorithm = *algorithm.ok_or_else(|| ChapError::NotOffered(printable(chosen.as_bytes())))?;
        let identifier = identifier(value(pairs, "CHAP_I")?)?;
        let challenge = value(pairs, "CHAP_C")?;
        let challenge = binary::parse(challenge, CHALLENGE_MAX)
            .ok_or(ChapError::Value("CHAP_C", "a binary value of 1 to 1024 bytes"))?;

        let exchange = Self { algorithm, nonce };
        if challenge == exchange.challenge() {
            return Err(ChapError::Reflected);
        }
        let response = algorithm.response(identifier, &chap.initiator.secret, &challenge);
        let mut answer = vec![("CHAP_N", chap.initiator.user.clone()), ("CHAP_R", binary::to_hex(&response))];
        if chap.target.is_some() {
            answer.push(("CHAP_I", exchange.nonce.identifier.to_string()));
            answer.push(("CHAP_C", binary::to_hex(exchange.challenge())));
        }
        Ok((exchange, answer))
    }

    /// Our challenge, as long as a hash.
    fn challenge(&self) -> &[u8] {
        &self.nonce.challenge[..self.algorithm.hash_len()]
    }

    /// The algorithm in use.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Checks the target's proof, where one is demanded. The time it takes does not depend on how much of it is
    /// right.
    pub fn verify(&self, chap: &Chap, pairs: &[Pair<'_>]) -> Result<(), ChapError> {
        let Some(target) = &chap.target else {
            return Ok(());
        };
        let user = value(pairs, "CHAP_N")?;
        if user != target.user {
            return Err(ChapError::WrongUser(printable(user.as_bytes())));
        }
        let proof = binary::parse(value(pairs, "CHAP_R")?, self.algorithm.hash_len())
            .ok_or(ChapError::Value("CHAP_R", "a hash of the chosen algorithm"))?;
        let due = self.algorithm.response(self.nonce.identifier, &target.secret, self.challenge());
        if bool::from(due.ct_eq(&proof)) { Ok(()) } else { Err(ChapError::WrongProof) }
    }
}

fn value<'a>(pairs: &[Pair<'a>], key: &'static str) -> Result<&'a str, ChapError> {
    let pair = pairs.iter().find(|pair| pair.key == key).ok_or(ChapError::Missing(key))?;
    Ok(pair.text()?)
}

/// An identifier: a number up to 255, in decimal or hexadecimal.
fn identifier(text: &str) -> Result<u8, ChapError> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.ok().filter(|_| !text.contains('+')).ok_or(ChapError::Value("CHAP_I", "a number up to 255"))
}
