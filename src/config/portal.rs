//! Addresses of iSCSI portals as `storage.cfg` writes them.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::fmt;

/// The port of iSCSI. Source: RFC 7143, section 4.2.7.1; IANA.
pub const ISCSI_PORT: u16 = 3260;

/// A portal: a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portal {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// The port, if one is written.
    pub port: Option<u16>,
}

impl Portal {
    /// Reads `host`, `host:port`, `[host]`, `[host]:port`, `ipv6` or `ipv6.port`. Source of the forms: pve-common
    /// `PVE/Tools.pm` (`parse_host_and_port`). A port must fit into 16 bits, which that does not ask for.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let (host, rest) = inner.split_once(']')?;
            let port = match rest {
                "" => None,
                rest => Some(port(rest.strip_prefix(':')?)?),
            };
            return (is_ipv6(host) || is_name(host)).then(|| Self { host: host.to_owned(), port });
        }
        if is_ipv6(text) {
            return Some(Self { host: text.to_owned(), port: None });
        }
        if let Some((host, after)) = text.rsplit_once('.').filter(|(host, _)| is_ipv6(host)) {
            return Some(Self { host: host.to_owned(), port: Some(port(after)?) });
        }
        let (host, after) = match text.split_once(':') {
            Some((host, after)) => (host, Some(port(after)?)),
            None => (text, None),
        };
        is_name(host).then(|| Self { host: host.to_owned(), port: after })
    }

    /// The port, or iSCSI's own if none is written.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(ISCSI_PORT)
    }
}

fn port(text: &str) -> Option<u16> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// A host name or an IPv4 address; the form is not looked at more closely than Proxmox VE does.
fn is_name(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
        || !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

impl fmt::Display for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (is_ipv6(&self.host), self.port) {
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
            (false, Some(port)) => write!(f, "{}:{port}", self.host),
            (_, None) => self.host.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_portal() {
        let read = |text: &str| Portal::parse(text).map(|portal| portal.to_string());
        for (text, expected) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("10.0.0.1:3261", Some("10.0.0.1:3261")),
            ("san-1.example:1", Some("san-1.example:1")),
            ("[fe80::1]:3260", Some("[fe80::1]:3260")),
            ("[san]:3260", Some("san:3260")),
            ("fe80::1", Some("fe80::1")),
            ("fe80::1.3260", Some("[fe80::1]:3260")),
            ("::ffff:10.0.0.1", Some("::ffff:10.0.0.1")),
            ("10.0.0.1:", None),
            ("10.0.0.1:99999", None),
            ("10.0.0.1:x", None),
            ("[fe80::1", None),
            ("[fe80::1]3260", None),
            ("a b", None),
            ("a_b", None),
            ("", None),
            ("fe80::zz", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text:?}");
        }
        assert_eq!(Portal::parse("a").map(|portal| portal.port_or_default()), Some(3260));
    }
}
