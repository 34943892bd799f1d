//! The checksum of what goes through.

use sha2::{Digest, Sha256};

use super::{ZEROS, in_memory};

/// A checksum that is made as the stream goes by, if it is wanted.
pub(super) struct Checksum(Option<Sha256>);

impl Checksum {
    pub(super) fn new(wanted: bool) -> Self {
        Self(wanted.then(Sha256::new))
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        if let Some(sum) = &mut self.0 {
            sum.update(bytes);
        }
    }

    pub(super) fn add_zeros(&mut self, mut count: u64) {
        let Some(sum) = &mut self.0 else { return };
        while count > 0 {
            let part = ZEROS.len().min(in_memory(count));
            sum.update(&ZEROS[..part]);
            count -= super::on_device(part);
        }
    }

    /// In hexadecimal digits.
    pub(super) fn digits(self) -> Option<String> {
        self.0.map(|sum| sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
