//! Who asks portals, how it is authenticated, and how long it may take.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::errors::CliError;
use base::error_kind::ErrorKind;
use iscsi::host::chap_file;
use iscsi::host::discover::{DiscoverError, Discovered, DiscoveryClient};
use iscsi::host::initiator::{INITIATOR_FILE, initiator};
use iscsi::host::limit::Limit;
use iscsi::protocol::name::IscsiName;
use iscsi::protocol::net_interface::NetInterface;
use iscsi::protocol::portal::Portal;

/// Options of the verbs that ask portals for their targets.
#[derive(Debug, Args)]
pub struct DiscoveryOptions {
    /// Ask as this initiator, not as the one in /etc/iscsi/initiatorname.iscsi
    #[arg(long, value_name = "IQN")]
    pub initiator: Option<String>,

    /// Ask by this network interface alone, whatever the routes say
    #[arg(long, value_name = "NAME")]
    pub interface: Option<NetInterface>,

    /// A file with CHAP users and secrets, readable by its owner only
    #[arg(long, value_name = "FILE")]
    pub chap_file: Option<PathBuf>,

    /// How many seconds all of it may take
    #[arg(long, display_order = 52, value_name = "SECONDS", default_value_t = 15,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout: u32,
}

impl DiscoveryOptions {
    /// The time limit, from now.
    pub fn limit(&self) -> Limit {
        Limit::new(Duration::from_secs(self.timeout.into()))
    }

    /// Who asks, and what is to be said about its secrets.
    ///
    /// # Errors
    /// If there is no initiator name, or the CHAP file cannot be used.
    pub fn client(&self) -> Result<(DiscoveryClient, Vec<String>), CliError> {
        let name = match &self.initiator {
            Some(name) => IscsiName::new(name).map_err(|error| CliError::usage(error.to_string()))?,
            None => initiator(Path::new(INITIATOR_FILE)).map_err(|error| {
                CliError::from_error(ErrorKind::Refused, &error)
                    .hint("give a name with --initiator; open-iscsi makes that file when it is installed")
            })?,
        };
        let interface = self.interface.clone();
        let Some(path) = &self.chap_file else {
            let client = DiscoveryClient { initiator: name, interface, chap: None, may_go_without: false };
            return Ok((client, Vec::new()));
        };
        let credentials = chap_file::read(path).map_err(|error| CliError {
            hint: error.hint(),
            ..CliError::from_error(ErrorKind::Refused, &error)
        })?;
        let may_go_without = credentials.may_discover_without;
        let client =
            DiscoveryClient { initiator: name, interface, chap: credentials.discovery, may_go_without };
        Ok((client, credentials.warnings))
    }
}

/// Reads a portal as it is typed, to be reached by an interface alone if one is given.
///
/// # Errors
/// If the text is not a portal, or names another interface.
pub fn portal(text: &str, interface: Option<&NetInterface>) -> Result<Portal, CliError> {
    let portal = Portal::new(text).map_err(|error| {
        CliError::usage(error.to_string())
            .hint("write '10.0.0.1', 'san.example.com:3261' or '[fd00::1]:3260'")
    })?;
    if let Some(interface) = interface {
        return portal.by(interface).ok_or_else(|| {
            CliError::usage(format!("portal '{portal}' is not reached by interface {interface}"))
                .hint("leave out the interface in the portal, or --interface")
        });
    }
    if portal.lacks_interface() {
        let message =
            format!("portal '{portal}' is link-local, and the interface it is reached by is missing");
        return Err(
            CliError::usage(message).hint(format!("write '{}%<interface>'", text.trim_matches(['[', ']'])))
        );
    }
    Ok(portal)
}

/// A failed discovery in the words of the command.
pub fn failed(error: &DiscoverError, initiator: &IscsiName) -> CliError {
    CliError { hint: error.hint(initiator), ..CliError::from_error(error.kind(), error) }
}

/// What is to be said about an answer: redirections, and what was left out.
pub fn remarks(answer: &Discovered, notes: &mut Vec<String>, warnings: &mut Vec<String>) {
    let portals = answer.way.portals();
    notes.extend(portals.windows(2).map(|pair| format!("portal {} redirects to {}", pair[0], pair[1])));
    let here = answer.way.here();
    if answer.went_without {
        notes.push(format!(
            "portal {here} does no CHAP for discovery and was asked without; an empty [discovery] section in the CHAP \
             file has it asked so at once"
        ));
    }
    warnings.extend(
        answer.found.left_out.iter().map(|what| format!("portal {here} lists what cannot be used: {what}")),
    );
}
