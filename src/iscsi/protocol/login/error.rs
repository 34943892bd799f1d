//! Why a login fails, in sentences a user can act on.

use thiserror::Error;

use crate::protocol::chap::{Algorithm, ChapError};
use crate::protocol::name::{Isid, NameError};
use crate::protocol::params::ParamError;
use crate::protocol::pdu::{PduError, Reject, Stage};
use crate::protocol::status::{Remedy, Status};
use crate::protocol::text::TextError;

/// What had been agreed on when the target refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The stage of the login.
    pub stage: Stage,
    /// The CHAP algorithms this side is ready for; none without CHAP.
    pub offered: Vec<Algorithm>,
    /// The algorithm the target picked, once it has.
    pub picked: Option<Algorithm>,
}

/// Why a login failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoginError {
    /// The target refuses.
    #[error("the target {} (status {status}, during {})", status.meaning(), context.stage)]
    Refused {
        /// Its status.
        status: Status,
        /// What had been agreed on.
        context: Context,
    },
    /// The target does not take a PDU of ours.
    #[error("the target rejects the login: {}", .0.meaning())]
    Rejected(Reject),
    /// Authentication failed on this side.
    #[error(transparent)]
    Chap(#[from] ChapError),
    /// The parameters do not go together.
    #[error(transparent)]
    Params(#[from] ParamError),
    /// The answer is not the expected one.
    #[error(transparent)]
    Pdu(#[from] PduError),
    /// The text breaks the rules of texts.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The task tag of another request.
    #[error("the target answers task {found:#x}, and {due:#x} was asked")]
    TaskTag {
        /// The tag we used.
        due: u32,
        /// The tag that came.
        found: u32,
    },
    /// Another session's answer.
    #[error("the target answers with ISID {found}, and ours is {due}")]
    Isid {
        /// Ours.
        due: Isid,
        /// What came.
        found: Isid,
    },
    /// A response is missing or came twice.
    #[error("the target numbers its response {found}, and {due} was due")]
    StatSn {
        /// The number that was due.
        due: u32,
        /// The number that came.
        found: u32,
    },
    /// A version that does not exist.
    #[error("the target wants to speak version {0} of iSCSI; there is only 0")]
    Version(u8),
    /// A step between stages that was not asked for.
    #[error("the target {0}")]
    Stage(String),
    /// A login that ends without a session.
    #[error("the target ends the login without naming the session (TSIH 0)")]
    NoSession,
    /// A portal group that cannot be one.
    #[error("TargetPortalGroupTag of the target is '{0}', not a number up to 65535")]
    PortalGroupTag(String),
    /// A redirection without an address.
    #[error("the target has moved and does not say where to")]
    NoAddress,
    /// A redirection to something that is no address.
    #[error("the target has moved to what is no portal")]
    Address(#[source] NameError),
    /// A login that does not come to an end.
    #[error("the login is not done after {0} requests")]
    TooManyRequests(u32),
    /// A text without end.
    #[error("the target sends a text of more than {0} bytes")]
    TooLong(usize),
    /// The login is over.
    #[error("a PDU came for a login that is over")]
    Over,
}

impl LoginError {
    /// What helps.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Refused { status, .. } => status.remedy(),
            Self::Chap(
                ChapError::Method(_)
                | ChapError::NotOffered(_)
                | ChapError::Reflected
                | ChapError::WrongUser(_)
                | ChapError::WrongProof
                | ChapError::Missing(_)
                | ChapError::SameSecret,
            ) => Remedy::Configure,
            Self::Params(ParamError::Rejected { .. } | ParamError::Answer { .. }) => Remedy::Configure,
            _ => Remedy::Interoperability,
        }
    }

    /// Whether a login with CHAP failed so that the target may do none: before it gave a challenge.
    pub fn may_do_without_chap(&self) -> bool {
        match self {
            Self::Chap(ChapError::Method(_)) => true,
            Self::Refused { status, context } => {
                let is_authentication = matches!(status, Status { class: 2, detail: 0 | 1 });
                is_authentication && !context.offered.is_empty() && context.picked.is_none()
            }
            _ => false,
        }
    }

    /// Whether a login without CHAP failed for want of it.
    pub fn demands_chap(&self) -> bool {
        matches!(self, Self::Refused { status: Status::AUTHENTICATION_FAILED, context } if context.offered.is_empty())
    }

    /// A hint for the user. The caller knows names and portals and may say more.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { status, context } => refused(*status, context),
            Self::Chap(error) => chap(error),
            _ => None,
        }
    }
}

fn refused(status: Status, context: &Context) -> Option<String> {
    // tgt answers 02/00 to a proof by another hash than it computed.
    let may_be_chap = matches!(status, Status { class: 2, detail: 0 | 1 }) && !context.offered.is_empty();
    let text = match (status, context.picked) {
        (_, Some(picked)) if may_be_chap && picked != Algorithm::Md5 => format!(
            "check user and secret; some targets compute {picked} wrong: see whether it works with 'algorithms = md5' \
             in the CHAP file"
        ),
        (_, None) if may_be_chap => {
            "the target may know none of the algorithms offered, or demand no CHAP; every target knows MD5: see \
             whether it works with 'algorithms = md5' in the CHAP file"
                .to_owned()
        }
        _ => by_status(status, context)?,
    };
    Some(text)
}

fn by_status(status: Status, context: &Context) -> Option<String> {
    let text = match status {
        Status::AUTHENTICATION_FAILED if context.offered.is_empty() => {
            "the target demands CHAP: give it user and secret in a CHAP file".to_owned()
        }
        Status::AUTHENTICATION_FAILED => {
            "check user and secret, and that the target allows this initiator's name to use them".to_owned()
        }
        Status::FORBIDDEN => "add the initiator's name to the target's access list".to_owned(),
        Status::NOT_FOUND | Status::REMOVED => {
            "'thinvol iscsi discover <portal>' lists the targets that are there".to_owned()
        }
        // LIO answers so where the name is wrong or the portal group is disabled.
        Status::UNAVAILABLE => {
            "try again later; some targets also answer so when the name of the target is wrong or it \
             is switched off: 'thinvol iscsi discover <portal>' lists those that are there"
                .to_owned()
        }
        _ if status.remedy() == Remedy::Retry => "try again later".to_owned(),
        _ => return None,
    };
    Some(text)
}

fn chap(error: &ChapError) -> Option<String> {
    let text = match error {
        ChapError::Method(_) => {
            "without CHAP anybody could pose as the target; if that is acceptable, log in without a CHAP file"
        }
        ChapError::SameSecret => "give the two directions different secrets",
        ChapError::NotOffered(_) => "name the algorithms the target knows with 'algorithms' in the CHAP file",
        ChapError::WrongUser(_) | ChapError::WrongProof => {
            "check 'target-user' and 'target-secret'; if they are right, something else poses as the target"
        }
        ChapError::Missing("CHAP_N" | "CHAP_R") => {
            "the target is not set up to authenticate itself: give it a user and secret, or leave out 'target-user' \
             and 'target-secret'"
        }
        ChapError::Reflected => "something poses as the target",
        _ => return None,
    };
    Some(text.to_owned())
}
