//! Signals wait while an engine has changed something that is not yet told.

use super::{Engine, EngineError};
use base::error_kind::ErrorKind;
use nix::sys::signal::Signal;
use sys::signals::SignalsHeldOff;

impl Engine {
    /// The signal that asked to stop while this engine worked, if one did.
    pub fn stop_asked(&self) -> Option<Signal> {
        self.host.stop_asked()
    }

    /// Has signals wait from now on until the engine goes: who uses it says what was done before one ends the process.
    pub(super) fn hold_off_signals(&self) -> Result<(), EngineError> {
        let mut held_off = self.held_off.borrow_mut();
        if held_off.is_none() {
            *held_off = Some(SignalsHeldOff::new().map_err(|errno| {
                EngineError::new(ErrorKind::Refused, format!("signals cannot be held off: {errno}"))
            })?);
        }
        Ok(())
    }
}
