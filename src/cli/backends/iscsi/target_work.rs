//! Logging in to and out of the targets of storages.

use std::time::Duration;

use super::{IscsiStorage, Seen, multipath};
use crate::backends::activation::{Activation, Done, StorageResult};
use crate::errors::CliError;
use crate::initiator::{initiator, unsupervised};
use crate::session_output::{self, Missing};
use base::error_kind::ErrorKind;
use iscsi::host::chap_file::Credentials;
use iscsi::host::discover::{DiscoveryClient, discover};
use iscsi::host::limit::{Limit, Limits};
use iscsi::initiator::{Initiator, Via};
use iscsi::protocol::portal::Portal;
use iscsi::protocol::settings::Settings;
use iscsi::session::attach::{AttachedSession, LunSelection};
use iscsi::session::parallel::{OneServes, in_parallel};
use iscsi::session::spec::SessionSpec;
use sys::io::roots::Roots;
use sys::signals::SignalsHeldOff;

/// How long the portal of a storage may take to list the target's portals; without the list, those that are known from
/// before have to do.
const LIST_WAIT: Duration = Duration::from_secs(10);

/// The same where portals are known from before. A lost SYN is sent again after one second.
const NEW_LIST_WAIT: Duration = Duration::from_secs(3);

/// How long the sessions of other paths may take once one path serves: a portal that says nothing must not make each
/// activation last as long as all of it may take. Three SYNs are sent in that time.
const OTHER_PATHS_WAIT: Duration = Duration::from_secs(5);

/// A storage that is worked on.
pub struct TargetWork<'a> {
    storage: &'a IscsiStorage,
    initiator: Initiator<'static>,
    dry_run: bool,
    limit: Limit,
}

impl<'a> TargetWork<'a> {
    /// Work on a storage, as part of an activation.
    ///
    /// # Errors
    /// If this machine cannot be an initiator.
    pub fn new(storage: &'a IscsiStorage, work: &Activation<'_>) -> Result<Self, CliError> {
        let initiator = initiator(work.context)?;
        Ok(Self { storage, initiator, dry_run: work.change.dry_run, limit: work.limit.clone() })
    }

    /// Logs in at every portal of the target and attaches all LUNs.
    ///
    /// # Errors
    /// If no path works, or a LUN is missing.
    pub fn activate(&self, done: &mut Done) -> Result<(), CliError> {
        let storage = self.storage;
        let (chap_file, credentials) = storage.credentials()?.unzip();
        done.warnings.extend(credentials.iter().flat_map(|read| read.warnings.iter().cloned()));
        let portals = self.portals(credentials.as_ref(), &mut done.warnings);
        if self.dry_run {
            let plan = portals
                .iter()
                .map(|portal| format!("log in to {} at {portal} unless that is done", storage.target));
            done.storages.push(result(storage, &storage.look()?, Some(plan.collect())));
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
        done.storages.push(StorageResult { changes, ..result(storage, &seen, None) });
        self.without(&seen, missing, &mut done.warnings)
    }

    /// What is missing of paths that are up: a LUN that is there by another path is warned of.
    fn without(
        &self,
        seen: &Seen,
        missing: Vec<Missing>,
        warnings: &mut Vec<String>,
    ) -> Result<(), CliError> {
        let storage = self.storage;
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
    fn portals(&self, credentials: Option<&Credentials>, warnings: &mut Vec<String>) -> Vec<Portal> {
        let storage = self.storage;
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

    fn log_in(&self, specs: &[SessionSpec]) -> Result<Vec<Result<AttachedSession, CliError>>, CliError> {
        let held_off = hold_off()?;
        let sessions = OneServes::new(&self.limit, OTHER_PATHS_WAIT);
        Ok(in_parallel(
            specs,
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

    /// Logs out everywhere, if no disk is in use by any path. Multipath devices that nobody uses go first.
    ///
    /// # Errors
    /// If one is, or a session stays.
    pub fn deactivate(&self, done: &mut Done) -> Result<(), CliError> {
        let storage = self.storage;
        if !self.dry_run {
            self.initiator.sweep_if_possible();
        }
        let seen = storage.look()?;
        if seen.sessions.is_empty() {
            done.notes.push(format!("storage '{}': there is no session to {}", storage.id, storage.target));
        }
        let roots = Roots::default();
        let disks: Vec<&str> = seen.units.iter().flat_map(|unit| &unit.devices).map(String::as_str).collect();
        let joined = multipath::on(&roots, &disks)?;
        if self.dry_run {
            let down = joined.iter().map(|device| format!("take multipath device {} down", device.name));
            let out = seen.sessions.iter().map(|session| {
                let portal = session.portal.as_ref().map(ToString::to_string).unwrap_or_default();
                format!("log out of {} at {portal} (session {})", storage.target, session.sid)
            });
            done.storages.push(result(storage, &seen, Some(down.chain(out).collect())));
            return Ok(());
        }
        multipath::take_down(&roots, &joined, &self.limit)?;
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
        let one = result(storage, &storage.look()?, None);
        done.storages.push(StorageResult { done_message: format!("deactivated '{}'", storage.id), ..one });
        Ok(())
    }
}

fn hold_off() -> Result<SignalsHeldOff, CliError> {
    SignalsHeldOff::new().map_err(|errno| {
        CliError::new(ErrorKind::Refused, "signals cannot be held off").caused_by(Some(&errno))
    })
}

fn result(storage: &IscsiStorage, seen: &Seen, plan: Option<Vec<String>>) -> StorageResult {
    let luns = seen.units.len();
    let done_message = format!(
        "activated '{}': {} of {} paths up, {luns} {}",
        storage.id,
        seen.up(),
        seen.paths.len(),
        if luns == 1 { "LUN" } else { "LUNs" }
    );
    StorageResult {
        storage: storage.id.to_string(),
        target: Some(storage.target.to_string()),
        paths: Some(seen.paths.clone()),
        luns: Some(luns),
        changes: Vec::new(),
        plan,
        done_message,
    }
}
