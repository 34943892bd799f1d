//! The host's system id, by which VGs of other hosts are told from its own.

use std::fs;
use std::path::Path;

use super::LvmConf;
use base::ids::LVM_NAME_MAX;

/// Whose VGs this host may change. Source: lvm2 `lib/commands/toolcontext.c` (`_init_system_id`),
/// `lib/metadata/metadata.c` (`is_system_id_allowed`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostIds {
    /// The host's own id first, then those of other hosts whose VGs it may use as well. A host without an id of its own
    /// has none of these, either.
    pub ids: Vec<String>,
    /// What the user should know: a source is configured, but gives no id.
    pub warning: Option<String>,
}

impl HostIds {
    /// Finds the host's id as configured. `hostname` is the kernel's node name.
    pub fn resolve(conf: &LvmConf, hostname: &str) -> Self {
        let source = conf.global.system_id_source.to_ascii_lowercase();
        let found = match source.as_str() {
            "" | "none" => return Self::default(),
            "uname" => Ok(hostname.to_owned()),
            "lvmlocal" => conf.local.system_id.clone().ok_or_else(|| "local/system_id is not set".to_owned()),
            "machineid" | "machine-id" => first_line(&conf.global.etc.join("machine-id")),
            "file" => match &conf.global.system_id_file {
                Some(file) => first_line(file),
                None => Err("global/system_id_file is not set".to_owned()),
            },
            _ => Err("this source is not supported".to_owned()),
        };
        let extra = conf.local.extra_system_ids.iter().cloned();
        match found.and_then(|text| clean(&text)) {
            Ok(id) => Self { ids: std::iter::once(id).chain(extra).collect(), warning: None },
            Err(why) => Self {
                ids: Vec::new(),
                warning: Some(format!(
                    "no system id from global/system_id_source=\"{source}\": {why}; VGs with a system id are \
                     treated as another host's"
                )),
            },
        }
    }
}

/// The first line that is not empty and no comment. Source: lvm2 `_read_system_id_from_file`.
fn first_line(path: &Path) -> Result<String, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("'{}': {error}", path.display()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let mut lines = lines.filter(|line| !line.is_empty());
    lines.next().map(str::to_owned).ok_or_else(|| format!("'{}' is empty", path.display()))
}

/// Keeps what LVM allows in an id. Source: lvm2 `lib/misc/lvm-string.c` (`copy_systemid_chars`).
fn clean(text: &str) -> Result<String, String> {
    let id: String = text
        .chars()
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .filter(|c| c.is_ascii_alphanumeric() || "._-+".contains(*c))
        .take(LVM_NAME_MAX + 1)
        .collect();
    if id.is_empty() {
        return Err(format!("'{}' has no letter or digit", text.escape_default()));
    }
    if id.starts_with("localhost") {
        return Err(format!("'{id}' is not a name of its own"));
    }
    Ok(id)
}
