//! The language: one ioctl or one I/O a line.
//!
//! ```text
//! # a comment
//! disk d 8192                         a disk of that many sectors, $d from now on
//! pool                                a disk and the devices tmeta, tdata and tpool on it, ready
//! pool 2                              another: the disk d2, and tmeta2, tdata2 and tpool2
//! pool again / pool 2 again           the devices once more, on the disk that is there
//! create t                            a device without a table, $t from now on
//! create t UUID                       the same with a uuid of one's own
//! load t 0 128 linear $d 0            a table; more targets after semicolons
//! load t ro 0 128 linear $d 0         a read-only one
//! clear t / suspend t / suspend t noflush / suspend t nofreeze / resume t / remove t / rename t u
//! message t create_thin 1
//! info t / uuid UUID / list / table t / status t / status t flush / deps t
//! write t 5 42 / read t 5 / sync t    one sector
//! held tpool tmeta                    the thin devices in the metadata snapshot
//! hold t / release t                  opens a device and keeps it open
//! refuse t / accept t                 a device of linear targets fails all writes, and no longer
//! crash                               the machine goes: no devices, and of the pools what was committed
//! ```
//!
//! What a line showed follows it, each line behind a `> `. Numbers that no kernel promises are shown as
//! words: device numbers as `$name`, the root of a metadata snapshot as `held`, and used metadata blocks as `used`
//! where nothing was committed just before (`status t`; `status t flush` shows them).

use anyhow::{Context, Result, bail};
use base::units::Sectors;
use dm::kernel::StatusFlush;
use dm::kernel::Suspend;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Adds a disk.
    Disk(String, Sectors),
    /// Makes a pool: what its names end in, and whether its disk is there.
    Pool(String, bool),
    /// Makes a device, with this uuid if any.
    Create(String, Option<String>),
    /// Loads a table: its lines, and whether it is read-only.
    Load(String, Vec<String>, bool),
    /// Drops the inactive table.
    Clear(String),
    /// Suspends.
    Suspend(String, Suspend),
    /// Resumes.
    Resume(String),
    /// Removes.
    Remove(String),
    /// Renames.
    Rename(String, String),
    /// Sends a message.
    Message(String, String),
    /// Looks at a device by name.
    Info(String),
    /// Looks at a device by uuid.
    Uuid(String),
    /// Lists the devices.
    List,
    /// Shows the live table.
    Table(String),
    /// Shows the status.
    Status(String, StatusFlush),
    /// Shows what a device stands on.
    Deps(String),
    /// Writes a sector.
    Write(String, Sectors, u64),
    /// Reads a sector.
    Read(String, Sectors),
    /// Flushes.
    Sync(String),
    /// Shows the thin devices in the metadata snapshot of a pool, read from its metadata device.
    Held(String, String),
    /// Opens.
    Hold(String),
    /// Closes.
    Release(String),
    /// Makes a device fail writes, or take them again.
    Refuse(String, bool),
    /// Crashes the machine.
    Crash,
}

impl Command {
    /// Reads a line that is neither empty nor a comment.
    pub fn parse(line: &str) -> Result<Self> {
        let (verb, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        let sector = |text: &str| -> Result<Sectors> {
            Ok(Sectors::new(text.parse().with_context(|| format!("'{text}' is not a number of sectors"))?))
        };
        let owned = |text: &str| text.to_owned();
        Ok(match (verb, &words[..]) {
            ("disk", [name, size]) => Self::Disk(owned(name), sector(size)?),
            ("pool", []) => Self::Pool(String::new(), false),
            ("pool", ["again"]) => Self::Pool(String::new(), true),
            ("pool", [number]) => Self::Pool(owned(number), false),
            ("pool", [number, "again"]) => Self::Pool(owned(number), true),
            ("create", [name]) => Self::Create(owned(name), None),
            ("create", [name, uuid]) => Self::Create(owned(name), Some(owned(uuid))),
            ("load", [name, "ro", table @ ..]) => Self::Load(owned(name), lines(table), true),
            ("load", [name, table @ ..]) => Self::Load(owned(name), lines(table), false),
            ("clear", [name]) => Self::Clear(owned(name)),
            ("suspend", [name]) => Self::Suspend(owned(name), Suspend::FlushAndFreeze),
            ("suspend", [name, "nofreeze"]) => Self::Suspend(owned(name), Suspend::Flush),
            ("suspend", [name, "noflush"]) => Self::Suspend(owned(name), Suspend::HoldBack),
            ("resume", [name]) => Self::Resume(owned(name)),
            ("remove", [name]) => Self::Remove(owned(name)),
            ("rename", [name, new]) => Self::Rename(owned(name), owned(new)),
            ("message", [name, text @ ..]) => Self::Message(owned(name), text.join(" ")),
            ("info", [name]) => Self::Info(owned(name)),
            ("uuid", [uuid]) => Self::Uuid(owned(uuid)),
            ("list", []) => Self::List,
            ("table", [name]) => Self::Table(owned(name)),
            ("status", [name]) => Self::Status(owned(name), StatusFlush::NoFlush),
            ("status", [name, "flush"]) => Self::Status(owned(name), StatusFlush::Flush),
            ("deps", [name]) => Self::Deps(owned(name)),
            ("write", [name, at, value]) => {
                let value = value.parse().with_context(|| format!("'{value}' is not a number"))?;
                Self::Write(owned(name), sector(at)?, value)
            }
            ("read", [name, at]) => Self::Read(owned(name), sector(at)?),
            ("sync", [name]) => Self::Sync(owned(name)),
            ("held", [pool, metadata]) => Self::Held(owned(pool), owned(metadata)),
            ("hold", [name]) => Self::Hold(owned(name)),
            ("release", [name]) => Self::Release(owned(name)),
            ("refuse", [name]) => Self::Refuse(owned(name), true),
            ("accept", [name]) => Self::Refuse(owned(name), false),
            ("crash", []) => Self::Crash,
            _ => bail!("no such command: {line}"),
        })
    }
}

/// The lines of a table, which semicolons separate.
fn lines(words: &[&str]) -> Vec<String> {
    let text = words.join(" ");
    text.split(';').map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}
