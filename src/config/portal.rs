//! Addresses of iSCSI portals as `storage.cfg` writes them.

use core::net::Ipv6Addr;

use iscsi::protocol::portal::Portal;

/// Reads `host`, `host:port`, `[host]`, `[host]:port`, `ipv6` or `ipv6.port`. Source of the forms: pve-common
/// `PVE/Tools.pm` (`parse_host_and_port`). What no connection could be made to is no portal either, although Proxmox VE
/// takes some of it: a port outside of 1 to 65535, a name with an empty part.
pub fn parse(text: &str) -> Option<Portal> {
    // Proxmox VE knows neither interfaces in addresses nor underscores in names.
    if text.contains(['%', '_']) {
        return None;
    }
    let with_port = text.rsplit_once('.').filter(|(host, _)| is_ipv6(host) && !is_ipv6(text));
    let name_in_brackets = text
        .strip_prefix('[')
        .and_then(|inner| inner.split_once(']'))
        .filter(|(host, rest)| !host.contains(':') && (rest.is_empty() || rest.starts_with(':')));
    let usual = match (with_port, name_in_brackets) {
        (Some((host, port)), _) => format!("[{host}]:{port}"),
        (_, Some((host, rest))) => format!("{host}{rest}"),
        _ => text.to_owned(),
    };
    Portal::new(&usual).ok()
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_portal() {
        for (text, expected) in [
            ("10.0.0.1", Some("10.0.0.1:3260")),
            ("10.0.0.1:3261", Some("10.0.0.1:3261")),
            ("san-1.example:1", Some("san-1.example:1")),
            ("[fe80::1]:3260", Some("[fe80::1]:3260")),
            ("[fe80::1]", Some("[fe80::1]:3260")),
            ("[san]:3261", Some("san:3261")),
            ("fe80::1", Some("[fe80::1]:3260")),
            ("fe80::1.3261", Some("[fe80::1]:3261")),
            ("::ffff:10.0.0.1", Some("[::ffff:10.0.0.1]:3260")),
            ("10.0.0.1:", None),
            ("10.0.0.1:99999", None),
            ("10.0.0.1:x", None),
            ("10.0.0.1:0", None),
            ("[fe80::1", None),
            ("[fe80::1]3260", None),
            ("[san]3260", None),
            ("[fe80::1%eth0]", None),
            ("a b", None),
            ("a_b", None),
            ("a..b", None),
            ("", None),
            ("fe80::zz", None),
        ] {
            assert_eq!(parse(text).map(|portal| portal.to_string()).as_deref(), expected, "{text:?}");
        }
    }
}
