//! All of a volume at once: discarded before it goes, zeroed when it is new.
//!
//! Removing a thin volume gives its chunks back to the pool; the disks below hear nothing of it. A discard of the whole
//! volume tells them, if the pool passes discards down. It is not a part of the transaction that removes the volume: it
//! can take long, no lock is held meanwhile, and it cannot be taken back. So the removal is planned first.
//!
//! A new volume is zeroed where its pool does not zero chunks, and whoever allocated it must not see what others left
//! in them. A volume is never zeroed before it goes: dm-thin writes to what was written before the last snapshot by
//! giving the volume a new chunk (Linux `drivers/md/dm-thin.c`, `break_sharing`), even when the snapshot is gone, so
//! that the old one would be freed as it is. Who wants that the disks forget wants a discard.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use nix::errno::Errno;

use super::errors::{CliError, Code};
use super::resolve::Volume;
use base::ids::DevNo;
use base::units::Bytes;
use base::units::size::Rounded;
use lvm2::format::model::Lv;
use sys::blkdev;
use thin::engine::View;
use thin::error::EngineError;

/// What is done to a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wipe {
    /// The disks below are told that nothing of it is needed.
    Discard,
    /// It is overwritten with zeros, which allocates all of it.
    Zero,
}

impl Wipe {
    /// How much is done at once: what a disk works through in a moment, so that a signal is heeded between.
    fn step_bytes(self) -> u64 {
        match self {
            Self::Discard => 1 << 30,
            Self::Zero => 16 << 20,
        }
    }

    fn participle(self) -> &'static str {
        match self {
            Self::Discard => "discarding",
            Self::Zero => "zeroing",
        }
    }
}

/// Does it to all of a volume, active as `/dev/<vg>/<lv>` and in nobody's use. `view` shows the volume group anew, once
/// the device is held open: a name can come to mean something else at any time, the device that is open cannot.
///
/// # Errors
/// Those of `view`; if the name means another volume by now, if the device is in use, or the pool or the disks below
/// fail. Part of it may be done by then.
pub fn wipe(
    how: Wipe,
    lv: &Lv,
    volume: &Volume,
    view: impl FnOnce() -> Result<View, EngineError>,
) -> Result<(), CliError> {
    let failed = |error: io::Error| {
        let errno = error.raw_os_error().map(Errno::from_raw);
        let code = if errno == Some(Errno::EBUSY) { Code::Busy } else { Code::Refused };
        let error =
            CliError::new(code, format!("{} '{volume}' failed", how.participle())).caused_by(Some(&error));
        match (how, errno) {
            (Wipe::Discard, Some(Errno::EOPNOTSUPP)) => error.hint(
                "its pool ignores discards: 'lvchange --discards passdown <vg>/<pool>', while inactive",
            ),
            (Wipe::Zero, Some(Errno::ENOSPC)) => {
                error.hint("a zeroed volume takes all its size of the pool, which has no more room")
            }
            _ => error,
        }
    };
    let device = PathBuf::from(format!("/dev/{}/{}", volume.vg, volume.lv));
    // Of a block device, O_EXCL without O_CREAT means: if nobody else uses it so, such as a mount.
    let exclusive = nix::fcntl::OFlag::O_EXCL.bits();
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(exclusive).open(device).map_err(failed)?;
    alone(&view()?, lv, number(&file).map_err(failed)?, volume)?;
    work_through(&file, how, volume).map_err(failed)
}

/// Whether a device that this process has open is that of the volume, and nobody else has it open.
fn alone(view: &View, lv: &Lv, dev: DevNo, volume: &Volume) -> Result<(), CliError> {
    let seen = view.volumes.iter().find(|seen| seen.uuid == lv.id && seen.dev == Some(dev));
    let seen =
        seen.ok_or_else(|| CliError::new(Code::Busy, format!("'{volume}' has just become another volume")))?;
    if seen.open_count > 1 {
        let others = seen.open_count - 1;
        return Err(CliError::new(Code::Busy, format!("'{volume}' is in use ({others} times open)"))
            .hint("stop what uses it, then try again"));
    }
    Ok(())
}

fn number(file: &File) -> io::Result<DevNo> {
    let rdev = file.metadata()?.rdev();
    let part = |part: u64| u32::try_from(part).map_err(io::Error::other);
    Ok(DevNo { major: part(nix::sys::stat::major(rdev))?, minor: part(nix::sys::stat::minor(rdev))? })
}

fn work_through(file: &File, how: Wipe, volume: &Volume) -> io::Result<()> {
    let size = blkdev::size_bytes(file.as_fd())?;
    let terminal = io::stderr().is_terminal();
    let mut at = 0;
    while at < size {
        let length = how.step_bytes().min(size - at);
        match how {
            Wipe::Discard => blkdev::discard(file.as_fd(), at, length)?,
            Wipe::Zero => blkdev::zero(file.as_fd(), at, length)?,
        }
        at += length;
        if terminal {
            let (verb, done) = (how.participle(), rounded(at));
            // Nobody is left to watch if standard error is closed.
            let _ = write!(io::stderr(), "\r{verb} '{volume}': {done} of {}  ", rounded(size));
        }
    }
    // Zeros that a power failure takes back would show what was there before.
    file.sync_all()?;
    if terminal && size > 0 {
        let _ = writeln!(io::stderr());
    }
    Ok(())
}

fn rounded(bytes: u64) -> Rounded {
    Rounded(Bytes::new(bytes))
}
