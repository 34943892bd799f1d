//! What dm-log-writes recorded. Source: Linux `drivers/md/dm-log-writes.c`, and its description in
//! `Documentation/admin-guide/device-mapper/log-writes.rst`: writes that completed come before the flush that was sent
//! after them, and what is not to be cached (FUA) comes as it completes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Result, ensure};
use vm_harness::lossy::LossyDisk;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;
const SECTOR: u64 = 512;

/// One write, discard, mark or flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    sector: u64,
    sectors: u64,
    flags: u64,
    /// Where its data is in the log.
    data_at: u64,
}

/// Whether what completed before this is durable after it.
pub fn is_flush(entry: &Entry) -> bool {
    entry.flags & FLUSH != 0
}

/// Whether somebody made a mark here.
pub fn is_mark(entry: &Entry) -> bool {
    entry.flags & MARK != 0
}

/// A log.
pub struct WriteLog {
    file: File,
    /// What was recorded, in the order of the log.
    pub entries: Vec<Entry>,
}

impl WriteLog {
    /// Reads a log. Entries and data are padded to sectors.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(log: &Path) -> Result<Self> {
        let file = File::open(log)?;
        let [magic, _version, count, sector_size] = numbers(&file, 0)?;
        ensure!(magic == MAGIC, "no log: its magic is {magic:x}");
        // The size is the lower half of the last field.
        let sector_size = sector_size & 0xffff_ffff;
        let mut at = sector_size;
        let mut entries = Vec::new();
        for _ in 0..count {
            let [sector, sectors, flags, data_len] = numbers(&file, at)?;
            let data_at = at + sector_size;
            entries.push(Entry { sector, sectors, flags, data_at });
            let has_data = flags & (DISCARD | MARK) == 0;
            let data = if has_data { sectors * SECTOR } else { 0 };
            // A mark's words share its own sector.
            ensure!(flags & MARK == 0 || data_len < sector_size, "a mark that is too long");
            at = data_at + data.next_multiple_of(sector_size);
        }
        Ok(Self { file, entries })
    }

    /// Writes to a disk what the first `count` entries wrote, and flushes where they flushed.
    ///
    /// # Errors
    /// If the log cannot be read, or the disk is smaller.
    pub fn put(&self, count: usize, disk: &LossyDisk) -> Result<()> {
        for entry in self.entries.iter().take(count).filter(|entry| !is_mark(entry)) {
            if is_flush(entry) {
                disk.flush()?;
            }
            let (at, bytes) = (entry.sector * SECTOR, entry.sectors * SECTOR);
            let mut data = vec![0; usize::try_from(bytes)?];
            if entry.flags & DISCARD == 0 {
                self.file.read_exact_at(&mut data, entry.data_at)?;
            }
            disk.write(at, &data)?;
            if entry.flags & FUA != 0 {
                disk.flush_range(at, bytes)?;
            }
        }
        Ok(())
    }
}

fn numbers(file: &File, at: u64) -> Result<[u64; 4]> {
    let mut bytes = [[0; 8]; 4];
    file.read_exact_at(bytes.as_flattened_mut(), at)?;
    Ok(bytes.map(u64::from_le_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of a superblock and these entries, with a sector of its number as data for each that has some.
    fn log(entries: &[(u64, u64)]) -> Vec<u8> {
        let sector = |numbers: [u64; 4]| {
            let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            bytes.resize(512, 0);
            bytes
        };
        let mut log = sector([MAGIC, 1, entries.len() as u64, SECTOR]);
        for (number, (at, flags)) in entries.iter().enumerate() {
            let sectors = u64::from(flags & (FLUSH | MARK) == 0 || flags & FUA != 0);
            log.extend(sector([*at, sectors, *flags, 0]));
            if sectors > 0 && flags & (DISCARD | MARK) == 0 {
                log.extend([u8::try_from(number + 1).unwrap(); 512]);
            }
        }
        log
    }

    fn left(entries: &[(u64, u64)], seed: u64) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, log(entries)).unwrap();
        let log = WriteLog::read(&path).unwrap();
        assert_eq!(log.entries.len(), entries.len());
        let disk = LossyDisk::new(tempfile::tempfile().unwrap(), 4 * SECTOR).unwrap();
        log.put(entries.len(), &disk).unwrap();
        disk.cut(seed).unwrap();
        let mut bytes = vec![0; 4 * 512];
        disk.read(0, &mut bytes).unwrap();
        bytes.chunks(512).map(|sector| sector[0]).collect()
    }

    #[test]
    fn what_was_flushed_or_not_cached_is_there_and_the_rest_in_any_combination() {
        let entries = [(0, 0), (1, 0), (0, FLUSH), (0, 0), (2, 0), (0, MARK), (3, FUA)];
        let all: std::collections::BTreeSet<Vec<u8>> = (0..200).map(|seed| left(&entries, seed)).collect();
        let expected = [[1, 2, 0, 7], [4, 2, 0, 7], [1, 2, 5, 7], [4, 2, 5, 7]].map(Vec::from);
        assert_eq!(all, expected.into());
        // A flush with data flushes first, and what is discarded reads as zeros.
        let entries = [(0, 0), (1, FLUSH | FUA), (0, DISCARD), (2, FLUSH)];
        assert_eq!(left(&entries, 3), [0, 2, 0, 0]);
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [1; 512]).unwrap();
        assert!(WriteLog::read(file.path()).is_err());
        std::fs::write(file.path(), [1; 20]).unwrap();
        assert!(WriteLog::read(file.path()).is_err());
    }
}
