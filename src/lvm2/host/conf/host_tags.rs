//! The tags of hosts, by which volume lists and configuration files are chosen.
//! Source: lvm2 `lib/commands/toolcontext.c` (`_init_tags`, `_check_host_filters`).

use std::path::{Path, PathBuf};

use super::ConfError;
use super::layers::Layers;

/// Section `tags`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagsConf {
    /// Whether each host has its own name as a tag.
    pub hosttags: bool,
    /// Tags, and the hosts that have them; `None` for all hosts.
    pub tags: Vec<(String, Option<Vec<String>>)>,
}

impl TagsConf {
    pub(super) fn of(layers: &Layers) -> Result<Self, ConfError> {
        let hosttags = layers.bool("tags/hosttags", false)?;
        let mut tags = Vec::new();
        for name in layers.sections("tags") {
            let hosts = layers.strings(&format!("tags/{name}/host_list"))?;
            tags.push((name.strip_prefix('@').unwrap_or(&name).to_owned(), hosts));
        }
        Ok(Self { hosttags, tags })
    }

    /// The tags of the host with that name.
    pub fn of_host(&self, hostname: &str) -> Vec<String> {
        let own = self.hosttags.then(|| hostname.to_owned());
        let has = |hosts: &Option<Vec<String>>| {
            hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|host| host == hostname))
        };
        own.into_iter()
            .chain(self.tags.iter().filter(|(_, hosts)| has(hosts)).map(|(tag, _)| tag.clone()))
            .collect()
    }
}

/// The first configuration file of one of these tags that is in `system_dir`.
pub fn tag_file(system_dir: &Path, tags: &[String]) -> Option<PathBuf> {
    tags.iter().map(|tag| system_dir.join(format!("lvm_{tag}.conf"))).find(|file| file.exists())
}
