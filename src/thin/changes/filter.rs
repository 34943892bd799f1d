//! What volumes must be like that were not named: by guest, by tag, by name.

use config::names;

use base::ids::LvName;

/// What volumes must be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeFilter {
    /// Their guest.
    pub vmid: Option<u64>,
    /// LVM tags they all have.
    pub tags: Vec<String>,
    /// Their name: `*` stands for any characters, `?` for one.
    pub name: Option<String>,
}

impl VolumeFilter {
    /// Whether it takes everything.
    pub fn is_empty(&self) -> bool {
        self.vmid.is_none() && self.tags.is_empty() && self.name.is_none()
    }

    /// Whether it takes a volume of that name with these tags.
    pub fn takes(&self, name: &LvName, tags: &[String]) -> bool {
        self.vmid.is_none_or(|vmid| names::owner(name) == Some(vmid))
            && self.tags.iter().all(|tag| tags.contains(tag))
            && self.takes_name(name.as_str())
    }

    /// Whether it takes something that has a name alone, no guest and no tags.
    pub fn takes_unowned(&self, name: &str) -> bool {
        self.vmid.is_none() && self.tags.is_empty() && self.takes_name(name)
    }

    fn takes_name(&self, name: &str) -> bool {
        self.name.as_deref().is_none_or(|pattern| matches(pattern.as_bytes(), name.as_bytes()))
    }
}

/// Whether a name is like a pattern. Goes back to the last star only: the time is that of both lengths multiplied.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || Some(&byte) == name.get(n) => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            }
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::fixture::name;

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name, is) in [
            ("*", "", true),
            ("*", "x", true),
            ("vm-*-disk-?", "vm-100-disk-0", true),
            ("vm-*-disk-?", "vm-100-disk-10", false),
            ("*disk*0", "vm-100-disk-1-0", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("", "", true),
            ("", "a", false),
            ("a**", "a", true),
            ("?", "", false),
            ("vm-100", "vm-1000", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), is, "{pattern} {name}");
        }
        assert!(!matches("*a".repeat(60).as_bytes(), "b".repeat(120).as_bytes()), "it ends");
    }

    #[test]
    fn a_volume_must_be_like_all_that_is_said() {
        let (volume, tags) = (name("vm-100-disk-0"), ["gold".to_owned(), "nightly".to_owned()]);
        let filter = |vmid, tags: &[&str], name: Option<&str>| VolumeFilter {
            vmid,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            name: name.map(Into::into),
        };
        assert!(filter(None, &[], None).takes(&volume, &tags) && filter(None, &[], None).is_empty());
        assert!(filter(Some(100), &["gold", "nightly"], Some("*disk*")).takes(&volume, &tags));
        assert!(!filter(Some(10), &[], None).takes(&volume, &tags));
        assert!(!filter(None, &["gold", "silver"], None).takes(&volume, &tags));
        assert!(!filter(Some(100), &[], Some("*-cloudinit")).takes(&volume, &tags));
        assert!(filter(None, &[], Some("lun*")).takes_unowned("lun0"));
        assert!(!filter(Some(100), &[], None).takes_unowned("lun0"));
    }
}
