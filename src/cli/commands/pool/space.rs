//! Sizes and places of pools, as they are written.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::errors::CliError;
use base::error_kind::ErrorKind;
use base::ids::DevNo;
use base::units::size::Unit;
use thin::changes::size::size;
use thin::request::Space;

/// What a share of the free extents is written with.
const OF_FREE: &str = "%FREE";

/// Reads a size, how much more, or a share of what is free.
///
/// # Errors
/// If it is none of them.
pub fn space(text: &str) -> Result<Space, CliError> {
    let (by, rest) = text.strip_prefix('+').map_or((false, text), |rest| (true, rest));
    let upper = rest.to_ascii_uppercase();
    if let Some(percent) = upper.strip_suffix(OF_FREE) {
        let percent = percent.parse().ok().filter(|percent| (1..=100).contains(percent));
        return percent.map(Space::FreePercent).ok_or_else(|| {
            CliError::usage(format!("'{text}' is no share of what is free"))
                .hint("write 50%FREE, or another number from 1 to 100")
        });
    }
    let size = size(rest, Unit::Kibi)?;
    Ok(if by { Space::By(size) } else { Space::To(size) })
}

/// The numbers of block devices.
///
/// # Errors
/// If one of them is no block device.
pub fn devices(paths: &[PathBuf]) -> Result<Vec<DevNo>, CliError> {
    paths.iter().map(|path| device(path)).collect()
}

fn device(path: &Path) -> Result<DevNo, CliError> {
    let shown = path.display();
    let metadata = std::fs::metadata(path).map_err(|error| {
        CliError::new(ErrorKind::NotFound, format!("device '{shown}' cannot be found"))
            .caused_by(Some(&error))
    })?;
    let number = metadata.file_type().is_block_device().then(|| metadata.rdev());
    let number = number.and_then(|rdev| {
        let part = |part: u64| u32::try_from(part).ok();
        Some(DevNo { major: part(nix::sys::stat::major(rdev))?, minor: part(nix::sys::stat::minor(rdev))? })
    });
    number.ok_or_else(|| CliError::usage(format!("'{shown}' is no block device")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::units::Sectors;

    #[test]
    fn sizes_are_read_as_elsewhere_and_shares_besides() {
        let gib = Sectors::new(2 << 20);
        assert_eq!(space("1G").unwrap(), Space::To(gib));
        assert_eq!(space("+1G").unwrap(), Space::By(gib));
        assert_eq!(space("1048576").unwrap(), Space::To(gib));
        for share in ["50%FREE", "+50%free"] {
            assert_eq!(space(share).unwrap(), Space::FreePercent(50));
        }
        for wrong in ["0%FREE", "101%FREE", "%FREE", "50%", "much", ""] {
            assert_eq!(space(wrong).unwrap_err().code, ErrorKind::Usage, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_block_device_is_refused() {
        assert_eq!(devices(&["/dev/null".into()]).unwrap_err().code, ErrorKind::Usage);
        assert_eq!(devices(&["/nowhere".into()]).unwrap_err().code, ErrorKind::NotFound);
    }
}
