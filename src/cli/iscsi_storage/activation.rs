//! Logging in to and out of the targets of storages.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::{Address, IscsiStorage, Seen};
use crate::args::ChangeOptions;
use crate::commands::iscsi::env::{initiator, unsupervised};
use crate::commands::iscsi::session_output::{self, Missing};
use crate::context::Context;
use crate::errors::CliError;
use crate::output::Answer;
use base::error_kind::ErrorKind;
use config::lun::LunVolname;
use iscsi::host::chap_file::Credentials;
use iscsi::host::discover::{DiscoveryClient, discover};
use iscsi::host::limit::{Limit, Limits};
use iscsi::initiator::{Initiator, Via};
use iscsi::protocol::portal::Portal;
use iscsi::protocol::settings::Settings;
use iscsi::session::attach::{AttachedSession, LunSelection};
use iscsi::session::parallel::{OneServes, in_parallel};
use iscsi::session::spec::SessionSpec;
use iscsi::storage::paths::TargetPath;
use sys::signals::SignalsHeldOff;

/// How long the portal of a storage may take to list the target's portals; without the list, those that are known from
/// before have to do.
const LIST_WAIT: Duration = Duration::from_secs(10);

/// The same where portals are known from before. A lost SYN is sent again after one second.
const NEW_LIST_WAIT: Duration = Duration::from_secs(3);

/// How long the sessions of other paths may take once one path serves: a portal that says nothing must not make each
/// activation last as long as all of it may take. Three SYNs are sent in that time.
const OTHER_PATHS_WAIT: Duration = Duration::from_secs(5);

/// The answer, in the form of all changing verbs.
#[derive(Debug, Serialize)]
struct Done {
    executed: bool,
    transactions: [(); 0],
    storages: Vec<StorageResult>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct StorageResult {
    storage: String,
    target: String,
    paths: Vec<TargetPath>,
    luns: usize,
    changes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Vec<String>>,
    #[serde(skip)]
    done_message: String,
}

impl Answer for Done {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for one in &self.storages {
            match &one.plan {
                Some(plan) => plan.iter().try_for_each(|step| writeln!(out, "{step}"))?,
                None => writeln!(out, "{}", one.done_message)?,
            }
            one.changes.iter().try_for_each(|change| writeln!(out, "  {change}"))?;
        }
        Ok(())
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn tells_of_changes(&self) -> bool {
        self.executed && !self.storages.is_empty()
    }
}

/// Addresses of storages and LUNs of type iscsi among texts; `None` if there are none. What was switched off while it
/// was active may still be deactivated.
///
/// # Errors
/// If there are others besides: what has to come first is for the user to say.
pub fn only_iscsi(
    context: &Context,
    texts: &[String],
    direction: Direction,
) -> Result<Option<Vec<Address>>, CliError> {
    let mut found = Vec::new();
    for text in texts {
        found.extend(match direction {
            Direction::Up => context.resolver.iscsi(text)?,
            Direction::Down => context.resolver.iscsi_anywhere(text)?,
        });
    }
    match found.len() {
        0 => Ok(None),
        count if count == texts.len() => Ok(Some(found)),
        _ => Err(CliError::usage(
            "storages of type iscsi are activated and deactivated apart from volume groups",
        )
        .hint("volume groups on their disks come up after them and go before them: use two commands")),
    }
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Log in.
    Up,
    /// Log out.
    Down,
}

/// Activates or deactivates storages, and makes sure that LUNs that are named belong to theirs.
///
/// # Errors
/// If a storage has no path that works, a disk of it is in use, or a LUN is not one of its target. Those before it
/// stay changed.
pub fn run(
    context: &Context,
    addresses: &[Address],
    change: &ChangeOptions,
    direction: Direction,
) -> Result<(), CliError> {
    let site = Site { initiator: initiator(context)?, change, limit: Limit::new(change.lock_timeout()) };
    let mut done = Done {
        executed: !change.dry_run,
        transactions: [],
        storages: Vec::new(),
        notes: Vec::new(),
        warnings: context.resolver.warnings(),
    };
    let mut failure = None;
    let mut seen: Vec<&IscsiStorage> = Vec::new();
    for address in addresses {
        let (Address::Storage(storage) | Address::Lun(storage, _)) = address;
        let lun = if let Address::Lun(_, lun) = address { Some(lun) } else { None };
        let result = match direction {
            _ if direction == Direction::Down && lun.is_some() => {
                done.notes.extend(lun.map(|lun| {
                    format!("LUNs go with their storage: nothing is done for '{}:{lun}'", storage.id)
                }));
                Ok(())
            }
            Direction::Up if !seen.contains(&storage) => site.up(storage, &mut done),
            Direction::Down if !seen.contains(&storage) => site.down(storage, &mut done),
            _ => Ok(()),
        };
        seen.push(storage);
        let checked = result.and_then(|()| match lun {
            Some(lun) if direction == Direction::Up && !change.dry_run => check_lun(storage, lun),
            _ => Ok(()),
        });
        if let Err(error) = checked {
            failure = Some(error);
            break;
        }
    }
    match failure {
        Some(error) if done.storages.is_empty() => Err(error),
        Some(error) => {
            let failure = error.within(ErrorKind::Partial, "what is printed was done, and then this failed");
            context.conclude(&done, Some(failure))
        }
        None => context.print(&done),
    }
}

/// Source of the words: pve-storage `PVE/Storage/ISCSIPlugin.pm` (`activate_volume`).
fn check_lun(storage: &IscsiStorage, lun: &LunVolname) -> Result<(), CliError> {
    let units = storage.look()?.units;
    if units.iter().any(|unit| unit.by_id.as_deref() == Some(&lun.by_id) || unit.links.contains(&lun.by_id)) {
        return Ok(());
    }
    let message = format!("volume '{}:{lun}' not part of target '{}'", storage.id, storage.target);
    Err(CliError::new(ErrorKind::NotFound, message)
        .hint(format!("'thinvol list {}' shows the LUNs of the storage", storage.id)))
}

/// What activation works with.
struct Site<'a> {
    initiator: Initiator<'static>,
    change: &'a ChangeOptions,
    limit: Limit,
}

