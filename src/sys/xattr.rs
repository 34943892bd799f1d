//! Extended attributes of open files.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// The most that the kernel gives for a list of names or for a value. Source: Linux `include/uapi/linux/limits.h`
/// (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const LARGEST_BYTES: usize = 65_536;

/// All attributes with their values; none on a file system that has none. One that is gone when it is read is left out.
///
/// # Errors
/// If they cannot be read.
pub fn all(file: BorrowedFd<'_>) -> io::Result<Vec<(CString, Vec<u8>)>> {
    let mut names = vec![0_u8; LARGEST_BYTES];
    // SAFETY: the buffer is as long as is said, and lives until the call returns.
    let length = unsafe { libc::flistxattr(file.as_raw_fd(), names.as_mut_ptr().cast(), names.len()) };
    let Ok(length) = usize::try_from(length) else {
        let error = io::Error::last_os_error();
        return if has_none(&error) { Ok(vec![]) } else { Err(error) };
    };
    names.truncate(length);
    let mut all = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = CString::new(name)?;
        if let Some(value) = get(file, &name)? {
            all.push((name, value));
        }
    }
    Ok(all)
}

/// The value of an attribute, if it is there.
///
/// # Errors
/// If it cannot be read.
pub fn get(file: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0_u8; LARGEST_BYTES];
    // SAFETY: the name ends with a zero, the buffer is as long as is said, and both live until the call returns.
    let length =
        unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    match usize::try_from(length) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(_) => match io::Error::last_os_error() {
            error if has_none(&error) || error.raw_os_error() == Some(libc::ENODATA) => Ok(None),
            error => Err(error),
        },
    }
}

/// Sets an attribute.
///
/// # Errors
/// If it cannot be set.
pub fn set(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> io::Result<()> {
    let data = if value.is_empty() { ptr::null() } else { value.as_ptr() };
    // SAFETY: the name ends with a zero, the value is as long as is said, and both live until the call returns.
    let result = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), data.cast(), value.len(), 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether the file system has no attributes.
fn has_none(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTSUP | libc::ENOSYS))
}
