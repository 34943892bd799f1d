//! `thinvol iscsi login`.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::discovery_options;
use crate::context::Context;
use crate::errors::CliError;
use crate::help::{iscsi_session, lun_changes, missing_of_session};
use crate::initiator::{TimeLimit, Via, initiator, unsupervised};
use crate::output::Answer;
use crate::session_output::{self, Missing, SessionOutput};
use base::error_kind::ErrorKind;
use iscsi::host::chap_file;
use iscsi::host::coexist::{SessionBackend, iscsid, why_native};
use iscsi::host::limit::Limits;
use iscsi::host::registry::SessionKey;
use iscsi::initiator::Initiator;
use iscsi::protocol::name::IscsiName;
use iscsi::protocol::net_interface::NetInterface;
use iscsi::protocol::portal::Portal;
use iscsi::protocol::settings::Settings;
use iscsi::protocol::wwid::Wwid;
use iscsi::session::attach::{AttachedSession, LunSelection};
use iscsi::session::error::SessionError;
use iscsi::session::establish::SessionOutcome;
use iscsi::session::lun_set::LunSet;
use iscsi::session::luns::Change;
use iscsi::session::parallel::in_parallel;
use iscsi::session::spec::SessionSpec;
use sys::signals::SignalsHeldOff;

const HELP: &str = concat!(
    "\
Examples:
  thinvol iscsi login --portal 10.0.0.1 --target iqn.2025-01.test:a
  thinvol iscsi login --portal 10.0.0.1 --portal 10.0.1.1 --target iqn.2025-01.test:a --lun 3
  thinvol iscsi login --portal 10.0.0.1 --target iqn.2025-01.test:a --interface eth0 --interface eth1
  thinvol iscsi login --portal san:3261 --target iqn.2025-01.test:a --lun 0 --wwid naa.60014051234567890123456789012345
  thinvol iscsi login --portal '[fd00::1]' --target iqn.2025-01.test:a --no-scan --replacement-timeout 15

JSON:
  {\"sessions\": [{\"outcome\": \"logged_in\" or \"already_there\" or \"recovered\",
     \"via\": \"native\" or \"iscsiadm\",
     ",
    lun_changes!(),
    missing_of_session!(),
    iscsi_session!(),
    "}],
   \"failed\": [{\"target\", \"portal\", \"interface\": text or null,
     \"error\": {\"message\", \"causes\": [text], \"hint\": text or null, \"code\": number,
     \"recovered\"?: [text], \"warnings\"?: [text]}}],
   \"notes\": [text], \"warnings\": [text]}

If some sessions cannot be had, the exit code is 5 and the others stay; if none can, nothing is
left. A session stays, too, if only some of its LUNs cannot be had, or somebody uses a disk of it
already: the exit code is 5 then, and 'missing' says what is wrong. A LUN that is not connected, or
has no driver, is warned of; it is missing only if it was asked for by its number."
);

/// Log in to targets and attach their LUNs
///
/// Logs in to each target at each portal, all at the same time and within one time limit, and waits for the block
/// devices of the LUNs. An existing session is used as it is; a session of thinvol's that has lost its connection is
/// reconnected. A login that fails leaves no session behind, unless one of its disks is already in use.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct LoginArgs {
    /// Where the targets are: an address or host name, with a port unless it is 3260
    #[arg(long = "portal", required = true, value_name = "PORTAL")]
    pub portals: Vec<String>,

    /// The names of the targets, each of which is logged in to at each portal
    #[arg(long = "target", required = true, value_name = "IQN")]
    pub targets: Vec<String>,

    /// Bind the connections to this network interface, whatever the routes say: each interface gives a session of its
    /// own at each portal. Without this option the routes decide, and a session by whichever interface serves
    #[arg(long = "interface", value_name = "NAME")]
    pub interfaces: Vec<NetInterface>,

    /// Attach this LUN, not all
    #[arg(long = "lun", value_name = "N")]
    pub luns: Vec<u64>,

    /// What the LUN must be: a name from /dev/disk/by-id or /sys/…/wwid; another disk under its number is refused
    #[arg(long, value_name = "WWID")]
    pub wwid: Option<String>,

    /// Attach no LUNs
    #[arg(long, conflicts_with_all = ["luns", "wwid"])]
    pub no_scan: bool,

    /// Who makes the sessions
    #[arg(long, value_enum, default_value_t = Via::Auto)]
    pub via: Via,

    /// Seconds from the loss of a connection until I/O fails; a new session has this to its end
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::default().replacement_timeout)]
    pub replacement_timeout: u32,

    /// Seconds of silence until the target is asked for a sign of life; 0 never asks
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::default().ping_interval)]
    pub ping_interval: u32,

    /// Seconds that sign of life may take
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::default().ping_timeout)]
    pub ping_timeout: u32,

    /// Demand a checksum over headers
    #[arg(long)]
    pub header_digest: bool,

    /// Demand a checksum over data
    #[arg(long)]
    pub data_digest: bool,

    /// A file with CHAP users and secrets, readable by its owner only
    #[arg(long, value_name = "FILE")]
    pub chap_file: Option<PathBuf>,

    /// The time limit.
    #[command(flatten)]
    pub limit: TimeLimit,
}

