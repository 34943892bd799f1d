//! `thinvol pool monitor`.

use std::path::PathBuf;

use clap::Args;

use crate::context::{Context, demand_root};
use crate::errors::CliError;
use base::error_kind::ErrorKind;
use thin::internals::monitor::{Monitor, MonitorError, MonitorOptions};

const HELP: &str = "\
Examples:
  systemctl enable --now thinvol-monitor.service          as a service; docs/thinvol-monitor.service is the unit
  thinvol pool monitor -v                                 in the foreground, with what it does on standard error
  thinvol pool monitor --once                             look once, extend what is to be extended, and end
  thinvol pool monitor --hook /usr/local/sbin/pool-mail

The hook is run for each event, with one line of JSON on its standard input:
  {\"version\": 1, \"vg\", \"pool\", \"event\": \"filled\", \"what\": \"data\" or \"metadata\", \"percent\": number}
  or, instead of the last three,
  \"event\": \"condition\", \"condition\" (a word as in 'thinvol status'), \"words\", \"way_out\": text or null
  \"event\": \"extended\", \"how\"
  \"event\": \"not_extended\", \"why\"
It is not waited for, and killed after 30 seconds.

What it does goes to standard error; there is no answer in JSON.";

/// Watch all thin pools, and extend those that fill up
///
/// Watches all running thin pools of this machine until a signal comes. A pool is extended when it is as full as
/// 'thinvol pool set --extend-at' says, or else activation/thin_pool_autoextend_threshold in lvm.conf (100, the
/// default, is never), by --extend-by or thin_pool_autoextend_percent, data and metadata each, by lvm2's rules. Where
/// the volume group has less room than that, all of it is taken. What fills up is warned of once at 80, 90, 95 and
/// 100 per cent, and each change of a pool's state is told, with the way out.
///
/// The kernel says when something happens; all pools are looked at every ten seconds besides. A pool that dmeventd
/// watches is left to it.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct MonitorArgs {
    /// Look once, do what is to be done, and end
    #[arg(long)]
    pub once: bool,

    /// A program to tell what happens
    #[arg(long, value_name = "PROGRAM")]
    pub hook: Option<PathBuf>,

    /// Take pools that dmeventd watches from it
    #[arg(long)]
    pub take_over: bool,
}

impl MonitorArgs {
    /// Monitors until a signal comes, or once.
    ///
    /// # Errors
    /// If there is a monitor already, or device-mapper cannot be listened to.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        demand_root(nix::unistd::Uid::effective().is_root())?;
        let options = MonitorOptions { hook: self.hook.clone(), take_over: self.take_over };
        let monitor = Monitor::start(context.settings(), options)?;
        if self.once {
            monitor.once()?
        } else {
            monitor.run()?
        }
        Ok(())
    }
}

impl From<MonitorError> for CliError {
    fn from(error: MonitorError) -> Self {
        match error {
            MonitorError::Engine(error) => error.into(),
            MonitorError::Running { .. } => Self::from_error(ErrorKind::Busy, &error),
            MonitorError::Open(_) => Self::from_error(ErrorKind::Unsupported, &error),
            MonitorError::Dm(_) | MonitorError::System { .. } => Self::from_error(ErrorKind::Refused, &error),
        }
    }
}
