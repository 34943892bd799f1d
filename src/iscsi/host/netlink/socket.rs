//! The conversation with the kernel over netlink sockets.
//!
//! Requests are carried out inside `sendmsg`, so the answer is there when it returns. There are no sequence numbers:
//! a socket has one request under way at a time.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, sendto,
    setsockopt, socket, sockopt,
};

use super::control::{Control, ControlError, Heard};
use crate::protocol::interface::message::{Answer, Message, Request, decode};

/// Where the transport's handle is.
const TRANSPORT: &str = "/sys/class/iscsi_transport/tcp/handle";

/// The group that events are sent to. Source: Linux `include/scsi/iscsi_if.h` (`ISCSI_NL_GRP_ISCSID`).
const EVENTS_GROUP: u32 = 1;

/// Sessions that are made from this address belong to nobody that iscsid knows: it leaves them alone when it starts.
/// Source: open-iscsi `usr/iscsi_sysfs.c`, `usr/initiator.c` (sessions whose creator is -1 are not synchronised).
const CREATOR_NOBODY: u32 = u32::MAX;

/// The address of the kernel. Any process with the right to may send to ours.
const KERNEL: u32 = 0;

/// How long the address of the creator is waited for: each who has it makes one session.
const CREATOR_WAIT: Duration = Duration::from_secs(10);

/// How long an answer is waited for. The kernel answers before the request's system call returns.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// More than the largest message: an event with a header and 8192 bytes of data.
const BUFFER: usize = 64 << 10;

/// Room for events in the kernel.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Whether events are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Only answers.
    No,
    /// Answers and events.
    Events,
}

/// A socket to the kernel's iSCSI interface.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    /// The transport's handle: an address in the kernel, another one each time the module is loaded.
    transport: u64,
    /// Events that came while an answer was awaited.
    waiting: VecDeque<Heard>,
}

impl Netlink {
    /// Opens a conversation, loading the kernel's modules where they are missing.
    ///
    /// # Errors
    /// If the interface or the transport is absent.
    pub fn open(listen: Listen) -> Result<Self, ControlError> {
        let transport = transport_handle(Path::new(TRANSPORT))?;
        let groups = if listen == Listen::Events { EVENTS_GROUP } else { 0 };
        let socket = open_socket()?;
        // The kernel drops events that do not fit: then the state is read from sysfs, but better not.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER);
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))
            .map_err(|errno| ControlError::Absent { errno })?;
        Ok(Self { socket, transport, waiting: VecDeque::new() })
    }

    /// The descriptor that becomes readable when there is an event, for those who wait for several things. Events that
    /// came with answers are not announced: take events until there are none.
    pub fn readable(&self) -> impl AsFd + use<'_> {
        self.socket.as_fd()
    }

    /// Makes a request from an address of its own.
    fn request_as_nobody(&self, request: &Request) -> Result<Answer, ControlError> {
        let socket = open_socket()?;
        let deadline = Instant::now() + CREATOR_WAIT;
        while let Err(errno) = bind(socket.as_raw_fd(), &NetlinkAddr::new(CREATOR_NOBODY, 0)) {
            if errno != Errno::EADDRINUSE {
                return Err(ControlError::Absent { errno });
            }
            if Instant::now() >= deadline {
                return Err(ControlError::CreatorBusy { seconds: CREATOR_WAIT.as_secs() });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        send(&socket, request, self.transport)?;
        loop {
            match receive(&socket, Instant::now() + ANSWER_WAIT)? {
                Received::Message(Message::Answer(answer)) => return result(answer, request),
                Received::Nothing => return Err(no_answer()),
                Received::Message(Message::Event(_)) | Received::Lost => {}
            }
        }
    }
}

impl Control for Netlink {
    fn request(&mut self, request: &Request) -> Result<Answer, ControlError> {
        if matches!(request, Request::CreateSession { .. }) {
            return self.request_as_nobody(request);
        }
        send(&self.socket, request, self.transport)?;
        loop {
            match receive(&self.socket, Instant::now() + ANSWER_WAIT)? {
                Received::Message(Message::Answer(answer)) => return result(answer, request),
                Received::Message(Message::Event(event)) => self.waiting.push_back(Heard::Event(event)),
                Received::Lost => self.waiting.push_back(Heard::Lost),
                Received::Nothing => return Err(no_answer()),
            }
        }
    }

    fn next_event(&mut self, deadline: Instant) -> Result<Heard, ControlError> {
        if let Some(heard) = self.waiting.pop_front() {
            return Ok(heard);
        }
        loop {
            match receive(&self.socket, deadline)? {
                Received::Message(Message::Event(event)) => return Ok(Heard::Event(event)),
                Received::Lost => return Ok(Heard::Lost),
                Received::Nothing => return Ok(Heard::Nothing),
                // To a request whose answer was given up.
                Received::Message(Message::Answer(_)) => {}
            }
        }
    }
}

fn result(answer: Answer, request: &Request) -> Result<Answer, ControlError> {
    answer.result(request).map_err(|errno| ControlError::refused(request, errno))
}

fn no_answer() -> ControlError {
    ControlError::Broken { doing: "take an answer", why: format!("none in {} s", ANSWER_WAIT.as_secs()) }
}

fn open_socket() -> Result<OwnedFd, ControlError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkISCSI)
        .map_err(|errno| ControlError::Absent { errno })
}

