//! Login statuses in words. Source: RFC 7143 section 11.13.5.

use serde::Serialize;

/// The status of a Login Response: class and detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// 0 success, 1 redirection, 2 the initiator's fault, 3 the target's.
    pub class: u8,
    /// The detail within the class.
    pub detail: u8,
}

/// What a refused login asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Another configuration: a retry gets the same answer.
    Configure,
    /// The target or portal does not exist there.
    LookElsewhere,
    /// A later try.
    Retry,
    /// Another program: one of the two sides breaks the protocol.
    Interoperability,
}

impl Status {
    /// Success.
    pub const SUCCESS: Self = Self { class: 0, detail: 0 };
    /// The target could not tell who we are.
    pub const AUTHENTICATION_FAILED: Self = Self { class: 2, detail: 1 };
    /// We are not among those allowed.
    pub const FORBIDDEN: Self = Self { class: 2, detail: 2 };
    /// There is no such target.
    pub const NOT_FOUND: Self = Self { class: 2, detail: 3 };
    /// The target is gone for good.
    pub const REMOVED: Self = Self { class: 2, detail: 4 };
    /// The target cannot serve now.
    pub const UNAVAILABLE: Self = Self { class: 3, detail: 1 };

    /// The meaning, as a part of a sentence that starts with "the target".
    pub fn meaning(self) -> &'static str {
        match (self.class, self.detail) {
            (0, _) => "accepts the login",
            (1, 1) => "has moved for now",
            (1, 2) => "has moved for good",
            (1, _) => "has moved",
            (2, 0) => "takes the login for wrong, without saying what is wrong in it",
            (2, 1) => "could not authenticate this initiator",
            (2, 2) => "does not allow this initiator",
            (2, 3) => "does not exist at this portal",
            (2, 4) => "was removed and will not come back",
            (2, 5) => "does not speak this version of iSCSI",
            (2, 6) => "allows no more connections in this session",
            (2, 7) => "misses a parameter in the login",
            (2, 8) => "cannot take this connection into the session",
            (2, 9) => "does not offer this type of session",
            (2, 10) => "does not know the session that the login belongs to",
            (2, 11) => "takes the login for malformed",
            (2, _) => "blames the initiator for a reason that has no name",
            (3, 0) => "has an internal error",
            (3, 1) => "is not available now",
            (3, 2) => "is out of resources",
            (3, _) => "has a failure that has no name",
            _ => "gives a status that does not exist",
        }
    }

    /// What helps.
    pub fn remedy(self) -> Remedy {
        match (self.class, self.detail) {
            (2, 1 | 2) => Remedy::Configure,
            (2, 3 | 4) => Remedy::LookElsewhere,
            (2, 6) | (3, _) => Remedy::Retry,
            _ => Remedy::Interoperability,
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x}/{:02x}", self.class, self.detail)
    }
}
