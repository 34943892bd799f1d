//! Asking a target which LUNs it shows. Source: SPC-4 section 6.33 (REPORT LUNS), SAM-5 section 4.7 (LUN formats).

use std::collections::BTreeSet;
use std::fs::File;
use std::time::Duration;

use thiserror::Error;

use sys::scsi::{self, ScsiError};

/// `REPORT LUNS`.
const REPORT_LUNS: u8 = 0xa0;

/// Room for 4095 LUNs behind the header: more than most targets show to one initiator.
const ROOM: usize = 32 << 10;

/// Room for 65536 LUNs: no kernel keeps as many of one target.
const MOST_ROOM: usize = HEADER_LEN + (65_536 << 3);

/// Bytes in front of the list.
const HEADER_LEN: usize = 8;

/// Why it is not known which LUNs a target shows.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The command.
    #[error(transparent)]
    Scsi(#[from] ScsiError),
    /// A list of which a part is missing: the LUNs in that would be taken for gone.
    #[error("the target lists LUNs in {whole} bytes, and {got} came")]
    Incomplete {
        /// What the target says the answer has.
        whole: usize,
        /// What came of it.
        got: usize,
    },
}

/// Asks through any device of the target.
///
/// # Errors
/// If the target does not answer, or not with all of it.
pub fn reported_luns(device: &File, limit: Duration) -> Result<BTreeSet<u64>, ReportError> {
    ask(|command, answer| scsi::read(device, command, answer, limit))
}

/// Asks, and once more with room for all of it if it is more than was thought.
fn ask(
    mut read: impl FnMut(&[u8; 12], &mut [u8]) -> Result<usize, ScsiError>,
) -> Result<BTreeSet<u64>, ReportError> {
    let mut room = ROOM;
    loop {
        let [a, b, c, d] = u32::try_from(room).unwrap_or(u32::MAX).to_be_bytes();
        let command = [REPORT_LUNS, 0, 0, 0, 0, 0, a, b, c, d, 0, 0];
        let mut answer = vec![0; room];
        let length = read(&command, &mut answer)?;
        match parse(answer.get(..length).unwrap_or_default()) {
            Err(ReportError::Incomplete { whole, .. }) if whole > room && whole <= MOST_ROOM => room = whole,
            result => return result,
        }
    }
}

/// The LUNs in an answer, as the kernel numbers them.
fn parse(answer: &[u8]) -> Result<BTreeSet<u64>, ReportError> {
    let got = answer.len();
    let Some((header, list)) = answer.split_first_chunk::<HEADER_LEN>() else {
        return Err(ReportError::Incomplete { whole: HEADER_LEN, got });
    };
    let [a, b, c, d, ..] = *header;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    let whole = length.saturating_add(HEADER_LEN);
    let list = list.get(..length).ok_or(ReportError::Incomplete { whole, got })?;
    Ok(list.as_chunks::<8>().0.iter().map(|lun| number(*lun)).collect())
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
        assert_eq!(parse(&answer).unwrap().into_iter().collect::<Vec<_>>(), [0, 5, 0x4100, 0xc101]);
        assert_eq!(number([0, 1, 0, 2, 0, 0, 0, 0]), 1 | 2 << 16);
    }

    #[test]
    fn an_answer_that_is_cut_off_or_lies_is_none() {
        for answer in
            [&[][..], &[0xff; 7], &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 2]]
        {
            assert!(matches!(parse(answer), Err(ReportError::Incomplete { .. })), "{answer:?}");
        }
        let part = parse(&[0, 0, 0, 4, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0]);
        assert!(part.unwrap().is_empty(), "half a LUN is none");
        assert!(parse(&[0; 8]).unwrap().is_empty());
    }

    /// A target that shows so many LUNs.
    fn target(luns: u16) -> impl FnMut(&[u8; 12], &mut [u8]) -> Result<usize, ScsiError> {
        move |command, answer| {
            assert_eq!(command[6..10], u32::try_from(answer.len()).unwrap().to_be_bytes());
            let mut whole = (u32::from(luns) << 3).to_be_bytes().to_vec();
            whole.extend([0; 4]);
            whole.extend((0..luns).flat_map(|lun| u64::from(lun).rotate_right(16).to_be_bytes()));
            let length = whole.len().min(answer.len());
            answer[..length].copy_from_slice(&whole[..length]);
            Ok(length)
        }
    }

    #[test]
    fn a_list_that_is_longer_than_was_thought_is_read_whole() {
        for luns in [0, 1, 4095, 4096, 20_000] {
            let found = ask(target(luns)).unwrap();
            assert_eq!(found, (0..u64::from(luns)).collect(), "{luns}");
        }
        let endless = |_: &[u8; 12], answer: &mut [u8]| {
            answer[..4].copy_from_slice(&[0xff; 4]);
            Ok(answer.len())
        };
        assert!(matches!(ask(endless), Err(ReportError::Incomplete { .. })));
    }
}
