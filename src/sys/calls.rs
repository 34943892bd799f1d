//! System calls of a piece of work, seen before the kernel carries them out: which there are, in which order, and what
//! becomes of the work when one fails. For tests: what no effect shows, such as a flush, shows in the call alone.
//!
//! A seccomp filter of a thread of its own hands them to a listener; it needs no privilege, and ends with the thread.
//! Threads and processes that the work starts are seen, too. Source: Linux
//! `Documentation/userspace-api/seccomp_filter.rst`, `include/uapi/linux/seccomp.h`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Where the number of the call is in what a filter looks at.
const NUMBER_AT: u32 = 0;

/// How often the listener looks whether the work has ended.
const LOOK_MS: u16 = 10;

/// One system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number, `libc::SYS_*`.
    pub number: libc::c_long,
    /// Its arguments.
    pub args: [u64; 6],
}

/// What becomes of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// The kernel carries it out.
    Done,
    /// The kernel does nothing and reports success.
    Skipped,
    /// The kernel does nothing and reports this.
    Failed(Errno),
}

/// Does `work` in a thread of its own; what becomes of each of its system calls with one of these numbers, `judge`
/// says.
///
/// # Panics
/// If the system takes no such filter, or the work panics.
pub fn judged<T: Send>(
    numbers: &[libc::c_long],
    judge: impl Fn(&Seen) -> Becomes + Sync,
    work: impl FnOnce() -> T + Send,
) -> T {
    let (sender, receiver) = channel();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            // Its end is noticed even if the work panics.
            let _over = Over(&over);
            let listener = filter(numbers).expect("the system takes a seccomp filter with a listener");
            sender.send(listener).expect("the listener waits for it");
            work()
        });
        if let Ok(listener) = receiver.recv() {
            while !over.load(Ordering::SeqCst) {
                answer(&listener, &judge).expect("the listener answers");
            }
        }
        worker.join().expect("the work does not panic")
    })
}

/// Does `work` and returns the system calls with one of these numbers, too, all of which the kernel carries out.
///
/// # Panics
/// As [`judged`].
pub fn seen<T: Send>(numbers: &[libc::c_long], work: impl FnOnce() -> T + Send) -> (T, Vec<Seen>) {
    let calls = std::sync::Mutex::new(Vec::new());
    let note = |call: &Seen| {
        calls.lock().expect("nobody panics with it").push(*call);
        Becomes::Done
    };
    let done = judged(numbers, note, work);
    (done, calls.into_inner().expect("nobody panicked with it"))
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Puts this thread, and what it starts, under a filter; returns the listener.
fn filter(numbers: &[libc::c_long]) -> io::Result<OwnedFd> {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap_or(u16::MAX),
        jt: 0,
        jf: 0,
        k,
    };
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NUMBER_AT)];
    for number in numbers {
        let number = u32::try_from(*number).map_err(io::Error::other)?;
        // One that is another skips the answer.
        let other =
            libc::sock_filter { jf: 1, ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number) };
        program.extend([other, statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF)]);
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: the first call takes numbers only. The second reads the program, which outlives it, and makes a
    // descriptor that nobody else knows.
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        let listener = libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            (&raw const program).cast::<libc::c_void>(),
        );
        let listener = Errno::result(listener)?;
        let listener = libc::c_int::try_from(listener).map_err(io::Error::other)?;
        Ok(OwnedFd::from_raw_fd(listener))
    }
}

/// Answers one call, if one comes soon.
fn answer(listener: &OwnedFd, judge: &dyn Fn(&Seen) -> Becomes) -> io::Result<()> {
    let mut waits = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    let ready = poll(&mut waits, PollTimeout::from(LOOK_MS));
    let ready = ready? > 0 && waits[0].revents().is_some_and(|found| found.contains(PollFlags::POLLIN));
    if !ready {
        return Ok(());
    }
    let gone = |errno| matches!(errno, Errno::ENOENT | Errno::EINTR);
    // SAFETY: the kernel wants the structure zeroed and writes one to a valid, exclusive pointer.
    let (received, call) = unsafe {
        let mut call: libc::seccomp_notif = std::mem::zeroed();
        let received = libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call);
        (Errno::result(received), call)
    };
    match received {
        // Whoever made it was killed meanwhile.
        Err(errno) if gone(errno) => return Ok(()),
        received => received?,
    };
    let becomes = judge(&Seen { number: libc::c_long::from(call.data.nr), args: call.data.args });
    let (error, flags) = match becomes {
        Becomes::Done => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE),
        Becomes::Skipped => (0, 0),
        Becomes::Failed(errno) => (-(errno as i32), 0),
    };
    let flags = u32::try_from(flags).map_err(io::Error::other)?;
    let mut answer = libc::seccomp_notif_resp { id: call.id, val: 0, error, flags };
    // SAFETY: the kernel reads one structure from a valid pointer.
    let sent = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) };
    match Errno::result(sent) {
        Err(errno) if gone(errno) => Ok(()),
        sent => Ok(sent.map(drop)?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::Command;

    use super::*;

    #[test]
    fn calls_are_seen_in_order_and_carried_out_unless_told_otherwise() {
        let file = tempfile::tempfile().unwrap();
        let both = [libc::SYS_fsync, libc::SYS_fdatasync];
        let (done, calls) = seen(&both, || (file.sync_data(), file.sync_all()));
        assert!(done.0.is_ok() && done.1.is_ok());
        let numbers: Vec<libc::c_long> = calls.iter().map(|call| call.number).collect();
        assert_eq!(numbers, [libc::SYS_fdatasync, libc::SYS_fsync]);
        assert_eq!(calls[0].args[0], u64::try_from(file.as_raw_fd()).unwrap());
        let full = |_: &Seen| Becomes::Failed(Errno::ENOSPC);
        let error = judged(&both, full, || file.sync_all()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        judged(&[libc::SYS_ftruncate], |_| Becomes::Skipped, || file.set_len(7)).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
    }

    #[test]
    fn threads_and_processes_of_the_work_are_seen() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let ((), calls) = seen(&[libc::SYS_fsync], || {
            let file = File::open(file.path()).unwrap();
            std::thread::spawn(move || file.sync_all().unwrap()).join().unwrap();
        });
        assert_eq!(calls.len(), 1);
        let refused = |_: &Seen| Becomes::Failed(Errno::EACCES);
        let started = judged(&[libc::SYS_execve], refused, || Command::new("true").status());
        assert_eq!(started.unwrap_err().raw_os_error(), Some(libc::EACCES));
    }
}
