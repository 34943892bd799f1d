//! Writes the archive format the kernel unpacks as its initramfs ("newc",
//! Documentation/driver-api/early-userspace).

/// An archive under construction.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    /// Adds a folder; its parent must have been added before.
    pub fn folder(&mut self, path: &str) {
        self.entry(path, 0o040_755, &[]);
    }

    /// Adds a file that may be executed.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, 0o100_755, content);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, to: &str) {
        self.entry(path, 0o120_777, to.as_bytes());
    }

    /// Ends the archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.inode += 1;
        let size = content.len();
        let name_size = path.len() + 1;
        // Magic, ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor,
        // namesize, check.
        let fields = [self.inode as usize, mode as usize, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn headers_and_contents_are_aligned_to_four_bytes() {
        let mut archive = Archive::default();
        archive.file("init", b"#!/x\n");
        let bytes = archive.finish();
        assert_eq!(bytes.get(..6), Some(&b"070701"[..]));
        // 110 bytes of header, "init\0", padding to 116, then the content.
        assert_eq!(bytes.get(110..121), Some(&b"init\0\0#!/x\n"[..]));
        assert_eq!(bytes.get(124..130), Some(&b"070701"[..]));
        assert_eq!(bytes.len() % 4, 0);
    }
}
