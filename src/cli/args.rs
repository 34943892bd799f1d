//! What can be typed: the one definition behind parsing, help, completions and `docs/cli.md`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

use super::commands::{
    activate, add, alloc, batch, clone, complete, completions, delete_snapshot, free, info, iscsi, list,
    path, recover, remove, rename, resize, rollback, scan, set, snapshot, status, template,
};

const ABOUT: &str = "\
Creates, snapshots, clones and removes thin volumes in LVM2 thin pools by talking to device-mapper itself, \
and records the result in LVM2's own metadata: stock lvm2 sees, activates and removes the same volumes.

A <STORAGE> is the id of a storage of type lvmthin in storage.cfg, or '<vg>/<pool>'; a <VOLUME> is \
'<storage id>:<name>', or '<vg>/<lv>' (or '/dev/<vg>/<lv>'); a snapshot is '<volume>@<snapshot>'. What was \
named by its storage id is shown by it, and used only if the storage is there for this node. \
Several volumes in one command are one transaction; of several volume groups, each \
is one transaction, in the order of their names.";

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
  128 + n  ended by signal n, 130 by Ctrl-C, 143 by SIGTERM: what had begun was carried through first, or
     nothing was changed; a discard or zeroing is ended by it with 5 instead

Errors go to standard error as 'error: …', 'caused by: …' and 'hint: …'; with --json as an object. Warnings and
notes go to standard error; with --json they are in the answer instead.

JSON of errors:
  {\"error\": {\"message\", \"causes\": [text], \"hint\": text or null, \"code\": number (the exit code),
     \"lines\"?: [{\"line\": number, \"message\", \"causes\": [text], \"hint\": text or null,
       \"code\": number}] (of a batch, if several are wrong),
     \"recovered\"?: [text] (mended before it went wrong), \"warnings\"?: [text]}}

JSON of --version:
  {\"name\", \"version\", \"udev\": boolean, \"target\", \"lvm2_at_least\",
   \"proxmox_ve\": {\"pve_storage\" (the release whose rules are followed), \"api_version\": number,
     \"api_age\": number},
   \"storage_types\": [{\"type\", \"properties\": [text], \"content\": [text], \"formats\": [text],
     \"shared\": boolean, \"features\": [text]}]}

Forms of JSON are written as a type with remarks in parentheses: text, number, boolean, object, [form] (a list),
{text: form} (any keys), {\"key\": form, \"other\"?: form} (these keys; one with a question mark may be missing;
without a form it is a text), a text in quotes (exactly that); 'or' stands between choices. Each document, of
errors too, also has \"json_version\": 1, which goes up when a key goes or means something else; keys may come
at any time.

Environment:
  TZ              the time zone of moments, as for other programs (default: the machine's)
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

    /// Say more: -v steps, -vv details, -vvv everything
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 101)]
    pub verbose: u8,

    /// Say nothing of what was done, no notes, no progress: only answers, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 102)]
    pub quiet: bool,
}

/// Options of every command that changes something.
#[derive(Clone, Debug, Args)]
pub struct ChangeOptions {
    /// Print the plan and change nothing
    #[arg(long, display_order = 50)]
    pub dry_run: bool,

    /// Do not wait until udev has made the device nodes
    #[arg(long, display_order = 51)]
    pub no_udev_sync: bool,

    /// How many seconds to wait for the lock of a volume group
    #[arg(long, display_order = 52, value_name = "SECONDS", default_value_t = DEFAULT_LOCK_TIMEOUT_SECONDS)]
    pub lock_timeout: u32,
}

/// How long a lock is waited for by default.
pub const DEFAULT_LOCK_TIMEOUT_SECONDS: u32 = 60;

