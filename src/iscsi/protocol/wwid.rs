//! The world-wide name of a logical unit: its identity, independent of its number and of the path to it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::protocol::name::NameError;

/// A world-wide name as the kernel writes it: `naa.…`, `eui.…` (hexadecimal digits) or `t10.…`.
/// Source: Linux `drivers/scsi/scsi_lib.c` (`scsi_vpd_lun_id`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Wwid(String);

impl Wwid {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Wwid {
    type Err = NameError;

    /// Reads the kernel's form and those udev makes links of: `wwn-0x<hex>`, `0x<hex>`, `scsi-3<hex>`, `3<hex>`;
    /// with or without `/dev/disk/by-id/`. The digit that udev puts before the hexadecimal ones is the type of the
    /// designator: 2 for EUI-64, 3 for NAA. Source: systemd `src/udev/scsi_id/scsi_serial.c`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let name = text.trim();
        let name = name.strip_prefix("/dev/disk/by-id/").unwrap_or(name);
        if let Some((kind @ ("naa" | "eui"), digits)) = name.split_once('.') {
            return hexadecimal(digits)
                .map(|digits| Self(format!("{kind}.{digits}")))
                .ok_or_else(|| wrong(text));
        }
        if name.starts_with("t10.")
            && name.len() > 4
            && name.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        {
            return Ok(Self(name.to_owned()));
        }
        if let Some(digits) =
            name.strip_prefix("wwn-").unwrap_or(name).strip_prefix("0x").and_then(hexadecimal)
        {
            return Ok(Self(format!("naa.{digits}")));
        }
        let name = name.strip_prefix("scsi-").unwrap_or(name);
        let typed = |kind: char| name.strip_prefix(kind).and_then(hexadecimal);
        match (typed('3'), typed('2')) {
            (Some(digits), _) => Ok(Self(format!("naa.{digits}"))),
            (_, Some(digits)) => Ok(Self(format!("eui.{digits}"))),
            _ => Err(wrong(text)),
        }
    }
}

/// 8, 12 or 16 bytes in hexadecimal, in lower case.
fn hexadecimal(text: &str) -> Option<String> {
    let sound = matches!(text.len(), 16 | 24 | 32) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    sound.then(|| text.to_ascii_lowercase())
}

fn wrong(text: &str) -> NameError {
    NameError::new(
        "WWID",
        text,
        "it is none of 'naa.<hex>', 'eui.<hex>', 't10.<text>', 'wwn-0x<hex>', 'scsi-3<hex>'",
    )
}

impl TryFrom<String> for Wwid {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Wwid> for String {
    fn from(wwid: Wwid) -> Self {
        wwid.0
    }
}

impl fmt::Display for Wwid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_in_all_its_forms_is_one() {
        let name = "naa.6001405a1b2c3d4e5f60718293a4b5c6";
        for text in [
            "naa.6001405a1b2c3d4e5f60718293a4b5c6",
            "naa.6001405A1B2C3D4E5F60718293A4B5C6\n",
            "wwn-0x6001405a1b2c3d4e5f60718293a4b5c6",
            "0x6001405a1b2c3d4e5f60718293a4b5c6",
            "scsi-36001405a1b2c3d4e5f60718293a4b5c6",
            "36001405a1b2c3d4e5f60718293a4b5c6",
            "/dev/disk/by-id/scsi-36001405a1b2c3d4e5f60718293a4b5c6",
        ] {
            assert_eq!(text.parse::<Wwid>().unwrap().as_str(), name, "{text}");
        }
        assert_eq!("2001b4d2f1e3a5b7c".parse::<Wwid>().unwrap().as_str(), "eui.001b4d2f1e3a5b7c");
        assert_eq!("t10.ATA     VENDOR 1".parse::<Wwid>().unwrap().as_str(), "t10.ATA     VENDOR 1");
    }

    #[test]
    fn others_are_refused() {
        for text in
            ["", "naa.", "naa.600140", "naa.600140zz1b2c3d4e", "t10.", "t10.\u{7f}", "scsi-SATA_x", "4abc"]
        {
            assert!(text.parse::<Wwid>().is_err(), "{text}");
        }
    }
}
