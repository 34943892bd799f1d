//! The answer to `DM_LIST_DEVICES`. Source: Linux `drivers/md/dm-ioctl.c` (`list_devices`), `struct
//! dm_name_list`.

use devicemapper_sys::{DM_NAME_LIST_FLAG_DOESNT_HAVE_UUID, DM_NAME_LIST_FLAG_HAS_UUID};

use super::{Listed, ListedUuid};

/// Bytes of an entry before its name: the number and the distance to the next entry.
const NAME_AT: usize = 12;

/// Reads the entries; `None` if they make no sense. `events`: whether each name is followed by an event
/// number.
pub(super) fn parse(mut entries: &[u8], events: bool) -> Option<Vec<Listed>> {
    let mut found = Vec::new();
    // An entry with number 0 stands for "no device at all".
    while !entries.is_empty() && u64_at(entries, 0)? != 0 {
        let next = usize::try_from(u32_at(entries, 8)?).ok()?;
        let (name, after_name) = c_string(entries, NAME_AT)?;
        let (mut event_nr, mut uuid) = (0, ListedUuid::Unknown);
        if events {
            let at = aligned(after_name)?;
            event_nr = u32_at(entries, at)?;
            let flags = u32_at(entries, at.checked_add(4)?)?;
            if flags & DM_NAME_LIST_FLAG_HAS_UUID != 0 {
                uuid = ListedUuid::Is(c_string(entries, aligned(at.checked_add(8)?)?)?.0);
            } else if flags & DM_NAME_LIST_FLAG_DOESNT_HAVE_UUID != 0 {
                uuid = ListedUuid::None;
            }
        }
        found.push(Listed { name, dev: u64_at(entries, 0)?, event_nr, uuid });
        // `next` of zero ends the list; any other moves on, so the loop ends.
        entries = if next == 0 { &[] } else { entries.get(next..)? };
    }
    Some(found)
}

/// Names, event numbers and uuids start at multiples of eight bytes.
fn aligned(offset: usize) -> Option<usize> {
    offset.checked_next_multiple_of(8)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    // The kernel and this process share one byte order.
    #[expect(clippy::host_endian_bytes)]
    Some(u64::from_ne_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    #[expect(clippy::host_endian_bytes)]
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The bytes from `at` up to a NUL, and the offset after it.
fn c_string(bytes: &[u8], at: usize) -> Option<(Vec<u8>, usize)> {
    let text = bytes.get(at..)?;
    let length = text.iter().position(|byte| *byte == 0)?;
    Some((text[..length].to_vec(), at.checked_add(length)?.checked_add(1)?))
}

#[cfg(test)]
mod tests;
