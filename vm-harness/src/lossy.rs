//! A disk with a write cache that a power cut empties: writes since the last flush are kept or lost, sector by sector,
//! in any order. The choice is drawn from a seed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The unit of a disk's writes in bytes: a sector is never torn.
pub const SECTOR: u64 = 512;

const SECTOR_LEN: usize = 512;

/// One version of a sector: the number of the write that made it, and its content.
type Version = (u64, [u8; SECTOR_LEN]);

/// Unflushed writes.
#[derive(Default)]
struct Cache {
    /// How many writes there were.
    writes: u64,
    /// The versions of each sector, newer ones later.
    sectors: BTreeMap<u64, Vec<Version>>,
}

/// The disk. What is durable is in a file.
pub struct LossyDisk {
    durable: File,
    size: u64,
    cache: Mutex<Cache>,
}

/// What a cut left of what was not flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Sectors of which some version is there.
    pub kept: usize,
    /// Sectors that are as the last flush left them.
    pub lost: usize,
}

/// Which unflushed sectors a cut leaves.
enum Leaves {
    /// Of each any version, whatever the others are.
    Any,
    /// Whole writes, each there or not: bit `n` for write `n` modulo 64.
    Writes(u64),
    /// Whatever was written before this one.
    Before(u64),
}

impl LossyDisk {
    /// A disk of that size, in bytes, that keeps what is durable in `file`.
    ///
    /// # Errors
    /// If the file cannot be made as long.
    pub fn new(file: File, size: u64) -> io::Result<Self> {
        file.set_len(size)?;
        Ok(Self { durable: file, size, cache: Mutex::default() })
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // What a thread that panicked wrote is as good as any other write.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sectors of a range of whole ones that is on the disk.
    fn sectors(&self, offset: u64, length: u64) -> io::Result<std::ops::Range<u64>> {
        let end = offset.checked_add(length).filter(|end| *end <= self.size);
        match end {
            Some(end) if offset.is_multiple_of(SECTOR) && end.is_multiple_of(SECTOR) => {
                Ok(offset / SECTOR..end / SECTOR)
            }
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Reads whole sectors, flushed or not.
    ///
    /// # Errors
    /// If the range is not of whole sectors of the disk, or the file cannot be read.
    pub fn read(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let sectors = self.sectors(offset, length_of(buf)?)?;
        self.durable.read_exact_at(buf, offset)?;
        let cache = self.cache();
        for (sector, versions) in cache.sectors.range(sectors.clone()) {
            let at = usize::try_from(sector - sectors.start).map_err(io::Error::other)? * SECTOR_LEN;
            if let Some((_, content)) = versions.last() {
                buf[at..at + SECTOR_LEN].copy_from_slice(content);
            }
        }
        Ok(())
    }

    /// Writes whole sectors; they are durable after the next flush.
    ///
    /// # Errors
    /// If the range is not of whole sectors of the disk.
    pub fn write(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let sectors = self.sectors(offset, length_of(buf)?)?;
        let mut cache = self.cache();
        let write = cache.writes;
        cache.writes += 1;
        let (contents, _) = buf.as_chunks::<SECTOR_LEN>();
        for (sector, content) in sectors.zip(contents) {
            cache.sectors.entry(sector).or_default().push((write, *content));
        }
        Ok(())
    }

    /// Makes all that was written durable.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn flush(&self) -> io::Result<()> {
        let mut cache = self.cache();
        self.settle(std::mem::take(&mut cache.sectors), |versions| versions.last())
    }

    /// Makes these sectors durable, and no others: a write that is not to be cached (FUA).
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn flush_range(&self, offset: u64, length: u64) -> io::Result<()> {
        let sectors = self.sectors(offset, length)?;
        let mut cache = self.cache();
        let mut within = cache.sectors.split_off(&sectors.start);
        let mut after = within.split_off(&sectors.end);
        cache.sectors.append(&mut after);
        self.settle(within, |versions| versions.last())
    }

    /// Whether something was written and not flushed.
    pub fn is_dirty(&self) -> bool {
        !self.cache().sectors.is_empty()
    }

    /// Cuts the power: what was not flushed is there or not, as drawn from `seed`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn cut(&self, seed: u64) -> io::Result<Cut> {
        let mut cache = self.cache();
        let mut random = SplitMix(seed);
        let leaves = match random.below(6) {
            0..=2 => Leaves::Any,
            3..=4 => Leaves::Writes(random.next()),
            _ => Leaves::Before(random.below(cache.writes + 1)),
        };
        let sectors = std::mem::take(&mut cache.sectors);
        let all = sectors.len();
        let mut kept = 0;
        self.settle(sectors, |versions| {
            let left = match leaves {
                Leaves::Any => {
                    let any = random.below(u64::try_from(versions.len()).unwrap_or(0) + 1);
                    usize::try_from(any).ok().and_then(|any| versions.get(any.checked_sub(1)?))
                }
                Leaves::Writes(there) => versions.iter().rfind(|(write, _)| there >> (write % 64) & 1 == 1),
                Leaves::Before(end) => versions.iter().rfind(|(write, _)| *write < end),
            };
            kept += usize::from(left.is_some());
            left
        })?;
        Ok(Cut { kept, lost: all - kept })
    }

    /// Writes the version that is chosen of each sector, if one is.
    fn settle(
        &self,
        sectors: BTreeMap<u64, Vec<Version>>,
        mut choose: impl FnMut(&[Version]) -> Option<&Version>,
    ) -> io::Result<()> {
        for (sector, versions) in sectors {
            if let Some((_, content)) = choose(&versions) {
                self.durable.write_all_at(content, sector * SECTOR)?;
            }
        }
        Ok(())
    }
}

fn length_of(buf: &[u8]) -> io::Result<u64> {
    u64::try_from(buf.len()).map_err(io::Error::other)
}

/// Steele's SplitMix64: enough to draw cuts, the same ones for a seed.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn disk(sectors: u64) -> LossyDisk {
        LossyDisk::new(tempfile::tempfile().unwrap(), sectors * SECTOR).unwrap()
    }

    fn bytes(disk: &LossyDisk) -> Vec<u8> {
        let mut all = vec![0; usize::try_from(disk.size()).unwrap()];
        disk.read(0, &mut all).unwrap();
        all.chunks(SECTOR_LEN).map(|sector| sector[0]).collect()
    }

    #[test]
    fn what_was_flushed_is_there_after_any_cut() {
        for seed in 0..50 {
            let disk = disk(4);
            disk.write(0, &[1; 2 * SECTOR_LEN]).unwrap();
            assert_eq!(bytes(&disk), [1, 1, 0, 0], "reads see the cache");
            assert!(disk.is_dirty());
            disk.flush().unwrap();
            assert!(!disk.is_dirty());
            disk.write(2 * SECTOR, &[2; SECTOR_LEN]).unwrap();
            disk.flush_range(2 * SECTOR, SECTOR).unwrap();
            assert_eq!(disk.cut(seed).unwrap(), Cut { kept: 0, lost: 0 });
            assert_eq!(bytes(&disk), [1, 1, 2, 0]);
        }
    }

    #[test]
    fn what_was_not_flushed_comes_in_any_combination_of_versions() {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let disk = disk(2);
            disk.write(0, &[1; 2 * SECTOR_LEN]).unwrap();
            disk.write(SECTOR, &[2; SECTOR_LEN]).unwrap();
            let cut = disk.cut(seed).unwrap();
            assert_eq!(cut.kept + cut.lost, 2);
            seen.insert(bytes(&disk));
            let left = bytes(&disk);
            disk.cut(seed + 1).unwrap();
            assert_eq!(bytes(&disk), left, "a second cut finds nothing to take");
        }
        let all: BTreeSet<Vec<u8>> = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]].map(Vec::from).into();
        assert_eq!(seen, all);
    }

    #[test]
    fn a_seed_is_one_cut() {
        let left = || {
            let disk = disk(64);
            (0..64).for_each(|sector| disk.write(sector * SECTOR, &[7; SECTOR_LEN]).unwrap());
            disk.cut(9).unwrap();
            bytes(&disk)
        };
        assert_eq!(left(), left());
    }

    #[test]
    fn what_is_not_of_whole_sectors_of_the_disk_is_refused() {
        let disk = disk(2);
        for (offset, length) in
            [(0, 100), (100, SECTOR_LEN), (SECTOR, 2 * SECTOR_LEN), (u64::MAX, SECTOR_LEN)]
        {
            assert!(
                disk.write(offset, &vec![0; length]).is_err()
                    && disk.read(offset, &mut vec![0; length]).is_err()
            );
        }
    }
}
