//! The portals of a target, as it listed them when its storage was activated: who looks at a storage later knows which
//! paths there should be without asking the target.

use serde::{Deserialize, Serialize};

use super::{Registry, RegistryError};
use crate::protocol::name::IscsiName;
use crate::protocol::portal::Portal;
use base::bytes::crc;

#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    boot_id: String,
    target: String,
    portals: Vec<String>,
}

/// Names are too long for file names, so a checksum stands for them; the file says which it is of.
fn file(target: &IscsiName) -> String {
    format!("portals-{:08x}.json", crc::lvm(target.as_str().as_bytes()))
}

impl Registry {
    /// Remembers where a target is.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put_portals(&self, target: &IscsiName, portals: &[Portal]) -> Result<(), RegistryError> {
        let listed = Listed {
            boot_id: self.boot_id.clone(),
            target: target.to_string(),
            portals: portals.iter().map(ToString::to_string).collect(),
        };
        self.write(&file(target), &listed)
    }

    /// The known portals of a target; empty if none was recorded since the boot.
    pub fn portals(&self, target: &IscsiName) -> Vec<Portal> {
        let read = self.read::<Listed>(&file(target)).unwrap_or_else(|error| {
            tracing::warn!(%error, "a list of portals is left out");
            None
        });
        let of_now = read.filter(|listed| listed.boot_id == self.boot_id && listed.target == target.as_str());
        of_now.iter().flat_map(|listed| &listed.portals).filter_map(|portal| portal.parse().ok()).collect()
    }

    /// Forgets the portals of a target; it is no error if there are none.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn remove_portals(&self, target: &IscsiName) -> Result<(), RegistryError> {
        self.unlink(&file(target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portals_are_remembered_for_one_target_in_one_boot() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(folder.path()).unwrap();
        let name = |text: &str| text.parse::<IscsiName>().unwrap();
        let (a, b) = (name("iqn.2025-01.test:a"), name("iqn.2025-01.test:b"));
        let portals: Vec<Portal> =
            ["10.0.0.1:3260", "[fd00::1]:3261"].map(|text| text.parse().unwrap()).into();
        registry.put_portals(&a, &portals).unwrap();
        assert_eq!(registry.portals(&a), portals);
        assert!(registry.portals(&b).is_empty());
        let rebooted = Registry { boot_id: "another".into(), ..registry.clone() };
        assert!(rebooted.portals(&a).is_empty());
        registry.remove_portals(&a).unwrap();
        registry.remove_portals(&a).unwrap();
        assert!(registry.portals(&a).is_empty() && registry.records().unwrap().is_empty());
    }
}
