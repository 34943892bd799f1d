//! What tests ask of an engine one level below: requests as the planner takes them, and single steps of a session.

use super::transactions::Work;
use super::{Engine, EngineError, Locked, Options, Report};
use crate::request::Request;
use crate::session::Session;
use base::ids::VgName;
use lvm2::host::lock::VgLock;

impl Engine {
    /// As [`Self::plan`].
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn plan_requests(&self, vg: &VgName, requests: &[Request]) -> Result<Report, EngineError> {
        self.plan_work(vg, Work::Requests(requests))
    }

    /// As [`Self::apply`].
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_requests(&self, vg: &VgName, requests: &[Request]) -> Result<Report, EngineError> {
        self.apply_work(vg, Work::Requests(requests), &Options::default())
    }

    /// Works in a session under the lock of who changes the volume group.
    ///
    /// # Errors
    /// If it cannot be opened; and those of `work`.
    pub fn in_session<T>(
        &self,
        vg: &VgName,
        work: impl FnOnce(&mut Session<'_>, &VgLock) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let lock = self.lock(vg)?;
        let mut opened = self.read(Locked::ToChange(&lock))?;
        self.with_session(&mut opened, |session| work(session, &lock)).0
    }
}
