//! `thinvol iscsi discover`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use super::discovery_options::{self, DiscoveryOptions};
use crate::context::Context;
use crate::errors::CliError;
use crate::output::{Answer, columns};
use base::error_kind::ErrorKind;
use iscsi::initiator::Initiator;
use iscsi::protocol::name::IscsiName;
use iscsi::protocol::portal::{Portal, TargetAddress};

const HELP: &str = "\
Examples:
  thinvol iscsi discover 10.0.0.1
  thinvol iscsi discover 10.0.0.1 10.0.1.1 --timeout 5
  thinvol iscsi discover 10.0.0.1 --interface eth1                    by this network interface alone
  thinvol iscsi discover '[fe80::1%eth0]:3260' --initiator iqn.2025-01.com.example:host1
  thinvol iscsi discover san.example.com --chap-file /etc/thinvol/san.chap --json

Columns: target, portal, portal group tag.

JSON:
  {\"targets\": [{\"target\", \"listed_by\": [text] (portals that list it),
                \"addresses\": [{\"portal\", \"tag\": number or null}]}],
   \"failed\": [{\"portal\", \"error\": {\"message\", \"causes\": [text], \"hint\": text or null,
                \"code\": number, \"recovered\"?: [text], \"warnings\"?: [text]}}],
   \"notes\": [text], \"warnings\": [text]}

If only some portals answer, the exit code is 5. The form of a CHAP file is in docs/iscsi.md.";

/// Discover the targets of portals
///
/// Asks portals for the targets they offer to this initiator, all at the same time and within one time limit.
/// Lists each target with all its portals and their portal group tags. A portal that does not answer is an error
/// that says why; the answers of the others are printed.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct DiscoverArgs {
    /// Addresses or host names, each with a port unless it is 3260
    #[arg(required = true, value_name = "PORTAL")]
    pub portals: Vec<String>,

    /// Who asks, and for how long.
    #[command(flatten)]
    pub ask: DiscoveryOptions,
}

#[derive(Debug, Default, Serialize)]
struct Found {
    targets: Vec<TargetEntry>,
    failed: Vec<Failed>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct TargetEntry {
    target: IscsiName,
    listed_by: Vec<Portal>,
    addresses: Vec<TargetAddress>,
}

#[derive(Debug, Serialize)]
struct Failed {
    portal: Portal,
    error: CliError,
}

impl Answer for Found {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let row = |target: &TargetEntry, address: &TargetAddress| {
            let tag = address.tag.map_or_else(String::new, |tag| tag.to_string());
            [target.target.to_string(), address.portal.to_string(), tag]
        };
        let rows: Vec<_> = self
            .targets
            .iter()
            .flat_map(|target| target.addresses.iter().map(move |address| row(target, address)))
            .collect();
        columns(out, &rows, &[false, false, true])
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl DiscoverArgs {
    /// Lists what the portals offer.
    ///
    /// # Errors
    /// If an argument is wrong, or a portal does not answer.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let mut portals: Vec<Portal> = Vec::new();
        for text in &self.portals {
            let portal = discovery_options::portal(text, self.ask.interface.as_ref())?;
            if !portals.contains(&portal) {
                portals.push(portal);
            }
        }
        let (client, warnings) = self.ask.client()?;
        let mut answer = Found { warnings, ..Found::default() };
        let mut targets: BTreeMap<IscsiName, TargetEntry> = BTreeMap::new();
        for (portal, result) in Initiator::discover(&portals, &client, &self.ask.limit()) {
            match result {
                Ok(one) => {
                    discovery_options::remarks(&one, &mut answer.notes, &mut answer.warnings);
                    one.found.targets.into_iter().for_each(|target| merge(&mut targets, &portal, target));
                }
                Err(error) => {
                    answer
                        .failed
                        .push(Failed { portal, error: discovery_options::failed(&error, &client.initiator) });
                }
            }
        }
        answer.targets = targets.into_values().collect();
        match (answer.failed.len(), portals.len()) {
            (0, _) => context.print(&answer),
            (1, 1) => Err(answer.failed.remove(0).error),
            (failed, all) => {
                let failure = not_all(&answer.failed, all);
                if failed < all { context.conclude(&answer, Some(failure)) } else { Err(failure) }
            }
        }
    }
}

fn merge(
    targets: &mut BTreeMap<IscsiName, TargetEntry>,
    asked: &Portal,
    found: iscsi::protocol::targets::DiscoveredTarget,
) {
    let target = targets.entry(found.name.clone()).or_insert_with(|| TargetEntry {
        target: found.name,
        listed_by: Vec::new(),
        addresses: Vec::new(),
    });
    target.listed_by.push(asked.clone());
    for address in found.addresses {
        if !target.addresses.contains(&address) {
            target.addresses.push(address);
        }
    }
}

/// Portals that did not answer, as one error: that of a single portal keeps its hint.
fn not_all(failed: &[Failed], all: usize) -> CliError {
    let code = if failed.len() < all { ErrorKind::Partial } else { failed[0].error.code };
    let causes = failed.iter().map(|failed| failed.error.one_line());
    let message = format!("{} of {all} portals did not answer", failed.len());
    CliError { causes: causes.collect(), hint: failed[0].error.hint.clone(), ..CliError::new(code, message) }
}
