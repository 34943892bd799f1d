//! `thinvol scan`: list volume groups, thin pools and iSCSI targets.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::iscsi::discovery_options::{self, DiscoveryOptions};
use crate::context::Context;
use crate::errors::CliError;
use crate::output::Answer;
use iscsi::host::discover::discover;
use iscsi::protocol::portal::Portal;
use iscsi::protocol::targets::DiscoveredTarget;
use thin::Detail;

const LVM_HELP: &str = "\
Examples:
  thinvol scan lvm
  thinvol scan lvm --json

JSON:
  {\"volume_groups\": [{\"name\", \"uuid\", \"trouble\": [text (why it cannot be changed)]}]}";

const LVMTHIN_HELP: &str = "\
Examples:
  thinvol scan lvmthin pve
  thinvol scan lvmthin pve --json

JSON:
  {\"vg\", \"pools\": [{\"name\", \"storage\", \"active\": boolean, \"size\": number (bytes)}],
   \"warnings\": [text]}";

const ISCSI_HELP: &str = "\
Examples:
  thinvol scan iscsi 10.0.0.1
  thinvol scan iscsi '[fd00::1]:3260' --timeout 5
  thinvol scan iscsi san.example.com --chap-file /etc/thinvol/san.chap --json

JSON:
  {\"portal\" (that was asked), \"targets\": [{\"target\", \"portals\": [text]}],
   \"notes\": [text], \"warnings\": [text]}

'thinvol iscsi discover' asks several portals and shows more.";

/// List volume groups, the thin pools of one, or the targets of an iSCSI portal
#[derive(Debug, Args)]
pub struct ScanArgs {
    /// What to list.
    #[command(subcommand)]
    pub command: ScanCommand,
}

/// What to list.
#[derive(Debug, Subcommand)]
pub enum ScanCommand {
    /// List the volume groups
    #[command(after_long_help = LVM_HELP)]
    Lvm,
    /// List the thin pools of a volume group
    #[command(after_long_help = LVMTHIN_HELP)]
    Lvmthin {
        /// The volume group
        vg: String,
    },
    /// List the targets of an iSCSI portal
    ///
    /// Asks an iSCSI portal for its targets and lists them with their portals, as 'pvesm scan iscsi' does. A portal
    /// that does not answer is an error that says why, never an empty list.
    #[command(after_long_help = ISCSI_HELP)]
    Iscsi {
        /// An address or host name, with a port unless it is 3260
        portal: String,
        /// Who asks, and for how long.
        #[command(flatten)]
        ask: DiscoveryOptions,
    },
}

#[derive(Debug, Serialize)]
struct VolumeGroups {
    volume_groups: Vec<VolumeGroup>,
    #[serde(skip)]
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct VolumeGroup {
    name: String,
    uuid: String,
    trouble: Vec<String>,
}

impl Answer for VolumeGroups {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        self.volume_groups.iter().try_for_each(|vg| writeln!(out, "{}", vg.name))
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

#[derive(Debug, Serialize)]
struct Pools {
    vg: String,
    pools: Vec<Pool>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Pool {
    name: String,
    storage: String,
    active: bool,
    size: u64,
}

impl Answer for Pools {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        self.pools.iter().try_for_each(|pool| writeln!(out, "{}", pool.name))
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

#[derive(Debug, Serialize)]
struct Targets {
    portal: Portal,
    targets: Vec<TargetLine>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct TargetLine {
    target: String,
    portals: Vec<String>,
}

impl From<&DiscoveredTarget> for TargetLine {
    fn from(target: &DiscoveredTarget) -> Self {
        let mut portals: Vec<String> = Vec::new();
        for address in &target.addresses {
            let portal = address.portal.to_string();
            // One address in two portal groups is one portal.
            if !portals.contains(&portal) {
                portals.push(portal);
            }
        }
        Self { target: target.name.to_string(), portals }
    }
}

impl Answer for Targets {
    /// In the columns of `pvesm scan iscsi`. Source: pve-storage `PVE/CLI/pvesm.pm`.
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.targets.iter().map(|line| line.target.len()).max().unwrap_or(0);
        self.targets
            .iter()
            .try_for_each(|line| writeln!(out, "{:<width$} {}", line.target, line.portals.join(",")))
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn scan_iscsi(context: &Context, portal: &str, ask: &DiscoveryOptions) -> Result<(), CliError> {
    let portal = discovery_options::portal(portal, ask.interface.as_ref())?;
    let (client, mut warnings) = ask.client()?;
    let answer = discover(&portal, &client, &ask.limit())
        .map_err(|error| discovery_options::failed(&error, &client.initiator))?;
    let mut notes = Vec::new();
    discovery_options::remarks(&answer, &mut notes, &mut warnings);
    let targets = answer.found.targets.iter().map(TargetLine::from).collect();
    context.print(&Targets { portal, targets, notes, warnings })
}

impl ScanArgs {
    /// Lists volume groups, thin pools or iSCSI targets.
    ///
    /// # Errors
    /// If the argument is wrong, the metadata cannot be read or the portal does not answer.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        match &self.command {
            ScanCommand::Lvm => {
                let every = context.reader()?.groups()?;
                let mut volume_groups: Vec<VolumeGroup> = every
                    .vgs
                    .into_iter()
                    .map(|vg| VolumeGroup {
                        name: vg.name.to_string(),
                        uuid: vg.uuid.to_string(),
                        trouble: vg.trouble,
                    })
                    .collect();
                volume_groups.sort_by(|a, b| a.name.cmp(&b.name));
                let trouble = |vg: &VolumeGroup| {
                    let about = format!("volume group {} ({})", vg.name, vg.uuid);
                    vg.trouble.iter().map(move |what| format!("{about}: {what}")).collect::<Vec<_>>()
                };
                let warnings = every.warnings.into_iter().chain(volume_groups.iter().flat_map(trouble));
                let warnings = warnings.collect();
                context.print(&VolumeGroups { volume_groups, warnings })
            }
            ScanCommand::Lvmthin { vg } => {
                let vg = context.resolver.vg(vg)?;
                let view = context.reader()?.inspect(&vg, Detail::Pools)?;
                let mut pools: Vec<Pool> = view
                    .pools
                    .iter()
                    .map(|pool| Pool {
                        name: pool.name.to_string(),
                        storage: format!("{vg}/{}", pool.name),
                        active: pool.active,
                        size: pool.size.get(),
                    })
                    .collect();
                pools.sort_by(|a, b| a.name.cmp(&b.name));
                context.print(&Pools { vg: vg.to_string(), pools, warnings: view.warnings })
            }
            ScanCommand::Iscsi { portal, ask } => scan_iscsi(context, portal, ask),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_printed_as_pvesm_prints_them() {
        let target = |name: &str, addresses: &[&str]| DiscoveredTarget {
            name: name.parse().unwrap(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        };
        let targets = [
            target("iqn.2025-01.test:a", &["10.0.0.1:3260,1", "10.0.0.1:3260,2", "[::1]:3260,1"]),
            target("iqn.2025-01.test:longer", &["10.0.0.1:3260,1"]),
        ];
        let answer = Targets {
            portal: "10.0.0.1".parse().unwrap(),
            targets: targets.iter().map(TargetLine::from).collect(),
            notes: Vec::new(),
            warnings: Vec::new(),
        };
        let mut out = Vec::new();
        answer.text(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "iqn.2025-01.test:a      10.0.0.1:3260,[::1]:3260\niqn.2025-01.test:longer 10.0.0.1:3260\n"
        );
    }
}
