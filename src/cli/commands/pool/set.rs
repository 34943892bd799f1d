//! `thinvol pool set`: how a pool works.

use clap::{ArgGroup, Args, ValueEnum};

use super::change;
use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::ChangeOptions;
use lvm2::format::model::Discards;
use thin::request::{Request, SetPool};

const HELP: &str = changing!(
    "\
  thinvol pool set pve/data --when-full error
  thinvol pool set pve/data --discards nopassdown --zero off
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

impl From<DiscardsWord> for Discards {
    fn from(word: DiscardsWord) -> Self {
        match word {
            DiscardsWord::Passdown => Self::Passdown,
            DiscardsWord::Nopassdown => Self::NoPassdown,
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

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    /// Yes
    On,
    /// No
    Off,
}

/// Change how a thin pool works, in use or not
///
/// Changes what a thin pool does with discards and new chunks, and with writes when it is full. What is so
/// already is left as it is, and that is no error.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
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
        let request = Request::SetPool(SetPool {
            pool: pool.pool.clone(),
            discards: self.discards.map(Into::into),
            zero: self.zero.map(|zero| zero == OnOff::On),
            error_when_full: self.when_full.map(|full| full == FullWord::Error),
        });
        change(context, &self.change, pool, request)
    }
}
