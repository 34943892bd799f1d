//! Fields of a section, as the values they stand for.

use crate::format::text::{FieldError, Section};
use base::ids::{IdError, LvName, LvmUuid};
use base::units::Extents;

/// The 32 bits that lvm2 keeps most counts in.
pub(super) fn u32_of(section: Section<'_>, key: &str) -> Result<u32, FieldError> {
    let number = section.u64(key)?;
    u32::try_from(number).map_err(|_| section.error(key, format!("{number} needs more than 32 bits")))
}

/// A count of extents.
pub(super) fn extents(section: Section<'_>, key: &str) -> Result<Extents, FieldError> {
    u32_of(section, key).map(|count| Extents::new(u64::from(count)))
}

/// A uuid in a field.
pub(super) fn parsed(section: Section<'_>, key: &str) -> Result<LvmUuid, FieldError> {
    section.str(key)?.parse().map_err(|error: IdError| section.error(key, error.to_string()))
}

/// The name of an LV in a field.
pub(super) fn lv_name(section: Section<'_>, key: &str) -> Result<LvName, FieldError> {
    LvName::new(&section.str(key)?).map_err(|error| section.error(key, error.to_string()))
}

/// The name of an LV in a field that may be missing.
pub(super) fn opt_lv_name(section: Section<'_>, key: &str) -> Result<Option<LvName>, FieldError> {
    section.find(key).map(|_| lv_name(section, key)).transpose()
}