impl ChangeOptions {
    /// How long to wait for a lock.
    pub fn lock_timeout(&self) -> Duration {
        Duration::from_secs(self.lock_timeout.into())
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what there is: volume groups, the thin pools of one, the targets of an iSCSI portal
    Scan(scan::ScanArgs),
    /// Show how full storages are
    ///
    /// Shows for each storage whether it is active and how full it is, in KiB, in the columns of 'pvesm
    /// status': all storages of the configuration, or, if there are none, all thin pools. A storage that is
    /// switched off or not for this node is 'disabled', one of a type that thinvol does not handle 'unknown'.
    /// One of type iscsi is active if a path to its target is up; paths that are down are warned about.
    /// Pools that are out of space, read-only or in need of a check are warned about. Of an inactive pool
    /// nothing is known: its numbers are 0, in JSON null.
    Status(status::StatusArgs),
    /// Add a storage to the configuration
    ///
    /// Adds a section to storage.cfg, as 'pvesm add' does. The volume group and the thin pool have to be there,
    /// and a portal has to answer, unless the storage is switched off or not for this node. All other bytes of
    /// the file stay what they are. Silent unless something is wrong.
    Add(add::AddArgs),
    /// Change properties of a storage
    ///
    /// Changes a section of storage.cfg, as 'pvesm set' does, and no other byte of the file. What a storage is
    /// made of cannot be changed. Silent unless something is wrong.
    Set(set::SetArgs),
    /// Take a storage out of the configuration
    ///
    /// Takes a section out of storage.cfg, as 'pvesm remove' does. Volumes, pools and sessions stay; access
    /// rules of Proxmox VE for the storage stay, too. Silent unless something is wrong.
    Remove(remove::RemoveArgs),
    /// List the volumes of a storage
    ///
    /// Lists the volumes of a thin pool in the columns of 'pvesm list', sizes in bytes. Of a storage named by
    /// its id those of guests are listed, as Proxmox VE does; of a pool named as <vg>/<pool> volumes with other
    /// names follow without a VMID. Snapshots are left out, except with --snapshots, and with --tree, which shows
    /// which volume was made from which, and when a snapshot was taken. Of a storage of type iscsi the LUNs of its
    /// target are listed, each once.
    List(list::ListArgs),
    /// Print the device path of a volume
    ///
    /// Prints the path a volume's device has when it is active. Whether a volume exists is not checked; a
    /// snapshot is looked up by what is recorded of it.
    Path(path::PathArgs),
    /// Show all about a volume or pool
    ///
    /// Shows all about a volume, a snapshot or a thin pool: sizes, state, where it came from and what was
    /// made from it: its snapshots, the oldest first, with size and time, and its clones.
    Info(info::InfoArgs),
    /// Create a volume
    ///
    /// Creates an empty thin volume and activates it. It does not come up by itself at boot. The size is
    /// rounded up to whole extents of the volume group (4 MiB unless made otherwise), and a note says so.
    Alloc(alloc::AllocArgs),
    /// Remove volumes
    ///
    /// Removes thin volumes and frees the space only they use. Clones of a removed volume stay whole; so do
    /// its snapshots, unless they are asked to go, too (--with-snapshots), or the volume is named by a storage
    /// id, as in Proxmox VE, and they are not asked to stay (--keep-snapshots). On a terminal it is asked before
    /// snapshots go that nobody named; one volume under two names is refused. Which snapshots are its own is
    /// recorded, not read from names. A
    /// template that volumes were cloned from is refused, and they are named. A volume in use is refused,
    /// and who uses it is named. A volume that does not exist is noted and counts as removed. The chunks go
    /// back to the pool, which zeroes them before it gives them to another volume, unless it was told not
    /// to; with --discard the disks below hear of it, too.
    Free(free::FreeArgs),
    /// Give a volume another size
    ///
    /// Gives a thin volume another size, rounded up to whole extents. A volume in use is grown under its
    /// user. One that has the size already is left as it is, and that is no error. Becoming smaller has to
    /// be asked for twice and is refused while anybody uses the volume; the file system on it is not looked
    /// at. Snapshots have the size their volume had.
    Resize(resize::ResizeArgs),
    /// Give a volume another name
    ///
    /// Gives a thin volume another name, in use or not. Its snapshots, whose LVs are named after it, follow
    /// in the same transaction; snapshots and clones go on being its own. If the names say that another
    /// guest gets the volume, the tag by which Proxmox VE marks the owner ('pve-vm-<VMID>') changes, too.
    Rename(rename::RenameArgs),
    /// Take snapshots, all at one instant
    ///
    /// Takes snapshots of thin volumes, active or not. All origins of one volume group are frozen together,
    /// so that their snapshots show one instant, and it is said for how long. So is a file system that is
    /// mounted on a volume itself; one on a partition of it, or on an encrypted volume or a volume group in
    /// it, is not: 'fsfreeze' holds it still. The snapshot's LV is named 'snap_<volume>_<snapshot>', stays
    /// inactive, is found by its recorded lineage (LVM tags), and is skipped by lvm2's activation unless
    /// told otherwise.
    Snapshot(snapshot::SnapshotArgs),
    /// Remove snapshots
    ///
    /// Removes snapshots. A snapshot is found by what is recorded of it (LVM tags, or LVM's origin field
    /// for those made by lvm2 and Proxmox VE), never by its name alone. A snapshot that does not exist is
    /// an error.
    DeleteSnapshot(delete_snapshot::DeleteSnapshotArgs),
    /// Make volumes what snapshots of them hold
    ///
    /// Makes thin volumes what snapshots of them hold, all of a volume group in one transaction. What the
    /// volumes hold now is lost, unless another snapshot holds it: it is said since when, and on a terminal it is asked
    /// first. Any snapshot will do; newer ones stay. A
    /// volume keeps its name, uuid, flags and tags, and gets the size it had. It may be active; one in use
    /// is refused, and who uses it is named.
    Rollback(rollback::RollbackArgs),
    /// Create volumes with the content of a volume or snapshot
    ///
    /// Creates writable thin volumes, one for each guest, that share their content with a volume or snapshot of
    /// the same pool until either is written to, and activates them. What they were cloned from is recorded and
    /// may be removed later without harm. Thousands are one transaction like one.
    Clone(clone::CloneArgs),
    /// Turn volumes into templates
    ///
    /// Turns volumes 'vm-<VMID>-…' into templates 'base-<VMID>-…': read-only, inactive, and skipped by
    /// lvm2's activation unless told otherwise. A volume in use or with snapshots is refused, and they are
    /// named.
    Template(template::TemplateArgs),
    /// Make the devices of volumes, pools or volume groups appear
    ///
    /// Makes the devices of volumes appear, with the pools they need. A volume or snapshot that is named is
    /// activated even if it is marked to be skipped; with a whole volume group such volumes are left alone.
    /// Of a storage of type iscsi, logs in to its target at all portals the target lists, and attaches all LUNs;
    /// one path that works is enough.
    Activate(activate::ActivateArgs),
    /// Make the devices of volumes, pools or volume groups go
    ///
    /// Makes the devices of volumes go. A volume in use is refused, and who uses it is named. Of a storage of type
    /// iscsi, logs out of its target, unless one of its disks is in use.
    Deactivate(activate::DeactivateArgs),
    /// Carry out many requests as one transaction
    ///
    /// Carries out many requests as one transaction: all of a volume group or none, in the order given,
    /// with at most two metadata commits however many they are. Any legal LV name may be created. Snapshots
    /// of all volumes of a batch show one instant. A volume to remove must exist; its snapshots go with it if
    /// it is named by a storage id, as with 'thinvol free'.
    ///
    /// If lines are wrong or refused, all of them are told, with their numbers, and nothing is changed. With
    /// --keep-going the others are carried out, one transaction for each volume group, and the exit code is 5;
    /// a line about the same volume as an earlier one that is left out is left out, too. A failure while a
    /// transaction is made takes all of it back.
    Batch(batch::BatchArgs),
    /// Finish or clear what a crash left behind
    ///
    /// Finishes or clears what a crashed thinvol or lvm2 left behind: pending pool messages, thin devices
    /// no volume knows, devices left suspended. Every changing command does this first for its volume
    /// group; a boot unit does it once.
    Recover(recover::RecoverArgs),
    /// Find iSCSI targets, log in to and out of them, attach their LUNs
    ///
    /// Makes, shows, recovers and ends sessions to iSCSI targets by the kernel's own interface, beside iscsid and
    /// without needing it.
    Iscsi(iscsi::IscsiArgs),
    /// Print a completion script for a shell
    ///
    /// Prints a completion script for a shell. Those for bash, fish and zsh also complete the names of storages,
    /// volumes and snapshots; those that only root can see, for root.
    Completions(completions::CompletionsArgs),
    /// Print what a word could become
    #[command(hide = true)]
    Complete(complete::CompleteArgs),
}