impl Site<'_> {
    /// Logs in at every portal of the target and attaches all LUNs.
    fn up(&self, storage: &IscsiStorage, done: &mut Done) -> Result<(), CliError> {
        let (chap_file, credentials) = storage.credentials()?.unzip();
        done.warnings.extend(credentials.iter().flat_map(|read| read.warnings.iter().cloned()));
        let portals = self.portals(storage, credentials.as_ref(), &mut done.warnings);
        if self.change.dry_run {
            let plan = portals
                .iter()
                .map(|portal| format!("log in to {} at {portal} unless that is done", storage.target));
            done.storages.push(StorageResult::new(storage, &storage.look()?, Some(plan.collect())));
            return Ok(());
        }
        let spec = |portal: &Portal| SessionSpec {
            target: storage.target.clone(),
            portal: portal.clone(),
            // Sessions by whichever interface serve: storage.cfg has no word for one.
            interface: None,
            settings: Settings::default(),
            chap: credentials.as_ref().and_then(|read| read.login.clone()),
            credentials: chap_file.clone(),
        };
        let results = self.log_in(&portals.iter().map(spec).collect::<Vec<_>>())?;
        let mut failures = Vec::new();
        let mut changes = Vec::new();
        let mut missing = Vec::new();
        for (portal, result) in portals.iter().zip(results) {
            match result {
                Ok(mut ready) => {
                    done.warnings.extend(session_output::diskless(&ready));
                    // Each path finds the same; the first one tells it.
                    if changes.is_empty() {
                        changes.extend(ready.attached.changes.iter().map(session_output::change));
                    }
                    missing.extend(session_output::missing(&mut ready));
                }
                Err(error) => failures.push((portal, error)),
            }
        }
        if failures.len() == portals.len()
            && let Some((portal, error)) = failures.pop()
        {
            let code = error.code;
            return Err(error.within(code, format!("storage '{}' is not online: {portal} fails", storage.id)));
        }
        self.initiator.remember_portals(&storage.target, &portals)?;
        let seen = storage.look()?;
        let failed = |(portal, error): &(&Portal, CliError)| {
            format!("storage '{}': no path by {portal}: {}", storage.id, error.one_line())
        };
        done.warnings.extend(failures.iter().map(failed));
        if done.storages.is_empty() {
            done.warnings.extend(unsupervised(&self.initiator)?);
        }
        done.storages.push(StorageResult { changes, ..StorageResult::new(storage, &seen, None) });
        self.without(storage, &seen, missing, &mut done.warnings)
    }

    /// What is missing of paths that are up: a LUN that is there by another path is warned of.
    fn without(
        &self,
        storage: &IscsiStorage,
        seen: &Seen,
        missing: Vec<Missing>,
        warnings: &mut Vec<String>,
    ) -> Result<(), CliError> {
        let is_there = |missing: &Missing| {
            missing
                .lun
                .is_some_and(|lun| seen.units.iter().any(|unit| unit.lun == lun && unit.by_id.is_some()))
        };
        let (elsewhere, nowhere): (Vec<_>, Vec<_>) = missing.into_iter().partition(is_there);
        let told = |missing: Missing| format!("storage '{}': {}", storage.id, missing.error.one_line());
        warnings.extend(elsewhere.into_iter().map(told));
        let mut nowhere = nowhere.into_iter().map(|missing| missing.error);
        let Some(first) = nowhere.next() else { return Ok(()) };
        let first = first
            .within(ErrorKind::Partial, format!("storage '{}' is active, but not all is there", storage.id));
        Err(nowhere.fold(first, CliError::along_with))
    }

    /// The portals of the target: those it lists, else those that are known, else the storage's own.
    fn portals(
        &self,
        storage: &IscsiStorage,
        credentials: Option<&Credentials>,
        warnings: &mut Vec<String>,
    ) -> Vec<Portal> {
        let client = DiscoveryClient {
            initiator: self.initiator.name().clone(),
            interface: None,
            chap: credentials.and_then(|read| read.discovery.clone()),
            may_go_without: credentials.is_some_and(|read| read.may_discover_without),
        };
        let known = self.initiator.known_portals(&storage.target);
        let limit = self.limit.part(if known.is_empty() { LIST_WAIT } else { NEW_LIST_WAIT });
        let listed = match discover(&storage.portal, &client, &limit) {
            Ok(answer) => {
                let mine = answer.found.targets.into_iter().filter(|target| target.name == storage.target);
                mine.flat_map(|target| target.addresses).map(|address| address.portal).collect()
            }
            Err(error) => {
                let error = CliError::from_error(ErrorKind::Busy, &error);
                warnings.push(format!(
                    "storage '{}': its portal does not list the target's portals, so those known from before are \
                     used: {}",
                    storage.id,
                    error.one_line()
                ));
                known
            }
        };
        let mut portals: Vec<Portal> = Vec::new();
        for portal in listed {
            if !portals.contains(&portal) {
                portals.push(portal);
            }
        }
        if portals.is_empty() {
            portals.push(storage.portal.clone());
        }
        portals
    }

    fn log_in(&self, wishes: &[SessionSpec]) -> Result<Vec<Result<AttachedSession, CliError>>, CliError> {
        let held_off = hold_off()?;
        let sessions = OneServes::new(&self.limit, OTHER_PATHS_WAIT);
        Ok(in_parallel(
            wishes,
            |spec| {
                let limits = Limits { session: sessions.limit(), whole: self.limit.clone() };
                let (ready, _) = self.initiator.log_in(Via::Auto, spec, &LunSelection::ALL, &limits)?;
                sessions.one_is_done();
                Ok(ready)
            },
            || {
                if held_off.pending().is_some() {
                    self.limit.call_off();
                }
            },
        ))
    }

    /// Logs out everywhere, if no disk is in use by any path.
    fn down(&self, storage: &IscsiStorage, done: &mut Done) -> Result<(), CliError> {
        if !self.change.dry_run {
            self.initiator.sweep_if_possible();
        }
        let seen = storage.look()?;
        if seen.sessions.is_empty() {
            done.notes.push(format!("storage '{}': there is no session to {}", storage.id, storage.target));
        }
        if self.change.dry_run {
            let plan = seen.sessions.iter().map(|session| {
                let portal = session.portal.as_ref().map(ToString::to_string).unwrap_or_default();
                format!("log out of {} at {portal} (session {})", storage.target, session.sid)
            });
            done.storages.push(StorageResult::new(storage, &seen, Some(plan.collect())));
            return Ok(());
        }
        for session in &seen.sessions {
            self.initiator.check_unused(session)?;
        }
        let held_off = hold_off()?;
        let results = in_parallel(
            &seen.sessions,
            |session| self.initiator.log_out(Via::Auto, session, &self.limit),
            || {
                if held_off.pending().is_some() {
                    self.limit.call_off();
                }
            },
        );
        results.into_iter().collect::<Result<Vec<_>, _>>()?;
        self.initiator.remember_portals(&storage.target, &[])?;
        let one = StorageResult::new(storage, &storage.look()?, None);
        done.storages.push(StorageResult { done_message: format!("deactivated '{}'", storage.id), ..one });
        Ok(())
    }
}

fn hold_off() -> Result<SignalsHeldOff, CliError> {
    SignalsHeldOff::new().map_err(|errno| {
        CliError::new(ErrorKind::Refused, "signals cannot be held off").caused_by(Some(&errno))
    })
}

impl StorageResult {
    fn new(storage: &IscsiStorage, seen: &Seen, plan: Option<Vec<String>>) -> Self {
        let luns = seen.units.len();
        let said = format!(
            "activated '{}': {} of {} paths up, {luns} {}",
            storage.id,
            seen.up(),
            seen.paths.len(),
            if luns == 1 { "LUN" } else { "LUNs" }
        );
        Self {
            storage: storage.id.to_string(),
            target: storage.target.to_string(),
            paths: seen.paths.clone(),
            luns,
            changes: Vec::new(),
            plan,
            done_message: said,
        }
    }
}
