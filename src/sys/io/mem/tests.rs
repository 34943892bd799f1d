use std::collections::BTreeSet;

use super::crash::{EXHAUSTIVE, SAMPLES, crash_images};
use super::disk::{Logged, MemDisk, Timeline};
use super::fault::{Effect, Fault, Operation};
use super::image::Image;
use crate::io::block::BlockDev;

/// The first byte of each block: the tests write blocks of one byte value.
fn firsts(image: &Image) -> Vec<u8> {
    (0..image.size() / image.block_size()).map(|index| image.block(index)[0]).collect()
}

fn states(disk: &MemDisk, at: usize) -> BTreeSet<Vec<u8>> {
    disk.crash_images(at).map(|image| firsts(&image)).collect()
}

fn set<const N: usize, const L: usize>(expected: [[u8; L]; N]) -> BTreeSet<Vec<u8>> {
    expected.into_iter().map(Vec::from).collect()
}

#[test]
fn what_is_written_is_read() {
    let disk = MemDisk::new("a", 4096, 512);
    disk.write_at(500, &[7; 600]).unwrap();
    let mut buf = [0; 602];
    disk.read_at(499, &mut buf).unwrap();
    assert_eq!((buf[0], buf[1], buf[600], buf[601]), (0, 7, 7, 0));
    assert_eq!(disk.image().to_vec()[499..1101], buf);
    assert_eq!(disk.log(), [(0, Logged::Write { block: 0, blocks: 3 })]);
    assert_eq!(disk.reads(), 1);
    assert!(disk.read_at(4000, &mut buf).is_err() && disk.write_at(u64::MAX, &buf).is_err());
}

#[test]
fn unflushed_blocks_come_in_any_combination_and_flushed_ones_are_there() {
    let disk = MemDisk::new("a", 1536, 512);
    disk.write_at(0, &[1; 1024]).unwrap();
    assert_eq!(states(&disk, 0), set([[0, 0, 0]]));
    assert_eq!(states(&disk, 1), set([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]));
    disk.flush().unwrap();
    assert_eq!(states(&disk, 2), set([[1, 1, 0]]));
    disk.write_at(512, &[2; 512]).unwrap();
    disk.write_at(512, &[3; 1024]).unwrap();
    let all = set([[1, 1, 0], [1, 2, 0], [1, 3, 0], [1, 1, 3], [1, 2, 3], [1, 3, 3]]);
    assert_eq!(states(&disk, 4), all);
    assert_eq!(states(&disk, 1).len(), 4, "the past is still known");
}

#[test]
fn an_unaligned_write_tears_between_blocks_only() {
    let disk = MemDisk::new("a", 8192, 4096);
    disk.write_at(0, &[1; 8192]).unwrap();
    disk.flush().unwrap();
    disk.write_at(4000, &[2; 200]).unwrap();
    let images: BTreeSet<Vec<u8>> = disk.crash_images(3).map(|image| image.to_vec()).collect();
    assert_eq!(images.len(), 4);
    assert!(images.iter().all(|image| image[4000] == image[4095] && image[4096] == image[4199]));
}

#[test]
fn a_failed_write_does_what_its_fault_says() {
    for (effect, expected) in
        [(Effect::Nothing, [0, 0]), (Effect::Blocks(1), [9, 0]), (Effect::Everything, [9, 9])]
    {
        let disk = MemDisk::new("a", 1024, 512);
        disk.inject(Fault { effect, ..Fault::once(Operation::Write, 1) });
        disk.write_at(0, &[0; 512]).unwrap();
        assert_eq!(disk.write_at(0, &[9; 1024]).unwrap_err().raw_os_error(), Some(nix::libc::EIO));
        assert_eq!(firsts(&disk.image()), expected);
        disk.write_at(0, &[8; 512]).unwrap();
    }
}

#[test]
fn lasting_faults_last_until_healed() {
    let disk = MemDisk::new("a", 1024, 512);
    disk.inject(Fault::lasting(Operation::Read, 1));
    let results: Vec<bool> = (0..3).map(|_| disk.read_at(0, &mut [0]).is_ok()).collect();
    assert_eq!(results, [true, false, false]);
    disk.heal();
    disk.read_at(0, &mut [0]).unwrap();
}

#[test]
fn a_failed_flush_leaves_writes_in_doubt_for_good() {
    let disk = MemDisk::new("a", 1024, 512);
    disk.write_at(0, &[1; 512]).unwrap();
    disk.inject(Fault::once(Operation::Flush, 0));
    assert!(disk.flush().is_err());
    disk.write_at(512, &[2; 512]).unwrap();
    disk.flush().unwrap();
    assert_eq!(states(&disk, 4), set([[0, 2], [1, 2]]));
    disk.write_at(0, &[3; 512]).unwrap();
    disk.flush().unwrap();
    assert_eq!(states(&disk, 6), set([[3, 2]]));
    assert_eq!(disk.log()[1].1, Logged::FailedFlush);
}

#[test]
fn disks_crash_together() {
    let timeline = Timeline::default();
    let disk = |name| MemDisk::from_image(name, Image::new(vec![0; 512], 512), timeline.clone());
    let (a, b) = (disk("a"), disk("b"));
    a.write_at(0, &[1; 512]).unwrap();
    a.flush().unwrap();
    b.write_at(0, &[1; 512]).unwrap();
    let states = |at| -> BTreeSet<Vec<u8>> {
        crash_images(&[&a, &b], at).map(|images| images.iter().flat_map(firsts).collect()).collect()
    };
    assert_eq!(states(1), set([[0, 0], [1, 0]]));
    assert_eq!(states(2), set([[1, 0]]));
    assert_eq!(states(3), set([[1, 0], [1, 1]]), "b is never there without a");
}

#[test]
fn many_blocks_are_sampled_the_same_way_each_time() {
    let disk = MemDisk::new("a", 64 * 512, 512);
    disk.write_at(0, &[1; 40 * 512]).unwrap();
    disk.write_at(40 * 512, &[1; 24 * 512]).unwrap();
    let seen = states(&disk, 2);
    assert!(seen.len() > SAMPLES && seen.len() < EXHAUSTIVE, "{}", seen.len());
    let whole =
        |there: [usize; 2]| [vec![u8::from(there[0] == 1); 40], vec![u8::from(there[1] == 1); 24]].concat();
    for combination in [[0, 0], [0, 1], [1, 0], [1, 1]] {
        assert!(seen.contains(&whole(combination)), "{combination:?}");
    }
    for cut in 0..64 {
        let torn: Vec<u8> = (0..64).map(|index| u8::from(index < cut)).collect();
        let hole: Vec<u8> = (0..64).map(|index| u8::from(index != cut)).collect();
        assert!(seen.contains(&torn) && seen.contains(&hole), "{cut}");
    }
    assert_eq!(states(&disk, 2), seen);
}
