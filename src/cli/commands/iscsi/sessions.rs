//! `thinvol iscsi sessions`.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::errors::CliError;
use crate::help::iscsi_session;
use crate::initiator::initiator;
use crate::output::Answer;
use crate::session_output::SessionOutput;
use iscsi::initiator::ShownSession;
use iscsi::session::sweep::Swept;

const HELP: &str = concat!(
    "\
Examples:
  thinvol iscsi sessions
  thinvol iscsi sessions --json
  thinvol iscsi sessions --clean            remove what processes that died left half made

JSON:
  {\"sessions\": [{",
    iscsi_session!(),
    "}],
   \"notes\": [text]}"
);

/// Show sessions and their LUNs
///
/// Shows all iSCSI sessions over TCP with their states, owners, time limits and devices.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct SessionsArgs {
    /// Remove sessions whose makers died half way
    #[arg(long)]
    pub clean: bool,
}

#[derive(Debug, Serialize)]
struct Sessions {
    sessions: Vec<SessionOutput>,
    notes: Vec<String>,
}

impl Answer for Sessions {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for session in &self.sessions {
            writeln!(
                out,
                "session {} {} {} {} ({}), replacement timeout {}",
                session.session,
                session.target,
                session.way(),
                session.state,
                session.owner,
                session.timeouts.replacement.map_or_else(
                    || "unknown".to_owned(),
                    |seconds| match seconds {
                        seconds if seconds < 0 => "never".to_owned(),
                        seconds => format!("{seconds} s"),
                    }
                ),
            )?;
            session.write_luns(out)?;
        }
        Ok(())
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl SessionsArgs {
    /// Shows the sessions.
    ///
    /// # Errors
    /// If they cannot be listed, or something half made cannot be removed.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let initiator = initiator(context)?;
        let mut notes = Vec::new();
        if self.clean {
            notes.extend(initiator.sweep()?.into_iter().map(|Swept { sid, target, kept }| match kept {
                None => format!("session {sid} to {target}, which was left half made, is removed"),
                Some(why) => format!("session {sid} to {target} was left half ended, and stays: {why}"),
            }));
        }
        let sessions = initiator.sessions()?.into_iter().map(|session| {
            let ShownSession { session, is_ours, luns } = initiator.shown(session);
            SessionOutput::new(&session, is_ours, &luns)
        });
        let sessions = sessions.collect();
        context.print(&Sessions { sessions, notes })
    }
}
