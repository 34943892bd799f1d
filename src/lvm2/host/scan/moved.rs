//! PVs that were found under another name than the devices file has.

use std::path::{Path, PathBuf};

use base::ids::{DevNo, LvmUuid};

/// A PV that was found under another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    /// The PV.
    pub pv: LvmUuid,
    /// The line of its entry, from 1.
    pub line: usize,
    /// Where it is. If there are several, none is used.
    pub devices: Vec<(DevNo, PathBuf)>,
}

impl Moved {
    /// Whether that PV is to be used there.
    pub(super) fn is_at(&self, pv: LvmUuid, no: DevNo) -> bool {
        self.pv == pv && matches!(self.devices.as_slice(), [(only, _)] if *only == no)
    }

    pub(super) fn warning(&self, file: &Path) -> String {
        let entry = format!("'{}', line {}: PV {}", file.display(), self.line, self.pv);
        match self.devices.as_slice() {
            [(_, path)] => format!(
                "{entry} is at '{}' now, and is used there; lvm2's next command, or 'lvmdevices --update', writes it \
                 down",
                path.display()
            ),
            several => {
                let paths: Vec<String> =
                    several.iter().map(|(_, path)| format!("'{}'", path.display())).collect();
                format!(
                    "{entry} is on several devices, {}: none of them is used; 'lvmdevices' says which one it is",
                    paths.join(", ")
                )
            }
        }
    }
}
