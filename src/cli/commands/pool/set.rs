//! `thinvol pool set`: how a pool works.

use clap::{ArgGroup, Args, ValueEnum};

use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::ChangeOptions;
use crate::transaction::transact;
use base::units::size::Unit;
use thin::changes::{self, ConfigurePool, WhenFull};
use thin::internals::pool_rules::{RuleChange, RuleKind};

const HELP: &str = changing!(
    "\
  thinvol pool set pve/data --when-full error
  thinvol pool set pve/data --discards nopassdown --zero off
  thinvol pool set pve/data --overcommit 1.5 --reserve 20G
  thinvol pool set pve/data --extend-at 80 --extend-by 20
  thinvol pool set pve/data --overcommit none            as before it was set
  thinvol pool set --dry-run pve/data --zero on          what would be done"
);

/// What happens to discards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiscardsWord {
    /// Chunks are freed, and the disks are told
    Passdown,
    /// Chunks are freed
    Nopassdown,
    /// Nothing; only while the pool is inactive
    Ignore,
}

impl From<DiscardsWord> for changes::DiscardsWord {
    fn from(word: DiscardsWord) -> Self {
        match word {
            DiscardsWord::Passdown => Self::Passdown,
            DiscardsWord::Nopassdown => Self::Nopassdown,
            DiscardsWord::Ignore => Self::Ignore,
        }
    }
}

/// What happens to writes when the pool is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FullWord {
    /// They wait for room, for a minute unless the kernel was told otherwise
    Queue,
    /// They fail at once
    Error,
}

impl From<FullWord> for WhenFull {
    fn from(word: FullWord) -> Self {
        match word {
            FullWord::Queue => Self::Queue,
            FullWord::Error => Self::Error,
        }
    }
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    /// Yes
    On,
    /// No
    Off,
}

/// Reads a rule of that kind, or that there is to be none.
fn rule(kind: RuleKind) -> impl Fn(&str) -> Result<RuleChange, String> + Clone {
    move |text| RuleChange::parse(kind, text, Unit::Kibi).map_err(|error| error.to_string())
}

/// Change how a thin pool works, in use or not
///
/// Changes what a thin pool does with discards and new chunks, and with writes when it is full. What is so
/// already is left as it is, and that is no error.
///
/// --overcommit and --reserve limit what the pool promises: a change that makes volumes or snapshots, or makes
/// them larger, is refused before anything is done if all volumes and snapshots of the pool would have more than
/// that many times its size together, or if less data than the reserve is free in it while it runs. What counts of
/// a volume is its size, not what is written of it. 'none' takes a limit away.
///
/// --extend-at and --extend-by say when 'thinvol pool monitor' extends the pool, in place of
/// activation/thin_pool_autoextend_threshold and _percent in lvm.conf. All four are kept as LVM tags of the pool.
#[derive(Debug, Args)]
#[command(after_long_help = HELP, override_usage = "thinvol pool set [OPTIONS] <POOL>")]
#[command(group = ArgGroup::new("way").required(true).multiple(true))]
pub struct SetArgs {
    /// The pool: a storage id or <vg>/<pool>
    pub pool: String,

    /// What happens to discards
    #[arg(long, value_name = "WAY", group = "way")]
    pub discards: Option<DiscardsWord>,

    /// Whether chunks are zeroed before their first use
    #[arg(long, value_name = "WAY", group = "way")]
    pub zero: Option<OnOff>,

    /// What happens to writes when the pool is full
    #[arg(long, value_name = "WAY", group = "way")]
    pub when_full: Option<FullWord>,

    /// How many times its size all its volumes and snapshots may have together, such as 1.5, or none
    #[arg(long, value_name = "RATIO", group = "way", value_parser = rule(RuleKind::Overcommit))]
    pub overcommit: Option<RuleChange>,

    /// How much data must be free in it for it to promise more, or none
    #[arg(long, value_name = "SIZE", group = "way", value_parser = rule(RuleKind::Reserve))]
    pub reserve: Option<RuleChange>,

    /// How full it is extended, in per cent, from 50 on; 100 is never; or none
    #[arg(long, value_name = "N", group = "way", value_parser = rule(RuleKind::ExtendAt))]
    pub extend_at: Option<RuleChange>,

    /// By how much of its size it is extended, in per cent, or none
    #[arg(long, value_name = "N", group = "way", value_parser = rule(RuleKind::ExtendBy))]
    pub extend_by: Option<RuleChange>,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl SetArgs {
    /// Changes the pool.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let pool = context.resolver.storage(&self.pool)?;
        let change = ConfigurePool {
            discards: self.discards.map(Into::into),
            zero: self.zero.map(|zero| zero == OnOff::On),
            when_full: self.when_full.map(Into::into),
            overcommit: self.overcommit,
            reserve: self.reserve,
            extend_at: self.extend_at,
            extend_by: self.extend_by,
            ..ConfigurePool::new(pool)
        };
        transact(context, &self.change, [change.into()])
    }
}
