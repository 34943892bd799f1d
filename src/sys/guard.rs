//! A small process that resumes suspended devices if the process that suspends them dies or hangs.
//!
//! A device left suspended hangs everything above it until someone resumes it by hand, and SIGKILL or the
//! out-of-memory killer leave no chance to. So before the first suspend the process forks a child that does
//! nothing but wait on a socket: one byte means that all is well; the end of the stream without it means that
//! the parent is gone. Another byte starts a clock, for the time in which the parent can hang in the kernel
//! with some devices suspended and some not yet: when it runs out, the child resumes them as well.
//!
//! The cost is one `fork` and one exit, no `exec`: 0.1 ms each for a small process, 1 ms with 32 MiB in
//! memory, because `fork` copies the page tables. What it cannot cover: a kill of the whole control group,
//! and a power cut, after which nothing is suspended anyway.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow};

use super::dm::PreparedResume;

/// How long to wait for the child to end; it has at most a few ioctls left to do.
const END_LIMIT_MS: u16 = 10_000;

/// All is well: the child ends.
const DONE: u8 = b'.';
/// Count the time until the next byte.
const CLOCK: u8 = b'c';
/// No longer; the child answers with the same byte.
const HOLD: u8 = b'h';

/// A device that must not stay suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endangered<'a> {
    /// Its device-mapper name.
    pub name: &'a str,
    /// What the resume's `event_nr` carries: udev's flags, and no cookie, for nobody is left to wait.
    pub event_nr: u32,
}

/// The child that waits. Dropping it without [`ResumeGuard::disarm`] resumes the devices that are suspended.
#[derive(Debug)]
pub struct ResumeGuard {
    /// Taken when the child is told to end.
    line: Option<UnixStream>,
    child: libc::pid_t,
}

impl ResumeGuard {
    /// Forks the child. `devices` are resumed in the order given, those that are not suspended left alone. It should
    /// be the order in which they are suspended: a resume waits for a suspend of the same device that hangs.
    /// `limit` is the time that [`ResumeGuard::start_clock`] starts, at most 24 days. `lock` stays open in the child: a
    /// lock on that file outlives this process until the devices are resumed.
    ///
    /// # Errors
    /// If a name is too long, `control` cannot be opened or the system refuses a socket or a process.
    pub fn arm(
        control: &str,
        devices: &[Endangered<'_>],
        limit: Duration,
        lock: Option<BorrowedFd<'_>>,
    ) -> io::Result<Self> {
        let limit_ms = libc::c_int::try_from(limit.as_millis()).unwrap_or(libc::c_int::MAX);
        let prepare = |device: &Endangered<'_>| PreparedResume::new(device.name, device.event_nr);
        let resumes = devices.iter().map(prepare).collect::<Result<Vec<_>, _>>()?;
        let (line, childs_line) = UnixStream::pair()?;
        // Away from the places that the child copies them to.
        let childs_line = above_stdio(childs_line.as_fd())?;
        let control = above_stdio(File::open(control)?.as_fd())?;
        let lock = lock.map(above_stdio).transpose()?;
        // The child must outlive whatever signal ends this process. Blocked here, so that there is no moment
        // in which it is not, and nothing of this process's handlers can run in it.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        // SAFETY: the child calls only functions that signal-safety(7) lists, or bare system calls, on memory
        // that is allocated already; it never returns from `watch`. See there.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let lock = lock.as_ref().map(AsRawFd::as_raw_fd);
            watch([childs_line.as_raw_fd(), control.as_raw_fd()], lock, &resumes, limit_ms);
        }
        let forked = Errno::result(child);
        before.thread_set_mask()?;
        let guard = Self { line: Some(line), child: forked? };
        guard.wait_until_ready()?;
        Ok(guard)
    }

    /// The child says when it has its memory in place.
    fn wait_until_ready(&self) -> io::Result<()> {
        let Some(mut line) = self.line.as_ref() else { return Ok(()) };
        line.set_read_timeout(Some(Duration::from_millis(u64::from(END_LIMIT_MS))))?;
        line.read_exact(&mut [0])
    }

    /// Makes the child count the time.
    pub fn start_clock(&mut self) {
        if let Some(line) = &mut self.line
            && let Err(error) = line.write_all(&[CLOCK])
        {
            // Its end is noticed by `hold`.
            tracing::debug!(%error, "the guard process is gone");
        }
    }

    /// Makes the child leave the devices as they are. `false` if it does not answer: its time was over and it has
    /// resumed them, or it was killed.
    #[must_use]
    pub fn hold(&mut self) -> bool {
        let Some(line) = &mut self.line else { return false };
        let mut answer = [0];
        line.write_all(&[HOLD]).and_then(|()| line.read_exact(&mut answer)).is_ok() && answer == [HOLD]
    }

