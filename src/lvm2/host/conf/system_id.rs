//! The host's system id, which distinguishes its VGs from those of other hosts.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

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
            "appmachineid" => {
                first_line(&conf.global.etc.join("machine-id")).and_then(|text| app_specific(&text))
            }
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

/// lvm2's id among applications. Source: lvm2 `lib/commands/toolcontext.c` (`LVM_APPLICATION_ID`).
const APPLICATION: [u8; 16] =
    [0xf6, 0x44, 0x06, 0x83, 0x2c, 0x21, 0x40, 0xe8, 0xac, 0x54, 0x22, 0xd1, 0x08, 0x9a, 0xae, 0x03];

/// The id that lvm2 derives from a machine id, which is itself not to be shown: a keyed hash with the bits of a random
/// UUID. Source: sd_id128_get_machine_app_specific(3).
fn app_specific(machine: &str) -> Result<String, String> {
    let digits = machine.replace('-', "");
    let digit = |at: usize| digits.get(at..at + 2).and_then(|byte| u8::from_str_radix(byte, 16).ok());
    let key: Option<Vec<u8>> = (0..16).map(|at| digit(2 * at)).collect();
    let key = key.filter(|_| digits.len() == 32).ok_or("the machine id is not 32 hexadecimal digits")?;
    // HMAC (RFC 2104) with SHA-256, whose blocks have 64 bytes.
    let padded =
        |with: u8| -> [u8; 64] { std::array::from_fn(|at| key.get(at).copied().unwrap_or(0) ^ with) };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(APPLICATION).finalize();
    let outer = Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize();
    let mut id: [u8; 16] = std::array::from_fn(|at| outer[at]);
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    Ok(id.iter().map(|byte| format!("{byte:02x}")).collect())
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