#[derive(Debug, Default, Serialize)]
struct LoggedIn {
    sessions: Vec<LoginResult>,
    failed: Vec<Failed>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LoginResult {
    outcome: SessionOutcome,
    via: SessionBackend,
    changes: Vec<Change>,
    missing: Vec<Missing>,
    #[serde(flatten)]
    session: SessionOutput,
}

#[derive(Clone, Debug, Serialize)]
struct Failed {
    target: String,
    portal: String,
    interface: Option<NetInterface>,
    error: CliError,
}

impl Answer for LoggedIn {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for one in &self.sessions {
            let SessionOutput { session, target, .. } = &one.session;
            let portal = one.session.way();
            let did = match one.outcome {
                SessionOutcome::LoggedIn => "logged in to",
                SessionOutcome::AlreadyThere => "already logged in to",
                SessionOutcome::Recovered => "logged in again to",
            };
            writeln!(out, "{did} {target} at {portal} (session {session})")?;
            for change in one.changes.iter().filter(|change| !matches!(change, Change::Added { .. })) {
                writeln!(out, "  {}", session_output::change(change))?;
            }
            one.session.write_luns(out)?;
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
        !self.sessions.is_empty()
    }
}

impl LoginArgs {
    /// Logs in.
    ///
    /// # Errors
    /// If an argument is wrong, or a session cannot be had.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let luns = self.lun_wish()?;
        let mut warnings = Vec::new();
        let specs = self.specs(&mut warnings)?;
        let initiator = initiator(context)?;
        let limit = self.limit.start();
        let held_off = SignalsHeldOff::new().map_err(|errno| {
            CliError::new(ErrorKind::Refused, "signals cannot be held off").caused_by(Some(&errno))
        })?;
        let results = in_parallel(
            &specs,
            |spec| {
                let limits = Limits::from(&limit);
                initiator.log_in(self.via.into(), spec, &luns, &limits).map_err(CliError::from)
            },
            || {
                if held_off.pending().is_some() {
                    limit.call_off();
                }
            },
        );
        let mut answer = LoggedIn { warnings, ..LoggedIn::default() };
        for (spec, result) in specs.iter().zip(results) {
            match result {
                Ok((ready, via)) => {
                    answer.warnings.extend(session_output::diskless(&ready));
                    answer.sessions.push(one(ready, via));
                }
                Err(error) => answer.failed.push(Failed {
                    target: spec.target.to_string(),
                    portal: spec.portal.to_string(),
                    interface: spec.interface.clone(),
                    error,
                }),
            }
        }
        self.comment(&initiator, &mut answer)?;
        if answer.sessions.is_empty() && answer.failed.len() == 1 {
            return Err(answer.failed.remove(0).named());
        }
        let failure = failure(&answer.sessions, &answer.failed);
        context.conclude(&answer, failure)
    }

    fn specs(&self, warnings: &mut Vec<String>) -> Result<Vec<SessionSpec>, CliError> {
        let usage = |error: iscsi::protocol::name::NameError| CliError::usage(error.to_string());
        let settings = Settings {
            replacement_timeout: self.replacement_timeout,
            ping_interval: self.ping_interval,
            ping_timeout: self.ping_timeout,
            header_digest: self.header_digest,
            data_digest: self.data_digest,
        };
        // The supervisor reads it again, from wherever it runs.
        let credentials =
            self.chap_file.as_deref().map(std::path::absolute).transpose().map_err(|error| {
                CliError::usage("the CHAP file's name means nothing").caused_by(Some(&error))
            })?;
        let read = credentials.as_deref().map(chap_file::read).transpose().map_err(SessionError::from)?;
        let chap = read.and_then(|read| {
            warnings.extend(read.warnings);
            read.login
        });
        let mut specs: Vec<SessionSpec> = Vec::new();
        for target in &self.targets {
            let target: IscsiName = target.parse().map_err(usage)?;
            for (portal, interface) in self.ways()? {
                let (target, chap, credentials) = (target.clone(), chap.clone(), credentials.clone());
                specs.push(SessionSpec { target, portal, interface, settings, chap, credentials });
            }
        }
        let mut seen: Vec<SessionKey> = Vec::new();
        specs.retain(|spec| {
            let is_new = !seen.contains(&spec.key());
            seen.extend(is_new.then(|| spec.key()));
            is_new
        });
        Ok(specs)
    }

