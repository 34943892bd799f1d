//! `thinvol --version`.

use std::io::{self, Write};

use serde::Serialize;

use super::output::Answer;
use config::features::{Feature, VolumeKind};
use config::types::{Content, Type};

/// What this binary is.
#[derive(Debug, Serialize)]
pub struct Version {
    name: &'static str,
    version: &'static str,
    udev: bool,
    target: String,
    lvm2_at_least: &'static str,
    /// Whose words and rules are followed. Source: pve-storage `PVE/Storage.pm` (`APIVER`, `APIAGE`).
    proxmox_ve: ProxmoxVe,
    storage_types: Vec<StorageType>,
}

#[derive(Debug, Serialize)]
struct ProxmoxVe {
    pve_storage: &'static str,
    api_version: u32,
    api_age: u32,
}

#[derive(Debug, Serialize)]
struct StorageType {
    r#type: Type,
    properties: Vec<&'static str>,
    content: &'static [Content],
    formats: [&'static str; 1],
    shared: bool,
    features: Vec<Feature>,
}

impl From<Type> for StorageType {
    fn from(kind: Type) -> Self {
        Self {
            r#type: kind,
            properties: kind.properties.iter().map(|(name, _)| *name).collect(),
            content: kind.default_content,
            formats: ["raw"],
            shared: kind.shared,
            features: kind.features(VolumeKind::Current),
        }
    }
}

impl Version {
    /// The facts of this build; `udev` says whether it hears udev's news.
    pub fn of_this_build(udev: bool) -> Self {
        Self {
            name: "thinvol",
            version: env!("CARGO_PKG_VERSION"),
            udev,
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            lvm2_at_least: "2.03.16",
            proxmox_ve: ProxmoxVe { pve_storage: "9.1.7", api_version: 15, api_age: 6 },
            storage_types: Type::all().map(StorageType::from).collect(),
        }
    }
}

impl Answer for Version {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} {}", self.name, self.version)
    }
}
