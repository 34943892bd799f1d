//! Settings of a session besides its address, and the kernel's parameters that follow from them.

use serde::{Deserialize, Serialize};

use crate::protocol::interface::params::Param;
use crate::protocol::login::LoggedIn;
use crate::protocol::net_interface::NetInterface;
use crate::protocol::params::{Digest, Offer};

/// Time limits and checksums of a session. Defaults are those of open-iscsi (`etc/iscsid.conf`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Seconds from the loss of the connection until I/O fails; until then it waits.
    pub replacement_timeout: u32,
    /// Seconds of silence until the target is asked for a sign of life; 0 never asks.
    pub ping_interval: u32,
    /// Seconds that sign may take before the connection counts as lost.
    pub ping_timeout: u32,
    /// Whether headers must carry a checksum.
    pub header_digest: bool,
    /// Whether data must carry a checksum.
    pub data_digest: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            replacement_timeout: 120,
            ping_interval: 5,
            ping_timeout: 5,
            header_digest: false,
            data_digest: false,
        }
    }
}

/// Seconds that aborts and resets may take. Source: open-iscsi `usr/config.h` (`DEF_ABORT_TIMEO` and its like).
const ABORT_TIMEOUT: u32 = 15;
const RESET_TIMEOUT: u32 = 30;

/// The interface record that open-iscsi uses where none is asked for; iscsiadm compares it.
pub const DEFAULT_INTERFACE: &str = "default";

impl Settings {
    /// What is offered to the target.
    pub fn offer(&self) -> Offer {
        let digest = |wanted: bool| vec![if wanted { Digest::Crc32c } else { Digest::None }];
        Offer {
            header_digest: digest(self.header_digest),
            data_digest: digest(self.data_digest),
            ..Offer::default()
        }
    }

    /// The parameters that are known before the login. `address` and `port` are those that were asked for.
    pub fn before_login(&self, names: &SessionNames<'_>) -> Vec<(Param, String)> {
        vec![
            (Param::TargetName, names.target.to_owned()),
            (Param::InitiatorName, names.initiator.to_owned()),
            (Param::PersistentAddress, names.address.to_owned()),
            (Param::PersistentPort, names.port.to_string()),
            (
                Param::InterfaceName,
                names.interface.map_or(DEFAULT_INTERFACE, NetInterface::as_str).to_owned(),
            ),
            (Param::RecoveryTimeout, self.replacement_timeout.to_string()),
            (Param::FastAbort, "1".to_owned()),
            (Param::AbortTimeout, ABORT_TIMEOUT.to_string()),
            (Param::LunResetTimeout, RESET_TIMEOUT.to_string()),
            (Param::TargetResetTimeout, RESET_TIMEOUT.to_string()),
            (Param::PingInterval, self.ping_interval.to_string()),
            (Param::PingTimeout, self.ping_timeout.to_string()),
        ]
    }
}

/// How a session is called.
#[derive(Clone, Copy, Debug)]
pub struct SessionNames<'a> {
    /// The target.
    pub target: &'a str,
    /// The initiator.
    pub initiator: &'a str,
    /// The host of the portal that was asked for, without brackets.
    pub address: &'a str,
    /// Its port.
    pub port: u16,
    /// The network interface that the session is bound to.
    pub interface: Option<&'a NetInterface>,
}

/// The parameters that follow from a login.
pub fn after_login(agreed: &LoggedIn) -> Vec<(Param, String)> {
    let bit = |on: bool| u8::from(on).to_string();
    let p = &agreed.parameters;
    let mut list = vec![
        (Param::MaxRecvDataSegment, p.max_recv_data_segment_length.to_string()),
        (Param::MaxXmitDataSegment, p.max_send_data_segment_length.to_string()),
        (Param::HeaderDigest, bit(p.header_digest == Digest::Crc32c)),
        // Before the first scan: the block layer asks once whether pages must not change while they are sent.
        (Param::DataDigest, bit(p.data_digest == Digest::Crc32c)),
        (Param::InitialR2t, bit(p.initial_r2t)),
        (Param::MaxR2t, p.max_outstanding_r2t.to_string()),
        (Param::ImmediateData, bit(p.immediate_data)),
        (Param::FirstBurst, p.first_burst_length.to_string()),
        (Param::MaxBurst, p.max_burst_length.to_string()),
        (Param::PduInOrder, bit(true)),
        (Param::SequenceInOrder, bit(true)),
        (Param::ErrorRecoveryLevel, "0".to_owned()),
        (Param::ExpStatSn, agreed.exp_stat_sn.to_string()),
        (Param::PortalGroupTag, agreed.portal_group_tag.unwrap_or(1).to_string()),
    ];
    list.extend(agreed.target_alias.iter().map(|alias| (Param::TargetAlias, alias.clone())));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_told_what_was_asked_for_and_agreed() {
        let settings = Settings { replacement_timeout: 15, header_digest: true, ..Settings::default() };
        assert_eq!(settings.offer().header_digest, [Digest::Crc32c]);
        assert_eq!(settings.offer().data_digest, [Digest::None]);
        let (target, initiator, address, port) = ("iqn.x:t", "iqn.x:i", "::1", 3261);
        let names = SessionNames { target, initiator, address, port, interface: None };
        let before = settings.before_login(&names);
        let eth1 = "eth1".parse().unwrap();
        let bound = settings.before_login(&SessionNames { interface: Some(&eth1), ..names });
        assert!(bound.contains(&(Param::InterfaceName, "eth1".to_owned())), "{bound:?}");
        for pair in [
            (Param::RecoveryTimeout, "15"),
            (Param::PersistentAddress, "::1"),
            (Param::PersistentPort, "3261"),
            (Param::TargetName, "iqn.x:t"),
            (Param::InterfaceName, "default"),
        ] {
            assert!(before.contains(&(pair.0, pair.1.to_owned())), "{pair:?}");
        }
        let numbers: Vec<u32> = before.iter().map(|(param, _)| param.number()).collect();
        assert_eq!(numbers, [15, 34, 17, 18, 32, 19, 26, 27, 28, 35, 31, 30]);
    }

    #[test]
    fn records_without_a_setting_have_its_default() {
        let settings: Settings = serde_json::from_str(r#"{"replacement_timeout": 5}"#).unwrap();
        assert_eq!(settings, Settings { replacement_timeout: 5, ..Settings::default() });
    }
}
