//! Discarding and zeroing, piece by piece.

use nix::errno::Errno;
use nix::sys::signal::Signal;
use thiserror::Error;

use super::{BUSY_PAUSE, BUSY_WAIT, Run, StepError};
use crate::plan::ZeroExtents;
use crate::ports::HeldDevice;
use crate::stack::DevRef;
use crate::wipe::{Emptied, Wipe, WipeMethod};
use base::ids::DevNo;
use base::units::Bytes;
use base::units::size::Rounded;

/// Why a volume is not wiped, or not all of it.
#[derive(Debug, Error)]
pub enum WipeError {
    /// Somebody else has it open.
    #[error("it is in use ({others} times open)")]
    InUse {
        /// How often.
        others: u32,
    },
    /// The device that was opened is not the volume's.
    #[error("its device has just become another volume's")]
    Another,
    /// It could not be opened, or the disks below fail.
    #[error("after {} of {}: {errno}", Rounded(*done), Rounded(*of))]
    Io {
        /// How much was done before.
        done: Bytes,
        /// Of how much.
        of: Bytes,
        /// What the kernel said.
        errno: Errno,
    },
    /// The user wants to stop.
    #[error("stopped by {signal} after {} of {}", Rounded(*done), Rounded(*of))]
    Stopped {
        /// The signal.
        signal: Signal,
        /// How much was done before.
        done: Bytes,
        /// Of how much.
        of: Bytes,
    },
}

/// What the kernel answers to a discard that it does not begin with. Source: Linux `block/ioctl.c`
/// (`blk_ioctl_discard`), `block/blk-lib.c`.
const NOT_BEGUN: [Errno; 4] = [Errno::EOPNOTSUPP, Errno::EBADF, Errno::EPERM, Errno::EINVAL];

impl Run<'_, '_> {
    /// Works through a volume. What is lost of it is noted as soon as the first piece is given to the kernel: of one
    /// that fails it is unknown how much was done.
    pub(super) fn wipe(&mut self, wipe: &Wipe) -> Result<(), StepError> {
        let dev = self.number(&DevRef::Device(wipe.device.clone()))?;
        let device = self.hold_alone(wipe, dev)?;
        let (mut done, of) = (Bytes::ZERO, wipe.size);
        for (start, length) in wipe.pieces() {
            if let Some(signal) = self.ports.host.stop_asked() {
                return Err(WipeError::Stopped { signal, done, of }.into());
            }
            let piece = match wipe.how {
                WipeMethod::Discard => device.discard(start, length),
                WipeMethod::Zero => device.zero(start, length),
            };
            if wipe.how == WipeMethod::Discard && !matches!(piece, Err(errno) if NOT_BEGUN.contains(&errno)) {
                let so_far = if piece.is_ok() { Bytes::new(start + length) } else { done };
                self.note_emptied(wipe, so_far);
            }
            piece.map_err(|errno| WipeError::Io { done, of, errno })?;
            done = Bytes::new(start + length);
            self.worked(1);
        }
        // Zeros that a power failure takes back would show what was there before.
        Ok(device.sync().map_err(|errno| WipeError::Io { done, of, errno })?)
    }

    /// Zeroes what is to become a pool's metadata, durably: it must not be named before.
    pub(super) fn zero_extents(&mut self, place: &ZeroExtents) -> Result<(), StepError> {
        let dev = self.number(&place.disk)?;
        let (start, of) = (place.start.to_bytes(), place.length.to_bytes());
        let (Some(start), Some(of)) = (start, of) else {
            return Err(StepError::Unknown(place.disk.to_string()));
        };
        let zeroed = self.ports.host.zero_disk(dev, start, of);
        Ok(zeroed.map_err(|errno| WipeError::Io { done: Bytes::ZERO, of, errno })?)
    }

    fn note_emptied(&mut self, wipe: &Wipe, done: Bytes) {
        match self.emptied.last_mut().filter(|last| last.volume == wipe.volume) {
            Some(last) => last.done = done,
            None => self.emptied.push(Emptied { volume: wipe.volume.clone(), done, of: wipe.size }),
        }
    }

    /// Opens the volume's device so that nobody else can mount it or remove it, and finds out that it is the volume's,
    /// and that nobody else has it open. udev rules open new devices for a moment, so "busy" is believed only after a
    /// while.
    fn hold_alone(&self, wipe: &Wipe, dev: DevNo) -> Result<Box<dyn HeldDevice>, StepError> {
        let host = self.ports.host;
        let deadline = host.now() + BUSY_WAIT;
        let device = loop {
            match host.hold_alone(dev) {
                Ok(device) => break device,
                Err(Errno::EBUSY) if host.now() < deadline => host.pause(BUSY_PAUSE),
                Err(Errno::EBUSY) => return Err(WipeError::InUse { others: 1 }.into()),
                Err(errno) => {
                    return Err(WipeError::Io { done: Bytes::ZERO, of: wipe.size, errno }.into());
                }
            }
        };
        loop {
            let seen = self.ports.kernel.info_by_uuid(&wipe.uuid)?.filter(|seen| seen.dev == dev);
            let others = seen.ok_or(WipeError::Another)?.open_count.saturating_sub(1);
            if others == 0 {
                return Ok(device);
            }
            if host.now() >= deadline {
                return Err(WipeError::InUse { others }.into());
            }
            host.pause(BUSY_PAUSE);
        }
    }
}
