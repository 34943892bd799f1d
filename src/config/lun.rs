//! LUNs as volumes of a storage of type iscsi: `<channel>.<id>.<lun>.<name>`, the name being one below
//! `/dev/disk/by-id`. Source: pve-storage `PVE/Storage/ISCSIPlugin.pm` (`parse_volname`, `list_images`).

use std::fmt;

use super::names::NameError;

/// The folder of the names.
pub const BY_ID: &str = "/dev/disk/by-id";

/// A volume of a storage of type iscsi. The numbers are for people: only the name tells which disk it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LunVolname {
    /// `<channel>.<id>.<lun>` as written.
    numbers: String,
    /// The name below [`BY_ID`].
    pub by_id: String,
}

impl LunVolname {
    /// The volume of a LUN. iSCSI has one channel, and one target in a session.
    pub fn of_lun(lun: u64, by_id: &str) -> Self {
        Self { numbers: format!("0.0.{lun}"), by_id: by_id.to_owned() }
    }

    /// Reads a volume's name.
    ///
    /// # Errors
    /// If the text is not such a name, in Proxmox VE's words.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::LunVolname(text.to_owned());
        let mut parts = text.splitn(4, '.');
        for _ in 0..3 {
            let number = parts.next().ok_or_else(wrong)?;
            if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(wrong());
            }
        }
        let by_id = parts.next().ok_or_else(wrong)?;
        if by_id.is_empty() || by_id.contains('/') || by_id.contains(char::is_whitespace) {
            return Err(wrong());
        }
        let numbers = text.strip_suffix(by_id).and_then(|rest| rest.strip_suffix('.')).ok_or_else(wrong)?;
        Ok(Self { numbers: numbers.to_owned(), by_id: by_id.to_owned() })
    }

    /// Where its device is while the storage is active.
    pub fn path(&self) -> String {
        format!("{BY_ID}/{}", self.by_id)
    }
}

impl fmt::Display for LunVolname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.numbers, self.by_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for text in
            ["0.0.1.scsi-360000000000000000e00000000010001", "0.0.16640.dm-uuid-mpath-36.1", "00.1.2.3"]
        {
            let name = LunVolname::parse(text).unwrap();
            assert_eq!(name.to_string(), text);
        }
        let name = LunVolname::of_lun(3, "scsi-36");
        assert_eq!(
            (name.to_string().as_str(), name.path().as_str()),
            ("0.0.3.scsi-36", "/dev/disk/by-id/scsi-36")
        );
        assert_eq!(LunVolname::parse("0.0.3.scsi-36"), Ok(name));
    }

    #[test]
    fn others_are_refused_in_the_words_of_proxmox_ve() {
        for text in
            ["", "vm-100-disk-0", "0.0.1", "0.0.1.", "0.0.x.scsi", "0.0.-1.scsi", "0.0.1.a/b", "0.0.1.a b"]
        {
            let words = LunVolname::parse(text).unwrap_err().to_string();
            assert_eq!(words, format!("unable to parse iscsi volume name '{text}'"));
        }
    }
}
