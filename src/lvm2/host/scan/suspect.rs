//! PVs that may in truth be members of an md array with its superblock at the end.
//!
//! lvm2 looks at the end of a device only where something hints at that (`devices/md_component_checks`): what the
//! group's text says of the PV does not fit the device. Source: lvm2 `lib/cache/lvmcache.c`
//! (`lvmcache_extra_md_component_checks`).

use base::bytes::shared::SharedBytes;

use super::group::ReadPv;
use crate::format::text::Document;
use crate::host::conf::MdChecks;
use crate::host::store::read::Content;
use base::ids::LvmUuid;

/// How the names of md arrays begin.
const MD_NAME: &str = "/dev/md";

/// A PV as a text describes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mention {
    /// The size of its device in sectors.
    size: Option<u64>,
    /// Whether it was last seen on an md array.
    on_md: bool,
}

/// Whether the end of this PV's device must be checked.
pub(super) fn is_suspect(pv: &ReadPv, texts: &[SharedBytes], checks: MdChecks) -> bool {
    let mentions = texts.iter().filter_map(|text| mention(text, pv.found.id));
    mentions.into_iter().any(|mention| {
        let other_size = mention.size.is_some_and(|size| size != 0 && size != pv.found.size.get());
        match checks {
            MdChecks::Auto => other_size || mention.on_md,
            MdChecks::Start => mention.on_md,
            MdChecks::Full | MdChecks::None => false,
        }
    })
}

/// All texts on these PVs, each once.
pub(super) fn texts<'a>(pvs: impl Iterator<Item = &'a ReadPv>) -> Vec<SharedBytes> {
    let mut texts: Vec<SharedBytes> = Vec::new();
    for mda in pvs.flat_map(|pv| &pv.read.mdas) {
        if let Content::Text(copy) = &mda.content
            && !texts.iter().any(|text| text.is_the_same(&copy.text))
        {
            texts.push(copy.text.clone());
        }
    }
    texts
}

/// Reads the few lines about one PV, without parsing the rest again: from its id to the end of its section.
fn mention(text: &[u8], id: LvmUuid) -> Option<Mention> {
    let id = format!("\"{id}\"");
    let at = text.windows(id.len()).position(|window| window == id.as_bytes())? + id.len();
    let length = text[at..].iter().position(|byte| *byte == b'}')?;
    let Ok(lines) = Document::parse(&text[at..at + length]) else { return Some(Mention::default()) };
    let root = lines.root();
    Some(Mention {
        size: root.opt_u64("dev_size").ok().flatten(),
        on_md: root.opt_str("device").ok().flatten().is_some_and(|name| name.starts_with(MD_NAME)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_says_of_a_pv_is_found_without_reading_the_rest() {
        let [one, two] = [1, 2].map(|number| LvmUuid::from_random([number; 32]));
        let text = format!(
            "vg {{ id = \"x\"\nphysical_volumes {{\npv0 {{\nid = \"{one}\"\ndevice = \"/dev/md127\"\t# Hint only\n\n\
             status = [\"ALLOCATABLE\"]\ndev_size = 4096\t# 2 Megabytes\n}}\npv1 {{\nid = \"{two}\"\n}}\n}} broken ]["
        );
        let of = |id| mention(text.as_bytes(), id);
        assert_eq!(of(one), Some(Mention { size: Some(4096), on_md: true }));
        assert_eq!(of(two), Some(Mention::default()));
        assert_eq!(of(LvmUuid::from_random([3; 32])), None);
    }
}
