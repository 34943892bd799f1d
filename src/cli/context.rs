//! What every command is given: how to answer, how to read addresses, how to reach the engine.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::errors::CliError;
use super::options::ChangeOptions;
use super::output::{self, Answer, Style};
use super::progress::ProgressLine;
use super::resolve::Resolver;
use base::error_kind::ErrorKind;
use base::ids::VgName;
use config::file::ConfigFile;
use config::types::PoolVerb;
use sys::io::events::{self, Subscribe};
use thin::internals::metadata_header::host_name;
use thin::internals::refusal::Refusal;
use thin::{Engine, Settings};
use thin::{EngineError, RefusedChange};

/// The surroundings of one run of the command.
#[derive(Debug)]
pub struct Context {
    /// How to answer.
    pub style: Style,
    /// Reads addresses.
    pub resolver: Resolver,
    /// What was typed, for the description that LVM metadata carries.
    command_line: String,
    events: Option<Subscribe>,
    /// What to warn of besides what the configuration and the engine give reason for.
    warnings: RefCell<Vec<String>>,
}

impl Context {
    /// The surroundings of a run with these arguments, the program's name among them, over the configuration that is
    /// named or the usual one. `verb` is what thin pools are wanted for, if it is one of their verbs; `events`, how to
    /// hear of block devices, if the program does.
    pub fn new(
        style: Style,
        config: Option<&Path>,
        verb: Option<PoolVerb>,
        arguments: &[OsString],
        events: Option<Subscribe>,
    ) -> Self {
        let typed: Vec<_> = arguments.iter().skip(1).map(|argument| argument.to_string_lossy()).collect();
        let command_line = format!("thinvol {}", typed.join(" "));
        let resolver = Resolver::new(ConfigFile::choose(config), node_name(&host_name()), verb);
        Self { style, resolver, command_line, events, warnings: RefCell::default() }
    }

    /// How to hear of block devices; pauses, if the program does not.
    pub fn events(&self) -> Subscribe {
        self.events.unwrap_or(events::pauses)
    }

    /// An engine for a verb that only reads.
    ///
    /// # Errors
    /// If this process is not root's, or the engine cannot start.
    pub fn reader(&self) -> Result<Engine, CliError> {
        self.open(&ChangeOptions { dry_run: true, ..ChangeOptions::default() })
    }

    /// What an engine of a program that goes on running is opened with, each time it needs one.
    pub fn settings(&self) -> Settings {
        let mut settings = self.settings_of(&ChangeOptions::default());
        settings.progress_observer = None;
        settings
    }

    /// An engine for a verb that changes something.
    ///
    /// # Errors
    /// If this process is not root's, or the engine cannot start.
    pub fn open(&self, change: &ChangeOptions) -> Result<Engine, CliError> {
        demand_root(nix::unistd::Uid::effective().is_root())?;
        Ok(Engine::open(self.settings_of(change))?)
    }

    fn settings_of(&self, change: &ChangeOptions) -> Settings {
        let system_dir = std::env::var_os("LVM_SYSTEM_DIR").filter(|dir| !dir.is_empty());
        let mut settings = Settings::new(self.command_line.clone());
        settings.lock_timeout = change.lock_timeout();
        settings.udev_sync = !change.no_udev_sync;
        settings.beyond_rules = change.beyond_rules;
        settings.progress_observer =
            ProgressLine::on_terminal().filter(|_| !change.dry_run && !self.style.quiet);
        settings.system_dir = system_dir.map_or(settings.system_dir, PathBuf::from);
        settings
    }

    /// Remembers something to warn of.
    pub fn warn(&self, warning: Option<String>) {
        self.warnings.borrow_mut().extend(warning);
    }

    /// What to warn of with an answer: what is wrong with the sections of the configuration that were used, and what
    /// was remembered and not yet told.
    pub fn warnings(&self) -> Vec<String> {
        [self.resolver.warnings(), self.untold_warnings()].concat()
    }

    /// What was remembered to warn of and not yet told.
    pub fn untold_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }

    /// Prints an answer.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn print<A: Answer>(&self, answer: &A) -> Result<(), CliError> {
        output::print(answer, self.style)
    }

    /// Prints what was done, and then fails with what went wrong after it, if anything did.
    ///
    /// # Errors
    /// That; or, if there is nothing, that standard output cannot be written.
    pub fn conclude<A: Answer>(&self, answer: &A, failure: Option<CliError>) -> Result<(), CliError> {
        match (self.print(answer), failure) {
            (said, None) => said,
            (Ok(()), Some(failure)) => Err(failure),
            (Err(unsaid), Some(failure)) => Err(failure.along_with(unsaid)),
        }
    }
}

/// The name of a node of Proxmox VE: the host's name up to its first dot. Source: pve-common `PVE/INotify.pm`
/// (`nodename`).
fn node_name(host: &str) -> String {
    host.split('.').next().unwrap_or_default().to_owned()
}

/// What a crash left behind in a volume group, as notes.
pub fn pending(vg: &VgName, pending: &[String]) -> Vec<String> {
    pending.iter().map(|what| format!("'thinvol recover {vg}' has something to do: {what}")).collect()
}

/// Refuses to go on for anybody but root.
///
/// # Errors
/// If this process is not root's.
pub fn demand_root(is_root: bool) -> Result<(), CliError> {
    if is_root {
        return Ok(());
    }
    Err(CliError::new(ErrorKind::Refused, "only root may use device-mapper and LVM's metadata")
        .hint("run the command with sudo"))
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        let aside = Box::new(error.aside().clone());
        Self { hint: error.hint(), aside, ..Self::from_error(error.kind(), &error) }
    }
}

impl From<RefusedChange> for CliError {
    fn from(refused: RefusedChange) -> Self {
        let causes = refused.causes;
        Self { hint: refused.hint, causes, ..Self::new(refused.kind, refused.message) }
    }
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        let causes = refusal.causes.into_vec();
        Self { hint: refusal.hint, causes, ..Self::new(refusal.kind, refusal.message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_its_host() {
        assert_eq!(node_name("pve1.example.org"), "pve1");
        assert_eq!(node_name("pve1"), "pve1");
    }

    #[test]
    fn others_than_root_are_told_so() {
        assert_eq!(demand_root(true), Ok(()));
        let error = demand_root(false).unwrap_err();
        assert_eq!(
            (error.code, error.hint.as_deref()),
            (ErrorKind::Refused, Some("run the command with sudo"))
        );
    }
}
