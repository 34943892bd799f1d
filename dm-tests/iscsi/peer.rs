//! A TCP server on loopback that speaks for a target, and misbehaves as told.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use iscsi::protocol::pdu::Pdu;
use iscsi::protocol::portal::Portal;

use crate::target::{ScriptedTarget, Session};

/// What is done with a PDU of the target.
pub enum Act {
    /// It is sent, or something else in its place.
    Send(Vec<u8>),
    /// It is sent byte by byte.
    Drip(Vec<u8>),
    /// This is sent and the connection closed.
    SendAndClose(Vec<u8>),
    /// Nothing is sent any more, and the connection stays open.
    Stall,
}

/// Decides about each PDU of a connection, counted from 0.
type Mischief = dyn Fn(usize, Vec<u8>) -> Act + Send + Sync;

/// How often a server looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);

/// A server. It ends when it is dropped.
pub struct Peer {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Peer {
    /// A target that behaves.
    pub fn sound(target: ScriptedTarget) -> Self {
        Self::start(target, |_, bytes| Act::Send(bytes))
    }

    /// A target whose PDUs pass through `mischief`.
    pub fn start(
        target: ScriptedTarget,
        mischief: impl Fn(usize, Vec<u8>) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self::at("127.0.0.1:0", target, mischief).expect("loopback is there")
    }

    /// The same at an address.
    pub fn at(
        address: &str,
        target: ScriptedTarget,
        mischief: impl Fn(usize, Vec<u8>) -> Act + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        let address = socket.local_addr()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let mischief: Arc<Mischief> = Arc::new(mischief);
        let over = Arc::clone(&is_over);
        let target = Arc::new(target);
        let listener = std::thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in socket.incoming() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let (target, mischief, over) =
                    (Arc::clone(&target), Arc::clone(&mischief), Arc::clone(&over));
                connections.push(std::thread::spawn(move || serve(stream, &target, &*mischief, &over)));
            }
            for connection in connections {
                connection.join().expect("a connection does not panic");
            }
        });
        Ok(Self { address, is_over, listener: Some(listener) })
    }

    /// Where it listens.
    pub fn portal(&self) -> Portal {
        self.address.to_string().parse().expect("an address is a portal")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the listener; it may be gone already.
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let ended = listener.join();
            if !std::thread::panicking() {
                ended.expect("the server does not panic");
            }
        }
    }
}

fn serve(mut stream: TcpStream, target: &ScriptedTarget, mischief: &Mischief, is_over: &AtomicBool) {
    stream.set_nodelay(true).expect("a socket has this option");
    stream.set_read_timeout(Some(LOOK)).expect("a socket has this option");
    let mut session = Session::new(target);
    let mut sent = 0;
    while let Some(request) = read(&mut stream, is_over) {
        for pdu in session.answer(&request) {
            let act = mischief(sent, pdu.to_bytes());
            sent += 1;
            let (bytes, is_last) = match act {
                Act::Send(bytes) => (bytes, false),
                Act::SendAndClose(bytes) => (bytes, true),
                Act::Drip(bytes) => {
                    for byte in bytes {
                        if stream.write_all(&[byte]).is_err() {
                            return;
                        }
                    }
                    continue;
                }
                Act::Stall => {
                    while !is_over.load(Ordering::Relaxed) {
                        std::thread::sleep(LOOK);
                    }
                    return;
                }
            };
            if stream.write_all(&bytes).is_err() || is_last {
                return;
            }
        }
    }
}

/// A request; `None` at the end of the connection or of the server.
fn read(stream: &mut TcpStream, is_over: &AtomicBool) -> Option<Pdu> {
    let mut header = [0; 48];
    fill(stream, &mut header, is_over)?;
    let length = usize::from(header[6]) << 8 | usize::from(header[7]);
    let mut data = vec![0; length.next_multiple_of(4)];
    fill(stream, &mut data, is_over)?;
    data.truncate(length);
    Some(Pdu { header, data })
}

fn fill(stream: &mut TcpStream, mut buffer: &mut [u8], is_over: &AtomicBool) -> Option<()> {
    while !buffer.is_empty() {
        match stream.read(buffer) {
            Ok(0) => return None,
            Ok(length) => buffer = &mut buffer[length..],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if is_over.load(Ordering::Relaxed) {
                    return None;
                }
            }
            Err(_) => return None,
        }
    }
    Some(())
}