    /// Each portal by each interface, or by whichever.
    fn ways(&self) -> Result<Vec<(Portal, Option<NetInterface>)>, CliError> {
        let mut ways = Vec::new();
        for text in &self.portals {
            if self.interfaces.is_empty() {
                ways.push((discovery_options::portal(text, None)?, None));
            }
            for interface in &self.interfaces {
                ways.push((discovery_options::portal(text, Some(interface))?, Some(interface.clone())));
            }
        }
        Ok(ways)
    }

    fn lun_wish(&self) -> Result<LunSelection, CliError> {
        let wwid: Option<Wwid> = self
            .wwid
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|error: iscsi::protocol::name::NameError| CliError::usage(error.to_string()))?;
        if wwid.is_some() && self.luns.len() != 1 {
            return Err(CliError::usage("--wwid says what one LUN must be, and needs that one --lun")
                .hint("give exactly one --lun"));
        }
        let some: BTreeSet<u64> = self.luns.iter().copied().collect();
        let set = match (self.no_scan, some.is_empty()) {
            (true, _) => None,
            (_, true) => Some(LunSet::All),
            (_, false) => Some(LunSet::Only(some)),
        };
        Ok(LunSelection { set, wwid })
    }

    /// Says which way was taken and why, and what is at stake.
    fn comment(&self, initiator: &Initiator<'_>, answer: &mut LoggedIn) -> Result<(), CliError> {
        let daemon = iscsid(Path::new("/proc"));
        let is_new_and_ours =
            |one: &LoginResult| one.outcome == SessionOutcome::LoggedIn && one.via == SessionBackend::Native;
        if self.via == Via::Auto && answer.sessions.iter().any(is_new_and_ours) {
            answer.notes.push(format!("made natively: {}", why_native(daemon)));
        }
        if self.via == Via::Auto && answer.sessions.iter().any(|one| one.via == SessionBackend::Iscsiadm) {
            answer.notes.push(
                "made by iscsiadm: another program holds the address from which native sessions are made"
                    .into(),
            );
        }
        for one in &answer.sessions {
            if one.outcome == SessionOutcome::AlreadyThere && one.session.owner == "other" {
                answer.notes.push(format!(
                    "session {} is another program's ({daemon}), and stays so",
                    one.session.session
                ));
            }
        }
        if answer.sessions.iter().any(|one| one.session.owner == "thinvol") {
            answer.warnings.extend(unsupervised(initiator)?);
        }
        Ok(())
    }
}

fn one(mut ready: AttachedSession, via: SessionBackend) -> LoginResult {
    let session = SessionOutput::new(&ready.session, ready.is_ours, &ready.attached.luns);
    let missing = session_output::missing(&mut ready);
    LoginResult { outcome: ready.outcome, via, changes: ready.attached.changes, missing, session }
}

impl Failed {
    fn named(self) -> CliError {
        let code = self.error.code;
        let Self { target, portal, .. } = &self;
        let by = self.interface.as_ref().map(|name| format!(" by {name}")).unwrap_or_default();
        let message = format!("cannot log in to {target} at {portal}{by}");
        self.error.within(code, message)
    }
}

/// The failure of several logins: that of all, or that some are missing or not complete.
fn failure(sessions: &[LoginResult], failed: &[Failed]) -> Option<CliError> {
    let (done, count) = (sessions.len(), failed.len());
    let mut failed = failed.iter().cloned().map(Failed::named);
    let mut incomplete =
        sessions.iter().filter_map(|one| session_output::incomplete(&one.session, &one.missing));
    let error = match failed.next() {
        Some(first) => {
            let code = if done == 0 { first.code } else { ErrorKind::Partial };
            first.within(code, format!("{count} of {} sessions cannot be had", done + count))
        }
        None => incomplete.next()?,
    };
    Some(failed.chain(incomplete).fold(error, CliError::along_with))
}
