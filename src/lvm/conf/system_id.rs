//! The host's system id, by which VGs of other hosts are told from its own.

use std::fs;
use std::path::Path;

use super::LvmConf;
use crate::ids::LVM_NAME_MAX;

/// Who this host is to LVM. Source: lvm2 `lib/commands/toolcontext.c` (`_init_system_id`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostIds {
    /// The host's id, if it has one.
    pub system_id: Option<String>,
    /// Ids of other hosts whose VGs it may use as well.
    pub extra: Vec<String>,
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
        let extra = conf.local.extra_system_ids.clone();
        match found.and_then(|text| clean(&text)) {
            Ok(id) => Self { system_id: Some(id), extra, warning: None },
            Err(why) => Self {
                system_id: None,
                extra,
                warning: Some(format!(
                    "no system id from global/system_id_source=\"{source}\": {why}; VGs with a system id are \
                     treated as another host's"
                )),
            },
        }
    }

    /// Whether a VG with this system id is ours to change. Without an id of its own a host has no other ids either.
    pub fn owns(&self, vg_system_id: Option<&str>) -> bool {
        match (vg_system_id, &self.system_id) {
            (None | Some(""), _) => true,
            (Some(_), None) => false,
            (Some(vg), Some(own)) => vg == own || self.extra.iter().any(|id| id == vg),
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