    /// Tells the child that nothing is suspended any more, and reaps it.
    ///
    /// # Errors
    /// If the child is gone already: it was killed.
    pub fn disarm(mut self) -> io::Result<()> {
        match self.line.take() {
            Some(mut line) => {
                let told = line.write_all(&[DONE]);
                end(line, self.child);
                told
            }
            None => Ok(()),
        }
    }
}

impl Drop for ResumeGuard {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            // The end of the stream makes the child resume.
            end(line, self.child);
        }
    }
}

/// Ends the stream, waits until the child has closed its side, and reaps it: no zombie stays.
fn end(line: UnixStream, child: libc::pid_t) {
    let _ = line.shutdown(std::net::Shutdown::Write);
    let mut ends = [PollFd::new(line.as_fd(), PollFlags::POLLIN)];
    let ended = loop {
        match poll(&mut ends, PollTimeout::from(END_LIMIT_MS)) {
            Err(Errno::EINTR) => {}
            Ok(count) => break count > 0,
            Err(_) => break false,
        }
    };
    // A child that does not end in time hangs in the kernel; waiting for it would hang this process too.
    let flags = if ended { 0 } else { libc::WNOHANG };
    // SAFETY: waitpid accepts a null status pointer.
    while unsafe { libc::waitpid(child, std::ptr::null_mut(), flags) } == -1 && Errno::last() == Errno::EINTR
    {
    }
}

/// A copy of a descriptor above the three standard ones.
fn above_stdio(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let copy = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: fcntl has just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// The child's life.
///
/// Between `fork` and `_exit` of a process that may have threads only async-signal-safe work is allowed: no
/// allocation, no lock, no panic, no drop. Everything here is a bare system call on memory that the parent
/// prepared.
fn watch(
    [line, control]: [RawFd; 2],
    lock: Option<RawFd>,
    resumes: &[PreparedResume],
    limit_ms: libc::c_int,
) -> ! {
    // SAFETY: none of these takes a pointer to memory that the child does not own, except single bytes, one pollfd
    // and the static string. The descriptors are copied to 0, 1 and 2 and all others closed, so that the child keeps
    // no other lock, pipe or mount of the parent alive; 1 is the control node from then on and stays open until
    // `_exit`, and so does 2, the lock if there is one.
    unsafe {
        libc::setsid();
        libc::prctl(libc::PR_SET_NAME, c"thinvol-guard".as_ptr());
        if libc::dup2(line, 0) == -1 || libc::dup2(control, 1) == -1 {
            libc::_exit(1);
        }
        let kept = match lock {
            Some(lock) if libc::dup2(lock, 2) == -1 => libc::_exit(1),
            Some(_) => 3,
            None => 2,
        };
        close_from(kept);
        // A parent's working directory must not keep a file system busy.
        libc::chdir(c"/".as_ptr());
        // What it needs must not have to be read back from what it is to resume.
        libc::mlockall(libc::MCL_CURRENT);
        libc::write(0, c"r".as_ptr().cast(), 1);
        let mut byte = 0u8;
        let mut wait_ms = -1;
        // One that was being suspended when the time was over is found suspended only later.
        let mut is_over = false;
        loop {
            let mut event = libc::pollfd { fd: 0, events: libc::POLLIN, revents: 0 };
            if libc::poll(&raw mut event, 1, wait_ms) == 0 {
                for resume in resumes {
                    let _ = resume.run(BorrowedFd::borrow_raw(1));
                }
                (is_over, wait_ms) = (true, -1);
                continue;
            }
            match libc::read(0, (&raw mut byte).cast(), 1) {
                1 if byte == CLOCK => wait_ms = limit_ms,
                // No answer, but the end of the stream.
                1 if byte == HOLD && is_over => break,
                1 if byte == HOLD => {
                    wait_ms = -1;
                    libc::write(0, (&raw const byte).cast(), 1);
                }
                1 => libc::_exit(0),
                -1 if *libc::__errno_location() == libc::EINTR => {}
                // End of stream, or an error: resuming what is not suspended does no harm.
                _ => break,
            }
        }
        for resume in resumes {
            let _ = resume.run(BorrowedFd::borrow_raw(1));
        }
        libc::_exit(0)
    }
}

/// Closes all descriptors from `first` on.
///
/// # Safety
/// Nothing in the process may use them afterwards.
unsafe fn close_from(first: libc::c_int) {
    // SAFETY: the system call takes three integers. Descriptors are given up by the caller's promise.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, libc::c_int::MAX, 0) == 0 {
            return;
        }
        // Linux before 5.9.
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        let known = libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0;
        let end = if known { libc::c_int::try_from(limit.rlim_cur).unwrap_or(65_536) } else { 65_536 };
        for fd in first..end {
            libc::close(fd);
        }
    }
}

#[cfg(test)]
mod tests;
