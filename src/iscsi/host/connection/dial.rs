//! Making a TCP connection, within a limit that may end before it was thought to.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, getsockopt, setsockopt,
    socket, sockopt,
};

use super::LOOK;
use crate::host::limit::Limit;
use crate::protocol::net_interface::NetInterface;

/// Connects to an address, by an interface alone if one is given.
///
/// # Errors
/// What the system says, which is ENODEV where there is no such interface; that the time is over where the limit is, or
/// the work was called off.
pub fn dial(peer: SocketAddr, interface: Option<&NetInterface>, limit: &Limit) -> io::Result<TcpStream> {
    let family = if peer.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Stream, flags, SockProtocol::Tcp)?;
    if let Some(interface) = interface {
        setsockopt(&socket, sockopt::BindToDevice, &OsString::from(interface.as_str()))?;
    }
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(peer)) {
        Ok(()) => {}
        Err(Errno::EINPROGRESS | Errno::EINTR) => until_connected(&socket, limit)?,
        Err(errno) => return Err(errno.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn until_connected(socket: &OwnedFd, limit: &Limit) -> io::Result<()> {
    loop {
        if limit.check().is_err() {
            return Err(ErrorKind::TimedOut.into());
        }
        // Rounded up: a wait of 0 ms would spin.
        let step = LOOK.min(limit.left()) + Duration::from_millis(1);
        let step = PollTimeout::try_from(step).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)], step) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    match getsockopt(socket, sockopt::SocketError)? {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn who_listens_is_reached_and_who_does_not_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = listener.local_addr().unwrap();
        let plenty = Limit::new(Duration::from_secs(60));
        assert_eq!(dial(peer, None, &plenty).unwrap().peer_addr().unwrap(), peer);
        drop(listener);
        assert_eq!(dial(peer, None, &plenty).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_limit_that_ends_early_ends_the_wait() {
        // A listener whose queue is full does not answer.
        let listener =
            socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, SockProtocol::Tcp).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        nix::sys::socket::bind(listener.as_raw_fd(), &SockaddrStorage::from(any)).unwrap();
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
        let peer = nix::sys::socket::getsockname::<SockaddrStorage>(listener.as_raw_fd()).unwrap();
        let peer = SocketAddr::from(*peer.as_sockaddr_in().unwrap());
        let mut kept = Vec::new();
        let short = Limit::new(Duration::from_millis(300));
        while let Ok(stream) = dial(peer, None, &short) {
            kept.push(stream);
        }
        let limit = Limit::new(Duration::from_secs(3600));
        std::thread::scope(|scope| {
            let dialled = scope.spawn(|| dial(peer, None, &limit));
            limit.end_in(Duration::from_millis(20));
            assert_eq!(dialled.join().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
        });
    }
}
