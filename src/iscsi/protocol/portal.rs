//! Where a target listens: an address or host name and a TCP port.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::protocol::name::NameError;
use crate::protocol::net_interface::{NetInterface, is_sound};

/// The port of iSCSI targets. Source: RFC 7143 section 15 (IANA considerations).
pub const DEFAULT_PORT: u16 = 3260;

/// The longest host name, without the final dot. Source: RFC 1035 section 2.3.4.
const HOST_NAME_MAX: usize = 253;

/// The host part of a portal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; a link-local one needs the interface it is reached by, a name or an index.
    V6 {
        /// The address.
        address: Ipv6Addr,
        /// The interface after `%`.
        scope: Option<String>,
    },
    /// A name to be resolved.
    Name(String),
}

/// A network portal of a target. Written `host:port`, IPv6 addresses in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Portal {
    /// The host.
    pub host: Host,
    /// The TCP port, never 0.
    pub port: u16,
}

impl Portal {
    /// Reads `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address; without a port it is 3260.
    ///
    /// # Errors
    /// Says which part is wrong.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let bad = |why: &str| NameError::new("portal", text, why);
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, after) = rest.split_once(']').ok_or_else(|| bad("the bracket is not closed"))?;
            let port = match after {
                "" => None,
                after => Some(
                    after
                        .strip_prefix(':')
                        .ok_or_else(|| bad("the bracket is followed by ':' and a port"))?,
                ),
            };
            (v6(address).ok_or_else(|| bad("there is no IPv6 address in the brackets"))?, port)
        } else if text.matches(':').count() > 1 {
            let address = v6(text).ok_or_else(|| bad("it is no IPv6 address"))?;
            (address, None)
        } else {
            let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
            (v4_or_name(host).map_err(bad)?, port)
        };
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => {
                decimal_port(port).ok_or_else(|| bad("the port is not a number from 1 to 65535"))?
            }
        };
        Ok(Self { host, port })
    }
}

impl Portal {
    /// Whether the interface is missing by which a link-local address is reached.
    pub fn lacks_interface(&self) -> bool {
        matches!(&self.host, Host::V6 { address, scope: None } if address.is_unicast_link_local())
    }

    /// The portal as it is reached by an interface: a link-local address gets it as its scope. `None` if the portal
    /// names another interface.
    pub fn by(&self, interface: &NetInterface) -> Option<Self> {
        match &self.host {
            Host::V6 { scope: Some(scope), .. } if scope != interface.as_str() => None,
            Host::V6 { address, .. } if self.lacks_interface() => {
                let scope = Some(interface.to_string());
                Some(Self { host: Host::V6 { address: *address, scope }, port: self.port })
            }
            _ => Some(self.clone()),
        }
    }
}

fn decimal_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

fn v6(text: &str) -> Option<Host> {
    let (address, scope) = match text.split_once('%') {
        None => (text, None),
        Some((address, scope)) => (address, Some(scope)),
    };
    if scope.is_some_and(|scope| !is_sound(scope)) {
        return None;
    }
    Some(Host::V6 { address: address.parse().ok()?, scope: scope.map(str::to_owned) })
}

fn v4_or_name(text: &str) -> Result<Host, &'static str> {
    if let Ok(address) = text.parse() {
        return Ok(Host::V4(address));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() {
        return Err("there is no host");
    }
    if name.len() > HOST_NAME_MAX {
        return Err("the host name is longer than 253 characters");
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !name.split('.').all(label) {
        return Err("a host name is made of letters, digits and hyphens, its parts joined by dots");
    }
    let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    if name.rsplit('.').next().is_some_and(numeric) {
        return Err("an IPv4 address has four numbers from 0 to 255, without leading zeros");
    }
    Ok(Host::Name(name.to_ascii_lowercase()))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => write!(f, "{address}"),
            Self::V6 { address, scope: None } => write!(f, "[{address}]"),
            Self::V6 { address, scope: Some(scope) } => write!(f, "[{address}%{scope}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Portal {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl Serialize for Portal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A portal as targets give it in TargetAddress: with the tag of its portal group, except in redirections.
/// Source: RFC 7143 section 13.8.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TargetAddress {
    /// The portal.
    pub portal: Portal,
    /// The target portal group tag.
    pub tag: Option<u16>,
}

impl FromStr for TargetAddress {
    type Err = NameError;

    /// Reads `host[:port][,tag]`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let Some((portal, tag)) = text.split_once(',') else {
            return Ok(Self { portal: Portal::new(text)?, tag: None });
        };
        let digits = tag.bytes().all(|byte| byte.is_ascii_digit());
        let tag = tag.parse().ok().filter(|_| digits);
        let tag = tag.ok_or_else(|| {
            NameError::new("target address", text, "the portal group tag is not a number up to 65535")
        })?;
        Ok(Self { portal: Portal::new(portal)?, tag: Some(tag) })
    }
}

impl fmt::Display for TargetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.portal.fmt(f)?;
        self.tag.map_or(Ok(()), |tag| write!(f, ",{tag}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portals_are_read_in_all_their_forms() {
        for (text, shown) in [
            ("10.0.0.1", "10.0.0.1:3260"),
            ("10.0.0.1:860", "10.0.0.1:860"),
            ("::1", "[::1]:3260"),
            ("[::1]", "[::1]:3260"),
            ("[2001:DB8::0:1]:3261", "[2001:db8::1]:3261"),
            ("[fe80::1%eth0]:3260", "[fe80::1%eth0]:3260"),
            ("fe80::1%vmbr0.100", "[fe80::1%vmbr0.100]:3260"),
            ("SAN-1.example.com.:3260", "san-1.example.com:3260"),
            ("localhost", "localhost:3260"),
        ] {
            let portal = Portal::new(text).unwrap();
            assert_eq!(portal.to_string(), shown);
            assert_eq!(Portal::new(shown), Ok(portal));
        }
    }

    #[test]
    fn others_are_refused_with_the_part_that_is_wrong() {
        for (text, why) in [
            ("", "no host"),
            (":3260", "no host"),
            ("10.0.0.1:", "the port"),
            ("10.0.0.1:0", "the port"),
            ("10.0.0.1:+1", "the port"),
            ("10.0.0.1:65536", "the port"),
            ("10.0.0.256", "four numbers"),
            ("10.0.0", "four numbers"),
            ("010.0.0.1", "four numbers"),
            ("[::1", "not closed"),
            ("[::1]3260", "followed by ':'"),
            ("[10.0.0.1]:3260", "no IPv6 address"),
            ("[fe80::1%]", "no IPv6 address"),
            ("[fe80::1%a/b]", "no IPv6 address"),
            ("1:2:3", "no IPv6 address"),
            ("a..b", "letters, digits and hyphens"),
            ("-a", "letters, digits and hyphens"),
            ("a b", "letters, digits and hyphens"),
            ("iqn/x", "letters, digits and hyphens"),
        ] {
            assert!(Portal::new(text).unwrap_err().why.contains(why), "{text}");
        }
    }

    #[test]
    fn target_addresses_may_have_a_tag() {
        let address = |text: &str| text.parse::<TargetAddress>();
        assert_eq!(address("[::1]:3260,1").unwrap().to_string(), "[::1]:3260,1");
        assert_eq!(address("10.0.0.1").unwrap().tag, None);
        assert_eq!(address("10.0.0.1,65535").unwrap().tag, Some(65535));
        for text in ["10.0.0.1,", "10.0.0.1,65536", "10.0.0.1,1,2", "10.0.0.1,+1", ",1"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
