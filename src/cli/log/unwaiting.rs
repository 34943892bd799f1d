//! A log that nobody waits for. What reads a service's log may stand still (a journal on a disk that does not answer,
//! the disk that the service is to bring back, for one); then lines are lost, and counted, and the work goes on.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::unistd::write;

/// As much as a pipe takes in one piece, or not at all. Source: pipe(7), `PIPE_BUF`.
const PIECE: usize = 4096;

/// Where lines go without anybody waiting.
#[derive(Debug, Default)]
pub struct Unwaiting {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The end of a line whose beginning was taken.
    rest: Vec<u8>,
    lost: u64,
}

impl Unwaiting {
    /// Writes a line to standard error, or counts it as lost.
    pub fn line(&self, line: &[u8]) {
        self.line_to(io::stderr().as_fd(), line);
    }

    fn line_to(&self, to: BorrowedFd<'_>, line: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.push(to) {
            state.lost += 1;
            return;
        }
        if state.lost > 0 {
            let lost = std::mem::take(&mut state.lost);
            state.rest = format!(" WARN {lost} lines are missing here: nobody read the log\n").into_bytes();
        }
        state.rest.extend_from_slice(line);
        state.push(to);
    }
}

impl State {
    /// Writes what is left as far as it is taken; says whether all was.
    fn push(&mut self, to: BorrowedFd<'_>) -> bool {
        while !self.rest.is_empty() {
            match taken(to, &self.rest) {
                0 => return false,
                count => drop(self.rest.drain(..count)),
            }
        }
        true
    }
}

/// How much of it is taken at once. What can be told to nobody any more counts as taken.
fn taken(to: BorrowedFd<'_>, bytes: &[u8]) -> usize {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    match send(to.as_raw_fd(), bytes, flags) {
        Ok(count) => count,
        Err(Errno::EAGAIN | Errno::EINTR) => 0,
        Err(Errno::ENOTSOCK) => taken_by_a_file(to, bytes),
        Err(_) => bytes.len(),
    }
}

fn taken_by_a_file(to: BorrowedFd<'_>, bytes: &[u8]) -> usize {
    let mut ready = [PollFd::new(to, PollFlags::POLLOUT)];
    if !poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count == 1) {
        return 0;
    }
    match write(to, &bytes[..bytes.len().min(PIECE)]) {
        Ok(count) => count,
        Err(Errno::EAGAIN | Errno::EINTR) => 0,
        Err(_) => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// More than any buffer takes.
    const MANY: usize = 20_000;

    /// Fills it while nobody reads, reads `some`, writes again, and returns what was read.
    fn told(to: BorrowedFd<'_>, mut from: impl Read) -> String {
        let log = Unwaiting::default();
        let line = |number: usize| format!("{number:06} {}\n", "x".repeat(120));
        (0..MANY).for_each(|number| log.line_to(to, line(number).as_bytes()));
        // What was full takes lines again.
        let mut read = vec![0; 32 << 10];
        from.read_exact(&mut read).expect("it is full");
        log.line_to(to, b"the last one\n");
        let mut text = String::from_utf8(read).expect("it is text");
        while !text.ends_with("the last one\n") {
            let mut more = vec![0; 64 << 10];
            let count = from.read(&mut more).expect("there is more");
            text.push_str(std::str::from_utf8(&more[..count]).expect("it is text"));
        }
        text
    }

    fn whole_lines_and_a_count(text: &str) {
        let (before, after) = text.split_once(" WARN ").unwrap();
        let lost: usize = after.split(' ').next().unwrap().parse().unwrap();
        assert!(after.ends_with("lines are missing here: nobody read the log\nthe last one\n"), "{after}");
        assert_eq!(before.lines().count() + lost, MANY);
        assert!(
            before
                .lines()
                .enumerate()
                .all(|(number, line)| { line.starts_with(&format!("{number:06} x")) && line.len() == 127 })
        );
    }

    #[test]
    fn a_socket_that_nobody_reads_is_not_waited_for() {
        let (to, from) = UnixStream::pair().unwrap();
        whole_lines_and_a_count(&told(to.as_fd(), from));
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_not_waited_for() {
        let (from, to) = io::pipe().unwrap();
        whole_lines_and_a_count(&told(to.as_fd(), from));
    }

    #[test]
    fn what_nobody_can_hear_is_no_error() {
        let (to, from) = UnixStream::pair().unwrap();
        drop(from);
        let log = Unwaiting::default();
        (0..3).for_each(|_| log.line_to(to.as_fd(), b"hello\n"));
        assert_eq!(log.state.lock().unwrap().lost, 0);
    }
}
