//! How far redirections are followed.

use thiserror::Error;

use crate::protocol::portal::Portal;

/// How many redirections in a row are followed. Arrays that balance load use one.
pub const MAX_REDIRECTIONS: usize = 5;

/// Redirections that lead nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RedirectError {
    /// The target is sent round in a circle.
    #[error("portal {from} redirects to {to}, where the login has been already")]
    Loop {
        /// Who redirects.
        from: Portal,
        /// Where to.
        to: Portal,
    },
    /// More redirections than are followed.
    #[error("portal {from} redirects to {to}, after {MAX_REDIRECTIONS} redirections")]
    TooMany {
        /// Who redirects.
        from: Portal,
        /// Where to.
        to: Portal,
    },
}

/// The portals a login has been at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirections(Vec<Portal>);

impl Redirections {
    /// A login that starts at a portal.
    pub fn start(portal: Portal) -> Self {
        Self(vec![portal])
    }

    /// The portal the login is at.
    pub fn here(&self) -> &Portal {
        self.0.last().expect("the first portal is never taken away")
    }

    /// All portals the login has been at, in order.
    pub fn portals(&self) -> &[Portal] {
        &self.0
    }

    /// Goes on to another portal.
    ///
    /// # Errors
    /// If the login was there already, or was sent on too often.
    pub fn follow(&mut self, to: Portal) -> Result<(), RedirectError> {
        let from = self.here().clone();
        if self.0.contains(&to) {
            return Err(RedirectError::Loop { from, to });
        }
        if self.0.len() > MAX_REDIRECTIONS {
            return Err(RedirectError::TooMany { from, to });
        }
        self.0.push(to);
        Ok(())
    }
}
