//! What can be typed: the one definition behind parsing, help, completions and `docs/cli.md`.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use super::commands::{
    activate, add, alloc, audit, batch, clone, complete, completions, delete_snapshot, export, free, import,
    info, iscsi, list, metrics, path, pool, recover, remove, rename, resize, rollback, scan, set, snapshot,
    status, template,
};

pub mod quick;

const ABOUT: &str = "\
Creates, snapshots, clones and removes thin volumes in LVM2 thin pools by talking to device-mapper itself, \
and records the result in LVM2's own metadata: stock lvm2 sees, activates and removes the same volumes.

A <STORAGE> is the id of a storage of type lvmthin in storage.cfg, or '<vg>/<pool>'; a <VOLUME> is \
'<storage id>:<name>', or '<vg>/<lv>' (or '/dev/<vg>/<lv>'); a snapshot is '<volume>@<snapshot>'. A volume \
named by a storage id is shown by that id, and used only if the storage is for this node. \
Several volumes in one command are changed in one transaction for each volume group, in the order of the \
groups' names.";

const AFTER: &str = "\
Exit codes:
  0  done
  1  refused; nothing was changed
  2  the command line or its input is wrong; nothing was changed
  3  something named does not exist; nothing was changed
  4  busy or locked; nothing was changed and a retry may work
  5  interrupted or done in part; 'thinvol recover' finishes it
  6  metadata is corrupt
  7  not supported
  101  a fault in thinvol itself; 'thinvol recover' finishes what it had begun
  128 + n  ended by signal n, 130 by Ctrl-C, 143 by SIGTERM: before a change began, or after its results were
     printed. A signal during a change ends it with 1 if nothing was changed, with 5 if a part was (a discard,
     one of several volume groups), with 0 and a warning if it came too late

Errors go to standard error as 'error: …', 'caused by: …' and 'hint: …'; with --json as an object. Warnings and
notes go to standard error; with --json they are in the answer instead.

JSON of errors:
  {\"error\": {\"message\", \"causes\": [text], \"hint\": text or null, \"code\": number (the exit code),
     \"lines\"?: [{\"line\": number, \"message\", \"causes\": [text], \"hint\": text or null,
       \"code\": number}] (of a batch, if several are wrong),
     \"recovered\"?: [text] (repaired before the error), \"warnings\"?: [text]}}

JSON of --version:
  {\"name\", \"version\", \"udev\": boolean, \"target\", \"lvm2_at_least\",
   \"proxmox_ve\": {\"pve_storage\" (the release whose rules are followed), \"api_version\": number,
     \"api_age\": number},
   \"storage_types\": [{\"type\", \"properties\": [text], \"content\": [text], \"formats\": [text],
     \"shared\": boolean, \"features\": [text]}]}

A JSON form is a type with remarks in parentheses: text, number, boolean, object, [form] (a list),
{text: form} (any keys), {\"key\": form, \"other\"?: form} (these keys; one with a question mark may be
missing, one without a form is a text), a text in quotes (exactly that text); 'or' stands between
choices. Each document, also of an error, has \"json_version\": 3, which is raised when a key is
removed or changes its meaning; keys may be added at any time.

Environment:
  TZ              the time zone of times shown, as for other programs (default: the machine's)
  LVM_SYSTEM_DIR  where lvm.conf is (default /etc/lvm), as for lvm2
  NO_COLOR        if set and not empty: no colours, not even on a terminal";

/// Thin volumes in LVM2 thin pools, without the waiting
#[derive(Debug, Parser)]
#[command(name = "thinvol", long_about = ABOUT, after_long_help = AFTER)]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,

    /// Print the version; with --json also what this binary was built with
    #[arg(short = 'V', long)]
    pub version: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Answer in JSON, errors too
    #[arg(long, global = true, display_order = 100)]
    pub json: bool,

    /// The configuration of storages [default: /etc/pve/storage.cfg if there is one, else
    /// /etc/thinvol/storage.cfg]
    #[arg(long, global = true, display_order = 99, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Log more: -v steps, -vv details, -vvv everything
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 101)]
    pub verbose: u8,

    /// No reports of what was done, no notes, no progress: only answers, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 102)]
    pub quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help of a command is the documentation of its arguments")]
pub enum Command {
    Scan(scan::ScanArgs),
    Status(status::StatusArgs),
    Add(add::AddArgs),
    Set(set::SetArgs),
    Remove(remove::RemoveArgs),
    List(list::ListArgs),
    Path(path::PathArgs),
    Info(info::InfoArgs),
    Alloc(alloc::AllocArgs),
    Free(free::FreeArgs),
    Resize(resize::ResizeArgs),
    Rename(rename::RenameArgs),
    Snapshot(snapshot::SnapshotArgs),
    DeleteSnapshot(delete_snapshot::DeleteSnapshotArgs),
    Rollback(rollback::RollbackArgs),
    Clone(clone::CloneArgs),
    Template(template::TemplateArgs),
    Activate(activate::ActivateArgs),
    Deactivate(activate::DeactivateArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Batch(batch::BatchArgs),
    Audit(audit::AuditArgs),
    Recover(recover::RecoverArgs),
    Pool(pool::PoolArgs),
    Metrics(metrics::MetricsArgs),
    Iscsi(iscsi::IscsiArgs),
    Completions(completions::CompletionsArgs),
    #[command(hide = true)]
    Complete(complete::CompleteArgs),
}
