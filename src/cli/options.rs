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

    /// Whether pools may promise more than their rules let them; only where that means something.
    #[arg(skip)]
    pub beyond_rules: bool,
}

/// Options of changes that may promise more of a pool.
#[derive(Clone, Debug, Args)]
pub struct PromiseOptions {
    /// Let the pool promise more than its owner allows (see 'thinvol pool set --overcommit' and '--reserve')
    #[arg(long, display_order = 49)]
    pub force: bool,

    /// Options of every change.
    #[command(flatten)]
    pub every: ChangeOptions,
}

impl PromiseOptions {
    /// All of it.
    pub fn options(&self) -> ChangeOptions {
        ChangeOptions { beyond_rules: self.force, ..self.every.clone() }
    }
}

impl Default for ChangeOptions {
    fn default() -> Self {
        Self {
            dry_run: false,
            no_udev_sync: false,
            lock_timeout: DEFAULT_LOCK_TIMEOUT_SECONDS,
            beyond_rules: false,
        }
    }
}

/// How long a lock is waited for by default.
pub const DEFAULT_LOCK_TIMEOUT_SECONDS: u32 = 60;

impl ChangeOptions {
    /// How long to wait for a lock.
    pub fn lock_timeout(&self) -> Duration {
        Duration::from_secs(self.lock_timeout.into())
    }
}
