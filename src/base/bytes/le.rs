//! Little-endian fields at an offset. Every access is checked: offsets may come from a damaged disk.

use thiserror::Error;

/// A field that reaches past the end of its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a field of {length} bytes at offset {offset} reaches past the end of a buffer of {buffer} bytes")]
pub struct OutOfBounds {
    /// Where the field starts, in bytes.
    pub offset: usize,
    /// The field's length in bytes.
    pub length: usize,
    /// The buffer's length in bytes.
    pub buffer: usize,
}

/// `length` bytes of `buf` from `offset` on.
///
/// # Errors
/// If they are not all in `buf`.
pub fn slice(buf: &[u8], offset: usize, length: usize) -> Result<&[u8], OutOfBounds> {
    let error = OutOfBounds { offset, length, buffer: buf.len() };
    let end = offset.checked_add(length).ok_or(error)?;
    buf.get(offset..end).ok_or(error)
}

/// `length` bytes of `buf` from `offset` on, to be changed.
///
/// # Errors
/// If they are not all in `buf`.
pub fn slice_mut(buf: &mut [u8], offset: usize, length: usize) -> Result<&mut [u8], OutOfBounds> {
    let error = OutOfBounds { offset, length, buffer: buf.len() };
    let end = offset.checked_add(length).ok_or(error)?;
    buf.get_mut(offset..end).ok_or(error)
}

/// `N` bytes of `buf` from `offset` on, as an array.
///
/// # Errors
/// If they are not all in `buf`.
pub fn array<const N: usize>(buf: &[u8], offset: usize) -> Result<[u8; N], OutOfBounds> {
    let error = OutOfBounds { offset, length: N, buffer: buf.len() };
    slice(buf, offset, N)?.try_into().map_err(|_| error)
}

/// The `u32` at `offset`.
///
/// # Errors
/// If it is not all in `buf`.
pub fn u32(buf: &[u8], offset: usize) -> Result<u32, OutOfBounds> {
    array(buf, offset).map(u32::from_le_bytes)
}

/// The `u64` at `offset`.
///
/// # Errors
/// If it is not all in `buf`.
pub fn u64(buf: &[u8], offset: usize) -> Result<u64, OutOfBounds> {
    array(buf, offset).map(u64::from_le_bytes)
}

/// Writes a `u32` at `offset`.
///
/// # Errors
/// If there is no room for it in `buf`.
pub fn put_u32(buf: &mut [u8], offset: usize, value: u32) -> Result<(), OutOfBounds> {
    slice_mut(buf, offset, 4).map(|field| field.copy_from_slice(&value.to_le_bytes()))
}

/// Writes a `u64` at `offset`.
///
/// # Errors
/// If there is no room for it in `buf`.
pub fn put_u64(buf: &mut [u8], offset: usize, value: u64) -> Result<(), OutOfBounds> {
    slice_mut(buf, offset, 8).map(|field| field.copy_from_slice(&value.to_le_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    #[test]
    fn fields_come_back_and_ends_are_kept() {
        let mut buf = [0; 13];
        super::put_u64(&mut buf, 5, 0x0102_0304_0506_0708).unwrap();
        assert_eq!(super::u64(&buf, 5), Ok(0x0102_0304_0506_0708));
        assert_eq!(buf[5], 8, "the lowest byte comes first");
        assert_eq!(super::u32(&buf, 9), Ok(0x0102_0304));
        let error = super::u32(&buf, 10).unwrap_err();
        assert_eq!((error.offset, error.length, error.buffer), (10, 4, 13));
        assert!(super::put_u32(&mut buf, 10, 1).is_err());
        assert!(super::slice(&buf, usize::MAX, 2).is_err());
    }

    proptest! {
        #[test]
        fn any_offset_is_an_answer_or_an_error(buf in any::<Vec<u8>>(), offset: usize) {
            let fits = offset.checked_add(8).is_some_and(|end| end <= buf.len());
            assert_eq!(super::u64(&buf, offset).is_ok(), fits);
        }
    }
}
