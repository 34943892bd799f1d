//! Which volumes may be activated on this host, and how: the volume lists of `lvm.conf`.
//!
//! Source: lvm2 `lib/activate/activate.c` (`_lv_passes_volumes_filter`, `_passes_activation_filter`).

use crate::format::model::Vg;
use base::ids::LvName;

/// The lists of section `activation`, and the tags of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeLists {
    /// `volume_list`: what may be activated at all.
    pub allowed: Option<Vec<String>>,
    /// `auto_activation_volume_list`: volumes that may be activated automatically.
    pub automatic: Option<Vec<String>>,
    /// `read_only_volume_list`: volumes that are activated read-only.
    pub read_only: Option<Vec<String>>,
    /// The tags this host has (section `tags`).
    pub host_tags: Vec<String>,
}

/// A volume as the lists see it: it may not be in the metadata yet.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// Its volume group.
    pub vg: &'a Vg,
    /// Its name.
    pub name: &'a LvName,
    /// Its tags.
    pub tags: &'a [String],
}

impl Listed<'_> {
    fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().chain(&self.vg.tags).any(|own| own == tag)
    }
}

impl VolumeLists {
    /// Why a volume may not be activated here, if so. Without a list a host that has tags activates only what bears one
    /// of them.
    pub fn refusal(&self, volume: Listed<'_>) -> Option<&'static str> {
        match &self.allowed {
            Some(list) if !self.matches(list, volume) => {
                Some("activation/volume_list of lvm.conf does not list it")
            }
            None if !self.host_tags.is_empty() && !self.has_host_tag(volume) => {
                Some("it bears none of the tags that lvm.conf gives this host")
            }
            _ => None,
        }
    }

    /// Whether a volume that may be activated may also be activated automatically.
    pub fn is_automatic(&self, volume: Listed<'_>) -> bool {
        self.automatic.as_ref().is_none_or(|list| self.matches(list, volume))
    }

    /// Whether a volume is activated read-only, whatever its metadata says.
    pub fn is_read_only(&self, volume: Listed<'_>) -> bool {
        self.read_only.as_ref().is_some_and(|list| self.matches(list, volume))
    }

    fn has_host_tag(&self, volume: Listed<'_>) -> bool {
        self.host_tags.iter().any(|tag| volume.has_tag(tag))
    }

    /// `vg`, `vg/lv`, `@tag` of volume or group, `@*` for any tag of this host; other items match nothing.
    fn matches(&self, list: &[String], volume: Listed<'_>) -> bool {
        list.iter().any(|item| match item.strip_prefix('@') {
            Some("*") => self.has_host_tag(volume),
            Some(tag) => !tag.is_empty() && volume.has_tag(tag),
            None => match item.split_once('/') {
                Some((vg, lv)) => vg == volume.vg.name.as_str() && lv == volume.name.as_str(),
                None => item == volume.vg.name.as_str(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::metadata::Metadata;

    /// A group `pve` with the tag `shared`.
    fn vg() -> Vg {
        let text = "contents = \"Text Format Volume Group\"\nversion = 1\npve {\nid = \
                    \"000000-0000-0000-0000-0000-0000-000000\"\nseqno = 1\nstatus = [\"READ\"]\nflags = []\n\
                    tags = [\"shared\"]\nextent_size = 8192\nmax_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n\
                    physical_volumes {\n}\n}\n";
        Metadata::parse(text.as_bytes()).unwrap().vg
    }

    fn list(items: &[&str]) -> Option<Vec<String>> {
        Some(items.iter().map(|item| (*item).to_owned()).collect())
    }

    fn matched(items: &[&str], host_tags: &[&str]) -> bool {
        let host_tags = host_tags.iter().map(|tag| (*tag).to_owned()).collect();
        let lists = VolumeLists { read_only: list(items), host_tags, ..VolumeLists::default() };
        let (vg, name, tags) = (vg(), LvName::new("data").unwrap(), ["fast".to_owned()]);
        lists.is_read_only(Listed { vg: &vg, name: &name, tags: &tags })
    }

    #[test]
    fn items_match_as_lvm2s_do() {
        for item in ["pve", "pve/data", "@fast", "@shared"] {
            assert!(matched(&["other", item], &[]), "{item}");
        }
        for item in
            ["", "/", "pv", "pve2", "pve/", "pve/dat", "pve/data/x", "data", "@", "@data", "@fas", "@*"]
        {
            assert!(!matched(&[item], &[]), "{item}");
        }
        assert!(!matched(&[], &[]));
        assert!(
            matched(&["@*"], &["x", "fast"]) && matched(&["@*"], &["shared"]) && !matched(&["@*"], &["x"])
        );
    }

    #[test]
    fn without_a_list_only_the_hosts_tags_keep_a_volume_from_activation() {
        let (vg, name) = (vg(), LvName::new("data").unwrap());
        let volume = Listed { vg: &vg, name: &name, tags: &[] };
        let free = VolumeLists::default();
        assert_eq!(free.refusal(volume), None);
        assert!(free.is_automatic(volume) && !free.is_read_only(volume));
        let tagged = |tag: &str| VolumeLists { host_tags: vec![tag.to_owned()], ..VolumeLists::default() };
        assert!(tagged("node1").refusal(volume).unwrap().contains("tags"));
        assert_eq!(tagged("shared").refusal(volume), None);
        let nothing = VolumeLists { allowed: list(&[]), automatic: list(&[]), ..VolumeLists::default() };
        assert!(nothing.refusal(volume).unwrap().contains("volume_list") && !nothing.is_automatic(volume));
        let listed = VolumeLists { allowed: list(&["pve/data"]), ..tagged("node1") };
        assert_eq!(listed.refusal(volume), None, "a list goes before the host's tags");
    }
}
