//! Packets on the loopback device, with the kernel's time stamps.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeSpec, TimeVal, TimeValLike};

/// The port of the targets.
const PORT: u16 = 3260;

/// What is looked at of a packet: its headers and the first byte of its data.
const SNAP: usize = 128;

/// Source: IEEE 802.3, RFC 791, RFC 9293.
const ETHERNET_HEADER: usize = 14;
const TCP: u8 = 6;
const SYN_ACK: u8 = 0x12;

/// The operation code of a Login Request, immediate as they all are. Source: RFC 7143 section 11.12.
const LOGIN_REQUEST: u8 = 0x43;

/// A capture that goes on until it is asked for what it saw.
pub struct Capture {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<(Seen, Duration)>>>,
}

/// What of a packet matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// The target takes a connection.
    SynAck,
    /// The initiator logs in.
    Login,
}

impl Capture {
    /// Begins.
    pub fn start() -> Result<Self> {
        let socket =
            socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
                .context("cannot capture packets")?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(50))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || listen(&socket, &is_over)
        });
        Ok(Self { is_over, thread })
    }

    /// Ends; the time from the first connection that was taken to the first Login PDU.
    pub fn syn_ack_to_login(self) -> Result<Duration> {
        self.is_over.store(true, Ordering::Relaxed);
        let seen = self.thread.join().map_err(|_| anyhow!("the capture panicked"))??;
        let first = |what: Seen| seen.iter().find(|(seen, _)| *seen == what).map(|(_, at)| *at);
        let taken = first(Seen::SynAck).context("no connection was taken")?;
        let login = first(Seen::Login).context("nobody logged in")?;
        Ok(login.saturating_sub(taken))
    }
}

fn listen(socket: &OwnedFd, is_over: &AtomicBool) -> Result<Vec<(Seen, Duration)>> {
    let mut found = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let mut packet = [0; SNAP];
        let mut control = nix::cmsg_space!(TimeSpec);
        let mut parts = [IoSliceMut::new(&mut packet)];
        let message =
            match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty()) {
                Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => continue,
                message => message?,
            };
        let stamp = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
            _ => None,
        });
        let length = message.bytes;
        if let (Some(seen), Some(stamp)) = (packet.get(..length).and_then(read), stamp) {
            found.push((seen, stamp));
        }
    }
    Ok(found)
}

/// What an Ethernet frame means here.
fn read(frame: &[u8]) -> Option<Seen> {
    let ip = frame.get(ETHERNET_HEADER..)?;
    if *ip.get(9)? != TCP {
        return None;
    }
    let tcp = ip.get(usize::from(ip.first()? & 0x0f) * 4..)?;
    let port = |at: usize| Some(u16::from_be_bytes([*tcp.get(at)?, *tcp.get(at + 1)?]));
    let data = tcp.get(usize::from(tcp.get(12)? >> 4) * 4..)?;
    match (port(0)?, port(2)?) {
        (PORT, _) if tcp.get(13)? & SYN_ACK == SYN_ACK => Some(Seen::SynAck),
        (_, PORT) if data.first() == Some(&LOGIN_REQUEST) => Some(Seen::Login),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(ports: [u16; 2], flags: u8, data: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; ETHERNET_HEADER];
        let mut ip = [0; 20];
        (ip[0], ip[9]) = (0x45, TCP);
        let mut tcp = [0; 20];
        tcp[..2].copy_from_slice(&ports[0].to_be_bytes());
        tcp[2..4].copy_from_slice(&ports[1].to_be_bytes());
        (tcp[12], tcp[13]) = (5 << 4, flags);
        frame.extend(ip.iter().chain(&tcp).chain(data));
        frame
    }

    #[test]
    fn only_what_matters_is_seen() {
        assert_eq!(read(&frame([3260, 50000], 0x12, &[])), Some(Seen::SynAck));
        assert_eq!(read(&frame([50000, 3260], 0x18, &[0x43, 0x87])), Some(Seen::Login));
        assert_eq!(read(&frame([50000, 3260], 0x18, &[0x01])), None);
        assert_eq!(read(&frame([50000, 3260], 0x02, &[])), None);
        assert_eq!(read(&frame([50000, 80], 0x18, &[0x43])), None);
        assert_eq!(read(&[0; 20]), None);
    }
}
