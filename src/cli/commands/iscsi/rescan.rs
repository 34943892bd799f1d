//! `thinvol iscsi rescan`.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::backends::iscsi::IscsiStorage;
use crate::context::Context;
use crate::errors::CliError;
use crate::help::{iscsi_session, lun_changes, missing_of_session};
use crate::initiator::{TimeLimit, initiator};
use crate::output::Answer;
use crate::session_output::{self, Missing, SessionOutput};
use base::error_kind::ErrorKind;
use iscsi::host::limit::Limit;
use iscsi::host::sysfs::{Session, SessionState};
use iscsi::initiator::Initiator;
use iscsi::session::luns::Change;
use iscsi::session::parallel::in_parallel;

const HELP: &str = concat!(
    "\
Examples:
  thinvol iscsi rescan                                    all sessions
  thinvol iscsi rescan --target iqn.2025-01.test:a
  thinvol iscsi rescan san                                a storage of type iscsi

JSON:
  {\"sessions\": [{",
    lun_changes!(),
    missing_of_session!(),
    iscsi_session!(),
    "}],
   \"warnings\": [text]}"
);

/// Look for new, resized, removed and replaced LUNs
///
/// Asks the targets of the sessions for their LUNs. New LUNs get devices, and sizes are read again. The device of
/// a LUN that is gone, or has become another disk, is removed; if it is in use it stays, with a warning.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct RescanArgs {
    /// Only sessions to the targets of these storages of type iscsi
    pub storages: Vec<String>,

    /// Only sessions to these targets
    #[arg(long = "target", value_name = "IQN")]
    pub targets: Vec<String>,

    /// The time limit.
    #[command(flatten)]
    pub limit: TimeLimit,
}

#[derive(Debug, Default, Serialize)]
struct Rescanned {
    sessions: Vec<RescanResult>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RescanResult {
    changes: Vec<Change>,
    missing: Vec<Missing>,
    #[serde(flatten)]
    session: SessionOutput,
}

impl Answer for Rescanned {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for RescanResult { changes, session, .. } in &self.sessions {
            writeln!(out, "session {} {} {}", session.session, session.target, session.way())?;
            for change in changes {
                writeln!(out, "  {}", session_output::change(change))?;
            }
            session.write_luns(out)?;
        }
        Ok(())
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn tells_of_changes(&self) -> bool {
        !self.sessions.is_empty()
    }
}

impl RescanArgs {
    /// Looks for changes; a session that cannot be looked at does not keep the others from it.
    ///
    /// # Errors
    /// The first failure.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let targets = self.targets(context)?;
        let initiator = initiator(context)?;
        let mut sessions = initiator.sessions()?;
        if !targets.is_empty() {
            sessions.retain(|session| targets.contains(&session.target));
            if let Some(target) = targets.iter().find(|name| !sessions.iter().any(|s| s.target == **name)) {
                return Err(CliError::new(ErrorKind::NotFound, format!("there is no session to {target}"))
                    .hint("'thinvol iscsi sessions' lists the sessions"));
            }
        }
        let mut answer = Rescanned::default();
        for session in sessions.iter().filter(|session| session.state != SessionState::LoggedIn) {
            answer.warnings.push(format!(
                "session {} to {} is {} and is left out",
                session.sid,
                session.target,
                session.state.as_str()
            ));
        }
        sessions.retain(|session| session.state == SessionState::LoggedIn);
        let limit = self.limit.start();
        let results = in_parallel(&sessions, |session| one(&initiator, session, &limit), || ());
        let mut failure = None;
        for result in results {
            match result {
                Ok((one, warnings)) => {
                    failure = failure.or_else(|| session_output::incomplete(&one.session, &one.missing));
                    answer.warnings.extend(warnings);
                    answer.sessions.push(one);
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        context.conclude(&answer, failure)
    }
}

impl RescanArgs {
    /// The targets that are named, by themselves or by storages.
    fn targets(&self, context: &Context) -> Result<Vec<String>, CliError> {
        let mut targets = self.targets.clone();
        for text in &self.storages {
            match IscsiStorage::named(&context.resolver, text)? {
                Some(storage) => targets.push(storage.target.to_string()),
                _ => {
                    return Err(CliError::usage(format!("'{text}' is no storage of type iscsi"))
                        .hint("targets are given by --target; 'thinvol status' lists the storages"));
                }
            }
        }
        Ok(targets)
    }
}

fn one(
    initiator: &Initiator<'_>,
    session: &Session,
    limit: &Limit,
) -> Result<(RescanResult, Vec<String>), CliError> {
    let mut ready = initiator.rescan(session, limit)?;
    let warnings = session_output::diskless(&ready);
    let missing = session_output::missing(&mut ready);
    let session = SessionOutput::new(session, ready.is_ours, &ready.attached.luns);
    Ok((RescanResult { session, missing, changes: ready.attached.changes }, warnings))
}
