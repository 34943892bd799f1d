//! Recorded output of lvm2 for tests: metadata texts, and both ends of physical volumes.
//! `dm-tests/data/README.md` says how they were made; [`crate::pack`] wrote the files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// First word of the header of each text in the container.
pub const TEXT_MARK: &str = "@@";

/// First word of a recorded physical volume.
pub const BLOCKS_MARK: &str = "blocks";

/// Bytes of a recorded block.
pub const BLOCK: usize = 4096;

/// One recorded metadata text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// `<scenario>/<disk|archive|backup>/<which>`. Texts from disks are as they were on disk without the
    /// final NUL; archives and backups are lvm2's files with their comments.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
}

/// A recorded physical volume: blocks that are not listed are zero (or data, which is not recorded).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// `<scenario>-pv<n>`.
    pub name: String,
    /// Size of the device in bytes.
    pub bytes: u64,
    /// Its logical sectors, in bytes.
    pub sector: u32,
    /// Offsets in bytes and the [`BLOCK`] bytes there, ascending.
    pub blocks: Vec<(u64, Vec<u8>)>,
}

impl Recorded {
    /// The first `length` bytes of the device.
    pub fn head(&self, length: usize) -> Vec<u8> {
        let mut image = vec![0; length];
        for (offset, block) in &self.blocks {
            let Some(to) = usize::try_from(*offset).ok().and_then(|from| image.get_mut(from..)) else {
                break;
            };
            // The last block may be wanted in part.
            let wanted = to.len().min(BLOCK);
            to[..wanted].copy_from_slice(&block[..wanted]);
        }
        image
    }
}

/// The folder of recorded data.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

/// Reads the container of texts; parse it with [`texts`].
pub fn text_container() -> Result<String> {
    let path = folder().join("lvm2-texts.txt");
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The texts of a container: each is a line `@@ <name> <bytes>`, that many bytes, and a line end.
pub fn texts(container: &str) -> Result<Vec<Text<'_>>> {
    let mut found = Vec::new();
    let mut rest = container;
    while !rest.is_empty() {
        let (header, after) = rest.split_once('\n').context("a header without a line end")?;
        let words: Vec<&str> = header.split(' ').collect();
        let [mark, name, bytes] = words[..] else { bail!("not a header: {header:?}") };
        ensure!(mark == TEXT_MARK, "not a header: {header:?}");
        let bytes: usize = bytes.parse().with_context(|| format!("not a length: {header:?}"))?;
        let text = after.get(..bytes).with_context(|| format!("{name} is cut off"))?;
        rest =
            after[bytes..].strip_prefix('\n').with_context(|| format!("{name} has no line end after it"))?;
        found.push(Text { name, text });
    }
    Ok(found)
}

/// All recorded physical volumes.
pub fn volumes() -> Result<Vec<Recorded>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder().join("pv"))? {
        let path = entry?.path();
        let name = path.file_stem().context("a file has a name")?.to_string_lossy().into_owned();
        let bytes = std::fs::read(&path)?;
        found.push(volume(&name, &bytes).with_context(|| format!("cannot read {}", path.display()))?);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Parses a recorded physical volume: a line `blocks <device bytes> <sector bytes>`, then for each block its
/// offset as eight little-endian bytes and its content.
fn volume(name: &str, bytes: &[u8]) -> Result<Recorded> {
    let end = bytes.iter().position(|&byte| byte == b'\n').context("no header")?;
    let (header, rest) = bytes.split_at(end);
    let words: Vec<&str> = std::str::from_utf8(header)?.split(' ').collect();
    let [BLOCKS_MARK, size, sector] = words[..] else { bail!("not a header: {words:?}") };
    let records = rest.get(1..).unwrap_or_default().chunks(8 + BLOCK);
    let mut blocks = Vec::new();
    for record in records {
        let (offset, content) = record.split_first_chunk::<8>().context("a record is cut off")?;
        ensure!(content.len() == BLOCK, "a block is cut off");
        blocks.push((offset.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)), content.to_vec()));
    }
    Ok(Recorded { name: name.to_owned(), bytes: size.parse()?, sector: sector.parse()?, blocks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_holds_hundreds_of_different_texts() {
        let container = text_container().unwrap();
        let found = texts(&container).unwrap();
        let mut distinct: Vec<&str> = found.iter().map(|text| text.text).collect();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), found.len());
        assert!(found.len() > 300, "{} texts", found.len());
        for needle in
            ["type = \"thin\"", "type = \"raid5", "merge = \"", "message1", "external_origin", "EXPORTED"]
        {
            assert!(found.iter().any(|text| text.text.contains(needle)), "none has {needle}");
        }
    }

    #[test]
    fn a_damaged_container_is_refused() {
        for bad in ["@@ a 3\nxx", "@@ a 2\nxxx", "@@ a x\n", "@! a 1\nx\n", "@@ a 1"] {
            assert!(texts(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn recorded_volumes_start_with_a_label() {
        let found = volumes().unwrap();
        assert!(found.len() >= 10, "{} volumes", found.len());
        for volume in found {
            let head = volume.head(2048);
            assert!(
                head.chunks(512).any(|sector| sector.starts_with(b"LABELONE")),
                "{} has no label",
                volume.name
            );
        }
    }
}
