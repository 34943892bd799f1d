//! Which guests are containers: Proxmox VE's list of guests, if this is one of its nodes.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use config::types::Content;

/// The list of guests in the cluster file system. Source: pve-cluster `PVE/Cluster.pm` (`get_vmlist`).
const VMLIST_NAME: &str = ".vmlist";

/// More than any cluster has.
const LARGEST_BYTES: u64 = 16 << 20;

/// The guests of a cluster.
#[derive(Debug, Default, Deserialize)]
pub struct Guests {
    #[serde(default)]
    ids: HashMap<String, Guest>,
}

#[derive(Debug, Deserialize)]
struct Guest {
    r#type: String,
}

impl Guests {
    /// The guests listed in the directory of a configuration; none if there is no such list.
    pub fn beside(config: &Path) -> Self {
        let path = config.with_file_name(VMLIST_NAME);
        let mut text = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(LARGEST_BYTES).read_to_end(&mut text));
        match read {
            Ok(_) => Self::read(&text),
            Err(_) => Self::default(),
        }
    }

    fn read(text: &[u8]) -> Self {
        serde_json::from_slice(text).unwrap_or_else(|error| {
            tracing::debug!(%error, "the list of guests is not understood");
            Self::default()
        })
    }

    /// What the volumes of a guest are: those of containers are root directories, all others images. Source:
    /// pve-storage `PVE/Storage/Plugin.pm` (`list_volumes`).
    pub fn content_of(&self, vmid: Option<u64>) -> Content {
        let guest = vmid.and_then(|vmid| self.ids.get(&vmid.to_string()));
        match guest {
            Some(guest) if guest.r#type == "lxc" => Content::Rootdir,
            _ => Content::Images,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_have_root_directories() {
        let list =
            br#"{"version":3,"ids":{"100":{"node":"a","type":"qemu"},"101":{"node":"a","type":"lxc"}}}"#;
        let guests = Guests::read(list);
        assert_eq!(
            [Some(100), Some(101), Some(102), None].map(|vmid| guests.content_of(vmid)),
            [Content::Images, Content::Rootdir, Content::Images, Content::Images]
        );
        assert_eq!(Guests::read(b"[").content_of(Some(101)), Content::Images);
    }

    #[test]
    fn the_list_lies_beside_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("storage.cfg");
        assert_eq!(Guests::beside(&config).content_of(Some(7)), Content::Images);
        std::fs::write(dir.path().join(".vmlist"), r#"{"ids":{"7":{"type":"lxc"}}}"#).unwrap();
        assert_eq!(Guests::beside(&config).content_of(Some(7)), Content::Rootdir);
    }
}
