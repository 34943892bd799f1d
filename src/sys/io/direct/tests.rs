use std::io::ErrorKind;
use std::path::Path;

use nix::errno::Errno;

use super::{Access, CHUNK_BYTES, DirectFile};
use crate::calls::{Becomes, judged, seen};
use crate::io::block::BlockDev;

fn file_with(content: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

#[test]
fn unaligned_ranges_are_read_and_written() {
    let mut content: Vec<u8> = (0..=250).cycle().take(3 * CHUNK_BYTES + 700).collect();
    let file = file_with(&content);
    let disk = DirectFile::open(file.path(), Access::ReadWrite).unwrap();
    assert_eq!(disk.size().get(), content.len() as u64);
    for (offset, length) in [(0, 1), (511, 2), (700, 2 * CHUNK_BYTES + 9), (content.len() - 5, 5)] {
        let mut buf = vec![0; length];
        disk.read_at(offset as u64, &mut buf).unwrap();
        assert_eq!(buf, content[offset..offset + length]);
        buf.iter_mut().for_each(|byte| *byte ^= 0x55);
        disk.write_at(offset as u64, &buf).unwrap();
        content[offset..offset + length].copy_from_slice(&buf);
        disk.flush().unwrap();
        assert!(std::fs::read(file.path()).unwrap() == content, "around {offset} and {length}");
    }
}

#[test]
fn the_end_is_kept() {
    let file = file_with(&[0; 1024]);
    let disk = DirectFile::open(file.path(), Access::ReadWrite).unwrap();
    assert_eq!(disk.read_at(1000, &mut [0; 25]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(disk.read_at(u64::MAX, &mut [0; 25]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    let error = disk.write_at(1000, &[0; 25]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WriteZero);
    assert!(error.to_string().starts_with("25 bytes at 1000 are not within "), "{error}");
    assert_eq!(std::fs::metadata(file.path()).unwrap().len(), 1024);
}

#[test]
fn a_reader_cannot_write() {
    let file = file_with(&[0; 1024]);
    let disk = DirectFile::open(file.path(), Access::ReadOnly).unwrap();
    assert_eq!(disk.write_at(0, &[1]).unwrap_err().kind(), ErrorKind::PermissionDenied);
    disk.flush().unwrap();
}

#[test]
fn a_path_that_changed_its_meaning_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    std::fs::write(&path, [0; 1024]).unwrap();
    let disk = DirectFile::open(&path, Access::ReadWrite).unwrap();
    std::fs::rename(&path, dir.path().join("old")).unwrap();
    std::fs::write(&path, [0; 1024]).unwrap();
    assert_eq!(disk.write_at(0, &[1]).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(std::fs::read(&path).unwrap(), [0; 1024]);
}

/// Nothing that can be read tells whether a flush was made: only the system call does.
#[test]
fn a_flush_asks_the_kernel_and_its_failure_is_told() {
    const FLUSHES: [libc::c_long; 2] = [libc::SYS_fsync, libc::SYS_fdatasync];
    let file = file_with(&[0; 1024]);
    let disk = DirectFile::open(file.path(), Access::ReadWrite).unwrap();
    let flush = || disk.flush().map_err(|error| error.raw_os_error());
    assert_eq!(seen(&FLUSHES, flush), (Ok(()), Vec::new()), "nothing was written");
    disk.write_at(0, &[1]).unwrap();
    let (done, calls) = seen(&FLUSHES, flush);
    assert_eq!((done, calls.len()), (Ok(()), 1));
    let flushed = std::fs::read_link(format!("/proc/self/fd/{}", calls[0].args[0])).unwrap();
    assert_eq!(flushed, file.path());
    let failed = judged(&FLUSHES, |_| Becomes::Failed(Errno::EIO), flush);
    assert_eq!(failed, Err(Some(libc::EIO)));
}

#[test]
fn what_is_no_disk_is_refused() {
    for path in ["/", "/dev/null"] {
        let error = DirectFile::open(Path::new(path), Access::ReadOnly).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path}");
    }
}
