//! CHAP: each side proves that it knows a secret by hashing it with a challenge of the other.
//!
//! Source: RFC 7143 section 12.1 (keys and rules), RFC 1994 section 4.1 (the response), IANA "PPP Authentication
//! Algorithms" (the numbers).

use std::fmt;
use std::str::FromStr;

use md5::Md5;
use serde::Serialize;
use sha1::Sha1;
use sha2::Sha256;
use sha3::Sha3_256;
use sha3::digest::Digest;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::protocol::text::{Pair, TextError, printable};

mod binary;
mod exchange;
#[cfg(test)]
mod tests;

pub(super) use exchange::Exchange;

/// The longest challenge, in bytes. Source: RFC 7143 section 12.1.3.
pub const CHALLENGE_MAX: usize = 1024;

/// The longest secret and user name we take, in bytes.
pub const ACCOUNT_MAX: usize = 255;

/// Shorter secrets can be guessed from a login that was listened to. Source: RFC 7143 section 9.2.1.
pub const SECRET_ADVISED: usize = 12;

/// A hash for CHAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// MD5, which every target knows.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA3-256.
    Sha3_256,
}

impl Algorithm {
    const ALL: [Self; 4] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha3_256];

    /// Its number in CHAP_A.
    pub fn number(self) -> u8 {
        match self {
            Self::Md5 => 5,
            Self::Sha1 => 6,
            Self::Sha256 => 7,
            Self::Sha3_256 => 8,
        }
    }

    /// Its name, as it is configured.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha3_256 => "sha3-256",
        }
    }

    /// The length of its hashes, in bytes.
    pub fn hash_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 | Self::Sha3_256 => 32,
        }
    }

    /// The response to a challenge: the hash of the identifier, the secret and the challenge.
    pub fn response(self, identifier: u8, secret: &Secret, challenge: &[u8]) -> Zeroizing<Vec<u8>> {
        fn hash<D: Digest>(parts: [&[u8]; 3]) -> Zeroizing<Vec<u8>> {
            let hash = parts.iter().fold(D::new(), |hash, part| hash.chain_update(part));
            Zeroizing::new(hash.finalize().to_vec())
        }
        let parts = [&[identifier], secret.0.as_slice(), challenge];
        match self {
            Self::Md5 => hash::<Md5>(parts),
            Self::Sha1 => hash::<Sha1>(parts),
            Self::Sha256 => hash::<Sha256>(parts),
            Self::Sha3_256 => hash::<Sha3_256>(parts),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = ChapError;

    fn from_str(text: &str) -> Result<Self, ChapError> {
        let known = Self::ALL.into_iter().find(|algorithm| algorithm.name() == text);
        known.ok_or_else(|| ChapError::Algorithm(printable(text.as_bytes())))
    }
}

/// A secret. It is never shown, and overwritten when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes a secret of 1 to 255 bytes.
    ///
    /// # Errors
    /// If it is empty or longer.
    pub fn new(secret: Zeroizing<Vec<u8>>) -> Result<Self, ChapError> {
        if secret.is_empty() || secret.len() > ACCOUNT_MAX {
            Err(ChapError::SecretLength)
        } else {
            Ok(Self(secret))
        }
    }

    /// Whether it is shorter than what is advised.
    pub fn is_short(&self) -> bool {
        self.0.len() < SECRET_ADVISED
    }

    /// The secret itself.
    #[cfg(test)]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    fn is_same(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// A user and its secret.
#[derive(Clone, Debug)]
pub struct Account {
    /// The name, 1 to 255 bytes without zero bytes.
    pub user: String,
    /// The secret.
    pub secret: Secret,
}

/// How to authenticate: always us to the target, on demand the target to us.
#[derive(Clone, Debug)]
pub struct Chap {
    initiator: Account,
    target: Option<Account>,
    algorithms: Vec<Algorithm>,
}

impl Chap {
    /// An initiator that proves itself with `initiator`, and demands a proof of `target` where it is given. The
    /// target picks among `algorithms`, the preferred one first; there is no other choice than MD5 that all
    /// targets handle right.
    ///
    /// # Errors
    /// If a user name cannot be sent, no algorithm or one twice is given, or both secrets are the same: then a
    /// target could have us compute its own proof.
    pub fn new(
        initiator: Account,
        target: Option<Account>,
        algorithms: Vec<Algorithm>,
    ) -> Result<Self, ChapError> {
        for account in std::iter::once(&initiator).chain(&target) {
            if account.user.is_empty() || account.user.len() > ACCOUNT_MAX || account.user.contains('\0') {
                return Err(ChapError::User);
            }
        }
        let is_twice = |algorithm| algorithms.iter().filter(|other| *other == algorithm).count() > 1;
        if algorithms.is_empty() || algorithms.iter().any(is_twice) {
            return Err(ChapError::Algorithms);
        }
        if target.as_ref().is_some_and(|target| target.secret.is_same(&initiator.secret)) {
            return Err(ChapError::SameSecret);
        }
        Ok(Self { initiator, target, algorithms })
    }

    /// Our credentials.
    pub fn initiator(&self) -> &Account {
        &self.initiator
    }

    /// The credentials that the target must have.
    pub fn target(&self) -> Option<&Account> {
        self.target.as_ref()
    }

    /// The algorithms that are offered to the target.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }
}

/// Random bytes for one login, never to be used again.
#[derive(Clone)]
pub struct Nonce {
    /// The identifier that goes with our challenge.
    pub identifier: u8,
    /// Our challenge; as much of it is used as a hash is long.
    pub challenge: [u8; 32],
}

impl From<[u8; 33]> for Nonce {
    fn from([identifier, challenge @ ..]: [u8; 33]) -> Self {
        Self { identifier, challenge }
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce")
    }
}

/// Why CHAP cannot be done, or was not done as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChapError {
    /// A name nobody gave an algorithm.
    #[error("'{0}' is none of the CHAP algorithms md5, sha1, sha256 and sha3-256")]
    Algorithm(String),
    /// No list of algorithms.
    #[error("the list of CHAP algorithms is empty or has one twice")]
    Algorithms,
    /// A secret of no use.
    #[error("a CHAP secret has 1 to {ACCOUNT_MAX} bytes")]
    SecretLength,
    /// A user name of no use.
    #[error("a CHAP user name has 1 to {ACCOUNT_MAX} bytes, none of them zero")]
    User,
    /// One secret for both directions.
    #[error("the secret of the initiator and that of the target are the same")]
    SameSecret,
    /// The target does without.
    #[error("the target answers AuthMethod={0} where CHAP is demanded")]
    Method(String),
    /// A key is missing.
    #[error("the target does not send {0}")]
    Missing(&'static str),
    /// A key has no business here.
    #[error("the target sends {0} where it has no business")]
    Unexpected(String),
    /// A value that cannot be read.
    #[error("{0} of the target is not {1}")]
    Value(&'static str, &'static str),
    /// An algorithm that was not offered.
    #[error("the target picks CHAP algorithm '{0}', which was not offered")]
    NotOffered(String),
    /// Our own challenge, come back.
    #[error("the target sends our own challenge back")]
    Reflected,
    /// Another target than the one configured.
    #[error("the target authenticates itself as '{0}', another user than is configured for it")]
    WrongUser(String),
    /// The target does not know its secret.
    #[error("the target could not prove that it knows its secret")]
    WrongProof,
    /// The text breaks the rules of texts.
    #[error(transparent)]
    Text(#[from] TextError),
}
