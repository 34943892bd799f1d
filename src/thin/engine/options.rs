//! What a caller says of how an engine works, and of single changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::error::EngineError;
use crate::ports::ProgressObserver;
use base::error_kind::ErrorKind;
use base::ids::Seqno;
use lvm2::format::model::Vg;
use lvm2::host::conf::DEFAULT_SYSTEM_DIR;

/// Settings of the engine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// How long to wait for a lock.
    pub lock_timeout: Duration,
    /// Whether to wait until udev has made the nodes.
    pub udev_sync: bool,
    /// Is told the progress of a plan.
    pub progress_observer: Option<Arc<dyn ProgressObserver>>,
    /// Whether pools may promise more than their rules let them.
    pub beyond_rules: bool,
    /// What was asked for, for the header of the metadata.
    pub command_line: String,
    /// Where lvm.conf is.
    pub system_dir: PathBuf,
}

/// How long a lock is waited for unless somebody says otherwise.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

impl Settings {
    /// The usual settings, for whoever the header of the metadata is to name.
    pub fn new(command_line: impl Into<String>) -> Self {
        Self {
            lock_timeout: LOCK_TIMEOUT,
            udev_sync: true,
            progress_observer: None,
            beyond_rules: false,
            command_line: command_line.into(),
            system_dir: PathBuf::from(DEFAULT_SYSTEM_DIR),
        }
    }
}

/// Under which conditions changes are made.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// The metadata they were planned for: if the volume group has moved on, nothing is changed.
    pub planned_for: Option<Seqno>,
}

impl Options {
    pub(super) fn check(&self, vg: &Vg) -> Result<(), EngineError> {
        match self.planned_for {
            Some(seqno) if seqno != vg.seqno => {
                let message = format!("volume group {} has changed since this was planned", vg.name);
                Err(EngineError::new(ErrorKind::Busy, message).with_hint("plan it again"))
            }
            _ => Ok(()),
        }
    }
}
