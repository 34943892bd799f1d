//! What a volume holds, given back to the disks before the volume goes.
//!
//! Removing a thin volume gives its chunks back to the pool; the disks below hear nothing of it. A discard of the whole
//! volume tells them, if the pool passes discards down. It is not a part of the transaction that removes the volume: it
//! can take long, no lock is held meanwhile, and it cannot be taken back. So the removal is planned first.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;

use crate::cli::errors::{CliError, Code};
use crate::ids::DevNo;
use crate::sys::blkdev;
use crate::units::Bytes;
use crate::units::size::Rounded;

/// How much is discarded at once: what a disk works through in a moment, so that a signal is heeded between.
const STEP_BYTES: u64 = 1 << 30;

/// Discards all of the device at a path. `shown` is how to call it. `is_it` looks, once the device is held open,
/// whether it is the right one and nobody else has it open: a name can come to mean something else at any time, the
/// device that is open cannot.
///
/// # Errors
/// Those of `is_it`; if the device is in use, or the pool or the disks below do not take discards. Some of it may be
/// discarded by then.
pub fn discard(
    device: &Path,
    shown: &str,
    is_it: impl FnOnce(DevNo) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let failed = |error: io::Error| {
        let errno = error.raw_os_error().map(Errno::from_raw);
        let code = if errno == Some(Errno::EBUSY) { Code::Busy } else { Code::Refused };
        let error = CliError::new(code, format!("'{shown}' could not be discarded; it was not removed"))
            .caused_by(Some(&error));
        match errno {
            Some(Errno::EOPNOTSUPP) => error.hint(
                "its pool ignores discards: 'lvchange --discards passdown <vg>/<pool>', while inactive",
            ),
            _ => error,
        }
    };
    // Of a block device, O_EXCL without O_CREAT means: if nobody else uses it so, such as a mount.
    let exclusive = nix::fcntl::OFlag::O_EXCL.bits();
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(exclusive).open(device).map_err(failed)?;
    is_it(number(&file).map_err(failed)?)?;
    discard_all(&file, shown).map_err(failed)
}

fn number(file: &File) -> io::Result<DevNo> {
    let rdev = file.metadata()?.rdev();
    let part = |part: u64| u32::try_from(part).map_err(io::Error::other);
    Ok(DevNo { major: part(nix::sys::stat::major(rdev))?, minor: part(nix::sys::stat::minor(rdev))? })
}

fn discard_all(file: &File, shown: &str) -> io::Result<()> {
    let size = blkdev::size_bytes(file.as_fd())?;
    let terminal = io::stderr().is_terminal();
    let mut at = 0;
    while at < size {
        let length = STEP_BYTES.min(size - at);
        blkdev::discard(file.as_fd(), at, length)?;
        at += length;
        if terminal {
            // Nobody is left to watch if standard error is closed.
            let _ = write!(io::stderr(), "\rdiscarding '{shown}': {} of {}  ", rounded(at), rounded(size));
        }
    }
    if terminal && size > 0 {
        let _ = writeln!(io::stderr());
    }
    Ok(())
}

fn rounded(bytes: u64) -> Rounded {
    Rounded(Bytes::new(bytes))
}
