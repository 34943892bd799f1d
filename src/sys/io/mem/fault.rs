//! Errors on demand.

use std::io;

use nix::libc;

/// What a disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// [`read_at`](crate::io::block::BlockDev::read_at).
    Read,
    /// [`write_at`](crate::io::block::BlockDev::write_at).
    Write,
    /// [`flush`](crate::io::block::BlockDev::flush).
    Flush,
}

/// The outcome of a write that is reported as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing was written.
    Nothing,
    /// Its first blocks were, so many.
    Blocks(usize),
    /// All of it was.
    Everything,
}

/// An error to come.
///
/// A failed flush makes nothing durable, and what was written before it stays in doubt: not even a later
/// flush that succeeds settles it. Real devices and kernels forget failed writes in that way.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What fails.
    pub operation: Operation,
    /// How many of that kind are still done before.
    pub after: usize,
    /// Whether all that follow of that kind fail too.
    pub lasting: bool,
    /// What becomes of a failed write.
    pub effect: Effect,
}

impl Fault {
    /// The next operation of that kind but `after` fails, once, and does nothing.
    pub fn once(operation: Operation, after: usize) -> Self {
        Self { operation, after, lasting: false, effect: Effect::Nothing }
    }

    /// All operations of that kind but the next `after` fail, and do nothing.
    pub fn lasting(operation: Operation, after: usize) -> Self {
        Self { lasting: true, ..Self::once(operation, after) }
    }

    /// The error that a disk with this fault reports: `EIO`.
    pub fn error() -> io::Error {
        io::Error::from_raw_os_error(libc::EIO)
    }
}

/// The faults of one disk.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts one operation down; what becomes of it if it is to fail.
    pub(super) fn strike(&mut self, operation: Operation) -> Option<Effect> {
        let mut effect = None;
        self.0.retain_mut(|fault| {
            if fault.operation != operation {
                return true;
            }
            if fault.after > 0 {
                fault.after -= 1;
                return true;
            }
            effect = Some(fault.effect);
            fault.lasting
        });
        effect
    }
}
