//! Options that several commands share.

use std::time::Duration;

use clap::Args;

/// Options of every command that changes something.
#[derive(Clone, Debug, Args)]
pub struct ChangeOptions {
    /// Print the plan and change nothing
    #[arg(long, display_order = 50)]
    pub dry_run: bool,

    /// Do not wait until udev has made the device nodes
    #[arg(long, display_order = 51)]
    pub no_udev_sync: bool,

    /// How many seconds to wait for the lock of a volume group
    #[arg(long, display_order = 52, value_name = "SECONDS", default_value_t = DEFAULT_LOCK_TIMEOUT_SECONDS)]
    pub lock_timeout: u32,
}

/// How long a lock is waited for by default.
pub const DEFAULT_LOCK_TIMEOUT_SECONDS: u32 = 60;

impl ChangeOptions {
    /// How long to wait for a lock.
    pub fn lock_timeout(&self) -> Duration {
        Duration::from_secs(self.lock_timeout.into())
    }
}
