//! `thinvol recover`: finish or undo what a crash left behind.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::errors::CliError;
use crate::options::ChangeOptions;
use crate::output::Answer;
use base::error_kind::ErrorKind;
use base::ids::VgName;
use thin::Report;

const HELP: &str = "\
Examples:
  thinvol recover                                  all volume groups
  thinvol recover pve
  thinvol recover --dry-run pve                    what would be done

JSON:
  {\"executed\": boolean (false with --dry-run),
   \"volume_groups\": [{\"vg\", \"recovered\": [text], \"plan\"?: object (with --dry-run)}],
   \"warnings\": [text]}";

/// Finish or undo what a crash left behind
///
/// Finishes or undoes what a crashed thinvol or lvm2 left behind: pending pool messages, orphaned thin devices,
/// suspended devices. Every command that changes a volume group does this first; a boot unit does it once.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct RecoverArgs {
    /// Only this volume group
    pub vg: Option<String>,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

#[derive(Debug, Serialize)]
struct Recovered {
    executed: bool,
    volume_groups: Vec<VolumeGroup>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct VolumeGroup {
    vg: String,
    recovered: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<serde_json::Value>,
    #[serde(skip)]
    text: String,
}

impl Answer for Recovered {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        self.volume_groups.iter().try_for_each(|vg| out.write_all(vg.text.as_bytes()))
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn tells_of_changes(&self) -> bool {
        self.executed && self.volume_groups.iter().any(|group| !group.recovered.is_empty())
    }

    fn is_report(&self) -> bool {
        self.executed
    }
}

impl RecoverArgs {
    /// Recovers one volume group or all; a failure of one does not keep the others from it.
    ///
    /// # Errors
    /// The first failure, if an argument is wrong or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let only = self.vg.as_deref().map(|vg| context.resolver.vg(vg)).transpose()?;
        let engine = context.open(&self.change)?;
        // Kept until all are done: no group comes or goes meanwhile.
        let every = if only.is_none() { Some(engine.groups()?) } else { None };
        let named = every.iter().flat_map(|every| &every.vgs).map(|vg| vg.name.clone());
        let mut vgs: Vec<VgName> = only.into_iter().chain(named).collect();
        // Of several of one name only one can be meant, or none.
        vgs.sort();
        vgs.dedup();
        let warnings = every.iter().flat_map(|every| every.warnings.clone()).collect();
        let mut answer = Recovered { executed: !self.change.dry_run, volume_groups: vec![], warnings };
        let mut failure = None;
        for vg in &vgs {
            let result = if self.change.dry_run { engine.plan_recovery(vg) } else { engine.recover(vg) };
            match result {
                Ok(report) => answer.take(vg, report)?,
                Err(error) if vgs.len() == 1 => return Err(error.into()),
                Err(error) => {
                    let error = CliError::from(error);
                    let code = error.code;
                    failure
                        .get_or_insert(error.within(code, format!("volume group '{vg}' is not recovered")));
                }
            }
        }
        context.conclude(&answer, failure)
    }
}

impl Recovered {
    fn take(&mut self, vg: &VgName, report: Report) -> Result<(), CliError> {
        self.warnings.extend(report.warnings);
        let plan = (!report.executed).then(|| serde_json::to_value(&report.plan)).transpose();
        let plan = plan.map_err(|error| {
            CliError::new(ErrorKind::Unsupported, "the plan cannot be shown as JSON").caused_by(Some(&error))
        })?;
        let text = if !report.executed {
            let found = report.recovered.iter().map(|what| format!("{vg}: to recover: {what}\n"));
            found.chain([report.plan.to_string()]).collect()
        } else if report.recovered.is_empty() {
            format!("{vg}: nothing to recover\n")
        } else {
            report.recovered.iter().map(|what| format!("{vg}: {what}\n")).collect()
        };
        self.volume_groups.push(VolumeGroup { vg: vg.to_string(), recovered: report.recovered, plan, text });
        Ok(())
    }
}
