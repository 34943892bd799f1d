//! The network interface that the connection of a session is bound to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::protocol::name::NameError;

/// The longest name of a network interface. Source: Linux `include/uapi/linux/if.h` (`IFNAMSIZ`).
const NAME_MAX: usize = 15;

/// The name of a network interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetInterface(String);

impl NetInterface {
    /// Checks a name. Whether there is such an interface is for the kernel to say.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let bad = |why| Err(NameError::new("network interface", name, why));
        match name {
            "" => bad("it is empty"),
            "." | ".." => bad("no interface is called so"),
            // The interface record of open-iscsi that means no interface.
            "default" => bad("open-iscsi uses this name for sessions that are bound to no interface"),
            _ if name.len() > NAME_MAX => bad("it is longer than 15 characters"),
            _ if !is_sound(name) => bad("it has a character that no interface name has"),
            _ => Ok(Self(name.to_owned())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text has only what the name of an interface may hold, in portals and in records of open-iscsi, too.
/// Source: Linux `net/core/dev.c` (`dev_valid_name`), which allows more.
pub(super) fn is_sound(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"/%[]:".contains(&byte))
}

impl fmt::Display for NetInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NetInterface {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl TryFrom<String> for NetInterface {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(&name)
    }
}

impl From<NetInterface> for String {
    fn from(interface: NetInterface) -> Self {
        interface.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_the_kernel_and_open_iscsi_take() {
        for name in ["eth0", "enp0s31f6", "vlan.100", "bond0.12", "a", "123456789012345"] {
            assert_eq!(NetInterface::new(name).unwrap().as_str(), name);
        }
        for name in
            ["", ".", "..", "default", "1234567890123456", "a/b", "a b", "a:1", "a%b", "e\u{fc}", "a\n"]
        {
            let error = NetInterface::new(name).unwrap_err().to_string();
            assert!(error.contains("network interface"), "{name:?}: {error}");
        }
        let read = |text: &str| serde_json::from_str::<NetInterface>(text);
        assert_eq!(read("\"eth1\"").unwrap().to_string(), "eth1");
        assert!(read("\"a/b\"").is_err());
    }
}
