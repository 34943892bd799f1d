//! `thinvol pool check`: whether a pool's metadata is as it must be.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::errors::CliError;
use crate::options::ChangeOptions;
use crate::output::Answer;
use base::error_kind::ErrorKind;
use base::ids::VgName;
use thin::internals::lookup;
use thin::internals::pool_check::{Finding, Severity};
use thin::{Detail, Effect, EngineError, Report};

const HELP: &str = "\
Examples:
  thinvol pool check pve/data
  thinvol pool check pve/data --rate 4M                beside guests that are busy
  thinvol pool check local-lvm --json | jq '.findings'
  thinvol pool check pve/data --clear-needs-check      so that it can be written again

JSON:
  {\"pool\", \"running\": boolean,
   \"checked\": [\"structure\" or \"agreement\" or \"space_maps\"] (what was looked at),
   \"findings\": [{\"severity\": \"damage\" or \"disagreement\" or \"unchecked\" or \"leftover\", \"what\"}],
   \"notes\": [text], \"warnings\": [text]}

Exit code 6 if there is damage or a disagreement, or the kernel's mark that the pool needs a check. What is left over
takes room, and is no reason to repair anything.";

/// Check the metadata of a thin pool, while it runs or not
///
/// Reads all of a pool's own metadata: whether its trees are whole and say the same of each device, and whether they
/// fit the volume group's metadata: devices of all volumes, none besides, the same transaction. Nothing is changed. A
/// running pool is read through a metadata snapshot and is not stopped; the volume group is locked for changes
/// meanwhile, and what is freed becomes free after it.
///
/// Of a pool that does not run, the space maps are checked as well, by thin_check as lvm.conf has it.
///
/// When a change of the metadata fails, the kernel drops it and marks the pool, which is read-only from then on: needs
/// check. That alone is no damage. --clear-needs-check takes the mark away if a whole check finds nothing wrong.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct CheckArgs {
    /// The pool: a storage id or <vg>/<pool>
    pub pool: String,

    /// Read not more than so many KiB of metadata in a second, or so much with a unit: 4M. The volume group is locked
    /// for changes so much longer, and thin_check, of a pool that does not run, reads as it likes
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,

    /// Take away the mark that a pool which does not run needs a check, if nothing is wrong
    #[arg(long)]
    pub clear_needs_check: bool,
}

#[derive(Debug, Serialize)]
struct Checked {
    pool: String,
    running: bool,
    checked: Vec<&'static str>,
    findings: Vec<Finding>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

impl Answer for Checked {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for Finding { severity, what } in &self.findings {
            let word = match severity {
                Severity::Damage => "damage",
                Severity::Disagreement => "disagreement",
                Severity::Unchecked => "unchecked",
                Severity::Leftover => "left over",
            };
            writeln!(out, "{word}: {what}")?;
        }
        if self.findings.is_empty() {
            writeln!(out, "pool {}: nothing is wrong with its metadata", self.pool)?;
        }
        Ok(())
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// What says so much of a pool's metadata that nothing else can be said.
fn damage(error: EngineError) -> Finding {
    Finding { severity: Severity::Damage, what: CliError::from(error).one_line() }
}

impl CheckArgs {
    /// Checks the pool.
    ///
    /// # Errors
    /// If something is wrong with it, or it cannot be looked at.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let rate = self.rate.as_deref().map(crate::transfer::rate).transpose()?;
        let storage = context.resolver.storage(&self.pool)?;
        let shown = format!("{}/{}", storage.vg, storage.pool);
        let engine = context.open(&ChangeOptions::default())?;
        let view = engine.inspect(&storage.vg, Detail::Pools)?;
        let pool = view.pools.iter().find(|pool| pool.name == storage.pool);
        let running = pool.ok_or_else(|| lookup::no_pool(&storage))?.active;
        if running && self.clear_needs_check {
            return Err(CliError::new(
                ErrorKind::Busy,
                format!("pool {shown} is active: its mark cannot be taken away"),
            )
            .hint(format!("stop what uses its volumes, then 'thinvol deactivate {}'", view.name)));
        }
        let mut answer = Checked {
            pool: shown.clone(),
            running,
            checked: vec!["structure", "agreement"],
            findings: match engine.check_pool(&storage.vg, &storage.pool, rate) {
                Err(error) if error.kind() == ErrorKind::Corrupt => vec![damage(error)],
                found => found?,
            },
            notes: Vec::new(),
            warnings: context.warnings(),
        };
        if running {
            answer.notes.push("the space maps are checked only while the pool does not run".into());
        } else {
            match engine.check_space_maps(&storage.vg, &storage.pool, self.clear_needs_check) {
                Ok(report) => answer.passed(report),
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    answer.findings.insert(0, damage(error));
                }
                Err(error) => return Err(error.into()),
            }
            answer.checked.push("space_maps");
        }
        let wrong = answer.wrong(&view.name);
        context.conclude(&answer, wrong)
    }
}

impl Checked {
    /// The whole check has found nothing.
    fn passed(&mut self, report: Report) {
        self.warnings.extend(report.warnings);
        if report.done.iter().any(|done| done.effect == Effect::MarkCleared) {
            self.findings.retain(|finding| finding.severity != Severity::Unchecked);
            self.notes.push("the mark that the pool needs a check is taken away".into());
        }
    }

    /// What the worst that was found comes to.
    fn wrong(&self, vg: &VgName) -> Option<CliError> {
        let Self { pool, running, findings, .. } = self;
        let worst = findings.iter().map(|finding| finding.severity).max();
        let (what, hint) = match worst.filter(|worst| *worst > Severity::Leftover)? {
            Severity::Damage if *running => (
                "is damaged",
                format!(
                    "copy what can be read, deactivate what uses the pool, then 'thinvol pool repair {pool}'"
                ),
            ),
            Severity::Damage => ("is damaged", format!("'thinvol pool repair {pool}' repairs it")),
            Severity::Unchecked => (
                "is marked by the kernel",
                format!("'thinvol pool check {pool} --clear-needs-check' takes the mark away"),
            ),
            _ => (
                "does not fit the volume group's metadata",
                format!("'thinvol recover {vg}' mends what a crash left"),
            ),
        };
        Some(CliError::new(ErrorKind::Corrupt, format!("the metadata of pool {pool} {what}")).hint(hint))
    }
}
