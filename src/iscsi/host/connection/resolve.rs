//! The addresses of a portal.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use nix::net::if_::if_nametoindex;

use super::ConnectionError;
use crate::host::limit::Limit;
use crate::protocol::portal::{Host, Portal};

/// How often to check whether the work was cancelled.
const LOOK: Duration = Duration::from_millis(50);

/// The addresses of a portal, each once, in the order of the system's preference.
///
/// # Errors
/// If there is none, or none is found within the limit.
pub fn addresses(portal: &Portal, limit: &Limit) -> Result<Vec<SocketAddr>, ConnectionError> {
    let port = portal.port;
    let unresolved = |source| ConnectionError::Unresolved { portal: portal.clone(), source };
    match &portal.host {
        Host::V4(address) => Ok(vec![SocketAddr::new(IpAddr::V4(*address), port)]),
        Host::V6 { .. } if portal.lacks_interface() => {
            let why = "the address is link-local: the interface it is reached by is missing ('%<interface>')";
            Err(unresolved(io::Error::other(why)))
        }
        Host::V6 { address, scope } => {
            let scope = scope.as_deref().map_or(Ok(0), interface).map_err(unresolved)?;
            Ok(vec![SocketAddrV6::new(*address, port, 0, scope).into()])
        }
        Host::Name(name) => by_name(portal, name.clone(), limit),
    }
}

/// The index of an interface given by index or name.
fn interface(scope: &str) -> io::Result<u32> {
    if let Ok(index) = scope.parse() {
        return Ok(index);
    }
    if_nametoindex(scope).map_err(|errno| {
        io::Error::other(format!("there is no network interface '{scope}' ({})", errno.desc()))
    })
}

/// Asks the system's resolver, in a thread: it has no time limit of its own that could be set.
fn by_name(portal: &Portal, name: String, limit: &Limit) -> Result<Vec<SocketAddr>, ConnectionError> {
    let unresolved = |source| ConnectionError::Unresolved { portal: portal.clone(), source };
    let (sender, receiver) = sync_channel(1);
    let port = portal.port;
    let thread = std::thread::Builder::new().name("resolver".into()).spawn(move || {
        // The caller may have stopped waiting.
        let _ = sender.send(look_up(&name, port));
    });
    thread.map_err(unresolved)?;
    loop {
        match receiver.recv_timeout(LOOK.min(limit.left())) {
            Ok(found) => {
                let mut found = found.map_err(unresolved)?;
                found.dedup();
                return Ok(found);
            }
            Err(RecvTimeoutError::Timeout) => limit.check().map_err(|source| ConnectionError::GivenUp {
                portal: portal.clone(),
                doing: "its name was looked up",
                source,
            })?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(unresolved(io::Error::other("the resolver ended without an answer")));
            }
        }
    }
}

#[cfg(not(target_feature = "crt-static"))]
fn look_up(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    std::net::ToSocketAddrs::to_socket_addrs(&(name, port)).map(Iterator::collect)
}

/// The C library's resolver loads parts at run time, which a static binary cannot.
#[cfg(target_feature = "crt-static")]
fn look_up(_: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this static binary takes addresses only, not host names"))
}