fn send(socket: &OwnedFd, request: &Request, transport: u64) -> Result<(), ControlError> {
    let bytes = request.encode(transport);
    match sendto(socket.as_raw_fd(), &bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty()) {
        Ok(sent) if sent == bytes.len() => Ok(()),
        Ok(_) => Err(ControlError::Broken { doing: "send a request", why: "it was cut off".into() }),
        // Nobody listens on the kernel's side: it does so in the initial network namespace only.
        Err(Errno::ECONNREFUSED) => Err(ControlError::OtherNamespace),
        Err(errno) => Err(ControlError::Broken { doing: "send a request", why: errno.to_string() }),
    }
}

/// One datagram, if any.
enum Received {
    Message(Message),
    Lost,
    Nothing,
}

fn receive(socket: &OwnedFd, deadline: Instant) -> Result<Received, ControlError> {
    let broken = |errno: Errno| ControlError::Broken { doing: "receive", why: errno.to_string() };
    let mut buffer = vec![0; BUFFER];
    loop {
        // The socket does not block.
        match recvfrom::<NetlinkAddr>(socket.as_raw_fd(), &mut buffer) {
            Ok((_, sender)) if sender.is_none_or(|sender| sender.pid() != KERNEL) => {
                tracing::warn!(?sender, "a message that is not the kernel's is left out");
            }
            Ok((length, _)) => match decode(&buffer[..length]) {
                Ok(message) => return Ok(Received::Message(message)),
                Err(error) => tracing::warn!(%error, "a message is left out"),
            },
            Err(Errno::ENOBUFS) => return Ok(Received::Lost),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(Received::Nothing);
                }
                // Rounded up: a wait of 0 ms would spin.
                let limit =
                    PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
                match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], limit) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(errno) => return Err(broken(errno)),
                }
            }
            Err(errno) => return Err(broken(errno)),
        }
    }
}

/// The handle of the TCP transport; its module is loaded if need be.
fn transport_handle(path: &Path) -> Result<u64, ControlError> {
    let read = || std::fs::read_to_string(path).ok()?.trim().parse().ok();
    if let Some(handle) = read() {
        return Ok(handle);
    }
    let loaded =
        Command::new("modprobe").args(["--", "iscsi_tcp"]).stdin(Stdio::null()).output().map_err(
            |error| ControlError::NoTransport { why: format!("modprobe cannot be started: {error}") },
        )?;
    read().ok_or_else(|| {
        let said = String::from_utf8_lossy(&loaded.stderr).trim().to_owned();
        let why = if said.is_empty() { format!("{} is not there", path.display()) } else { said };
        ControlError::NoTransport { why }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket of the family that processes may talk over, so that it can be seen without the kernel's part.
    fn between_processes() -> (OwnedFd, NetlinkAddr) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket =
            socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkUserSock).unwrap();
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).unwrap();
        let address = nix::sys::socket::getsockname(socket.as_raw_fd()).unwrap();
        (socket, address)
    }

    #[test]
    fn what_another_process_sends_does_not_count() {
        let ((ours, address), (theirs, _)) = (between_processes(), between_processes());
        // The same bytes would be an event from the kernel.
        let mut bytes = [0; 72];
        (bytes[0], bytes[16]) = (72, 102);
        assert!(matches!(decode(&bytes), Ok(Message::Event(_))));
        sendto(theirs.as_raw_fd(), &bytes, &address, MsgFlags::empty()).unwrap();
        let received = receive(&ours, Instant::now() + Duration::from_millis(20)).unwrap();
        assert!(matches!(received, Received::Nothing));
    }
}
