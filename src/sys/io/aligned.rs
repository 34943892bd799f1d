//! Memory that direct I/O accepts.

/// Alignment of the address that every block device accepts: a page, as the buffers of the page cache have.
const ALIGN: usize = 4096;

/// A buffer whose first byte is at an address that direct I/O accepts.
#[derive(Debug)]
pub struct AlignedBuf {
    /// Longer than asked for, so that an aligned part of it is long enough. Never grows, so it never moves.
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

/// Whether direct I/O accepts memory at this address.
pub fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().align_offset(ALIGN) == 0
}

impl AlignedBuf {
    /// `len` zeros.
    pub fn new(len: usize) -> Self {
        let bytes = vec![0; len + ALIGN];
        let start = bytes.as_ptr().align_offset(ALIGN);
        // `align_offset` may answer `usize::MAX` where it does not know, which no target of ours does.
        assert!(start < ALIGN, "the address of a byte can be aligned");
        Self { bytes, start, len }
    }

    /// Its first `len` bytes.
    ///
    /// # Panics
    /// If it has fewer.
    pub fn first_mut(&mut self, len: usize) -> &mut [u8] {
        assert!(len <= self.len, "{len} bytes of a buffer of {}", self.len);
        &mut self.bytes[self.start..self.start + len]
    }

    /// Its first `len` bytes.
    ///
    /// # Panics
    /// If it has fewer.
    pub fn first(&self, len: usize) -> &[u8] {
        assert!(len <= self.len, "{len} bytes of a buffer of {}", self.len);
        &self.bytes[self.start..self.start + len]
    }
}
