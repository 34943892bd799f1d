//! Bytes that several hold at once.

use std::ops::Deref;
use std::sync::Arc;

/// Bytes that are read by many and written by none. Made of a vector without a copy: a text of thousands of volumes
/// takes megabytes.
#[derive(Clone, Default)]
pub struct SharedBytes {
    /// What is behind the length are zeros.
    bytes: Arc<Vec<u8>>,
    length: usize,
}

impl SharedBytes {
    /// A vector that has room up to a multiple of this many bytes has zeros there, which [`Self::padded`] shows.
    pub const BLOCK: usize = 4096;

    /// Whether both are the very same bytes, not only equal ones.
    pub fn is_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bytes, &other.bytes) && self.length == other.length
    }

    /// The same with zeros behind it up to a multiple of `block`. No copy, if there was room for them.
    ///
    /// # Panics
    /// If `block` is zero.
    #[must_use]
    pub fn padded(&self, block: usize) -> Self {
        let length = self.length.next_multiple_of(block);
        if length <= self.bytes.len() {
            return Self { bytes: Arc::clone(&self.bytes), length };
        }
        let mut copy = Vec::with_capacity(length);
        copy.extend_from_slice(self);
        copy.resize(length, 0);
        copy.into()
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for SharedBytes {
    fn eq(&self, other: &Self) -> bool {
        self.is_the_same(other) || **self == **other
    }
}

impl Eq for SharedBytes {}

impl std::fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

impl From<Vec<u8>> for SharedBytes {
    fn from(mut bytes: Vec<u8>) -> Self {
        let length = bytes.len();
        let whole = length.next_multiple_of(Self::BLOCK);
        if whole <= bytes.capacity() {
            bytes.resize(whole, 0);
        }
        Self { bytes: Arc::new(bytes), length }
    }
}

impl From<&[u8]> for SharedBytes {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_padded_is_the_same_with_zeros_behind_it() {
        for capacity in [3, 4095, 4096, 10_000] {
            let mut bytes = Vec::with_capacity(capacity);
            bytes.extend_from_slice(b"abc");
            let text = SharedBytes::from(bytes);
            assert_eq!(*text, *b"abc");
            assert_eq!(text, SharedBytes::from(b"abc".as_slice()));
            for (block, length) in [(1, 3), (2, 4), (512, 512), (4096, 4096), (8192, 8192)] {
                let padded = text.padded(block);
                assert_eq!((padded.len(), &padded[..3]), (length, b"abc".as_slice()), "{capacity}, {block}");
                assert!(padded[3..].iter().all(|byte| *byte == 0));
                assert_eq!(padded.is_the_same(&text), length == 3);
            }
            assert_ne!(text.padded(4), text);
        }
        assert_eq!(*SharedBytes::default().padded(4096), *b"");
    }
}
