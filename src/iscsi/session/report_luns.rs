//! Asking a target which LUNs it shows. Source: SPC-4 section 6.33 (REPORT LUNS), SAM-5 section 4.7 (LUN formats).

use std::collections::BTreeSet;
use std::fs::File;
use std::time::Duration;

use sys::scsi::{self, ScsiError};

/// `REPORT LUNS`.
const REPORT_LUNS: u8 = 0xa0;

/// Room for 4095 LUNs behind the header: more than any target shows to one initiator.
const ANSWER_LEN: u32 = 32 << 10;

/// Bytes in front of the list.
const HEADER_LEN: usize = 8;

/// Asks through any device of the target.
///
/// # Errors
/// If the target does not answer.
pub fn reported_luns(device: &File, limit: Duration) -> Result<BTreeSet<u64>, ScsiError> {
    let [a, b, c, d] = ANSWER_LEN.to_be_bytes();
    let command = [REPORT_LUNS, 0, 0, 0, 0, 0, a, b, c, d, 0, 0];
    let mut answer = vec![0; ANSWER_LEN as usize];
    let length = scsi::read(device, &command, &mut answer, limit)?;
    Ok(parse(answer.get(..length).unwrap_or_default()))
}

/// The LUNs in an answer, as the kernel numbers them.
fn parse(answer: &[u8]) -> BTreeSet<u64> {
    let Some((header, list)) = answer.split_first_chunk::<HEADER_LEN>() else { return BTreeSet::new() };
    let [a, b, c, d, ..] = *header;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    let list = list.get(..length).unwrap_or(list);
    list.as_chunks::<8>().0.iter().map(|lun| number(*lun)).collect()
}

/// The kernel's number of a LUN: its four 16-bit levels, the first one lowest.
/// Source: Linux `drivers/scsi/scsi_common.c` (`scsilun_to_int`).
fn number(lun: [u8; 8]) -> u64 {
    let [a, b, c, d, e, f, g, h] = lun;
    u64::from_be_bytes([g, h, e, f, c, d, a, b])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luns_are_numbered_as_the_kernel_does() {
        let mut answer = vec![0, 0, 0, 32, 0, 0, 0, 0];
        for lun in [[0, 0], [0, 5], [0x41, 0x00], [0xc1, 0x01]] {
            answer.extend([lun[0], lun[1], 0, 0, 0, 0, 0, 0]);
        }
        // Flat addressing keeps its mark; so does the well-known LUN.
        assert_eq!(parse(&answer).into_iter().collect::<Vec<_>>(), [0, 5, 0x4100, 0xc101]);
        assert_eq!(number([0, 1, 0, 2, 0, 0, 0, 0]), 1 | 2 << 16);
    }

    #[test]
    fn an_answer_that_is_cut_off_or_lies_is_read_as_far_as_it_goes() {
        assert!(parse(&[]).is_empty() && parse(&[0xff; 7]).is_empty());
        assert_eq!(parse(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 2]).len(), 1);
        assert!(parse(&[0, 0, 0, 4, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0]).is_empty());
    }
}
