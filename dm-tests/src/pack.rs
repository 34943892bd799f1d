//! Packs what `data/generate.sh` saved into the files that [`crate::samples`] reads.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::samples::{BLOCK, BLOCKS_MARK, TEXT_MARK};

/// Where lvm2 puts the first metadata area: after label sectors of 4 KiB.
const AREA: usize = 4096;

/// The ring of texts begins one sector into the area (lvm2 lib/format_text/layout.h, MDA_HEADER_SIZE).
const RING: usize = AREA + 512;

/// Scenarios whose physical volumes are kept: each shows another layout, the rest would repeat them.
const KEPT_VOLUMES: &[&str] =
    &["extents", "foreign", "mdacopies", "quoting", "restore", "sectors4k", "smallring"];

/// One archive in so many is kept: each repeats, in another layout, a text that was on disk.
const KEPT_ARCHIVES: usize = 3;

/// Packs `from` (as generate.sh leaves it) into the folder `to`.
pub fn run(from: &Path, to: &Path) -> Result<()> {
    let mut container = String::new();
    let mut seen = HashSet::new();
    let mut add = |name: &str, text: String| {
        if seen.insert(text.clone()) {
            container.push_str(&format!("{TEXT_MARK} {name} {}\n{text}\n", text.len()));
        }
    };
    fs::create_dir_all(to.join("pv"))?;
    for scenario in sorted(from)? {
        let name = file_name(&scenario);
        for file in sorted(&scenario)? {
            let pv = file_name(&file);
            let Some(pv) = pv.strip_suffix(".head") else { continue };
            let head = fs::read(&file)?;
            for (number, text) in ring_texts(&head).into_iter().enumerate() {
                add(&format!("{name}/disk/{pv}-{number}"), text);
            }
            if KEPT_VOLUMES.contains(&name.as_str()) {
                fs::write(to.join(format!("pv/{name}-{pv}.blocks")), recorded(&scenario, pv, &head)?)?;
            }
        }
        for (kind, keep) in [("archive", KEPT_ARCHIVES), ("backup", 1)] {
            for file in sorted(&scenario.join(kind))?.iter().step_by(keep) {
                add(&format!("{name}/{kind}/{}", file_name(file)), fs::read_to_string(file)?);
            }
        }
    }
    fs::write(to.join("lvm2-texts.txt"), container)?;
    Ok(())
}

/// Every text that is whole in the ring of the first metadata area, the current and the overwritten ones,
/// those that go round its end included.
fn ring_texts(head: &[u8]) -> Vec<String> {
    let field = |at: usize| {
        let bytes = head.get(AREA + at..AREA + at + 8)?;
        usize::try_from(bytes.iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte))).ok()
    };
    // mda_header: checksum 4, magic 16, version 4, start 8, size 8.
    let Some(size) = field(32).filter(|_| head.get(AREA + 4..AREA + 9) == Some(&b" LVM2"[..])) else {
        return Vec::new();
    };
    let Some(ring) = head.get(RING..AREA + size) else { return Vec::new() };
    let mut found = Vec::new();
    for start in (0..ring.len()).step_by(512) {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte);
        let rest = ring.get(start..).unwrap_or_default();
        let name = rest.iter().take_while(|&&byte| is_name(byte)).count();
        if name > 0 && rest.get(name..).is_some_and(|rest| rest.starts_with(b" {\nid = \"")) {
            let bytes: Vec<u8> = rest.iter().chain(ring).copied().take_while(|&byte| byte != 0).collect();
            // A text whose end another has overwritten does not end as lvm2 ends its texts.
            if let Some(text) = String::from_utf8(bytes).ok().filter(|text| is_whole(text)) {
                found.push(text);
            }
        }
    }
    found
}

/// lvm2 ends each text with its creation time; braces must balance and the header must be there once.
fn is_whole(text: &str) -> bool {
    let braces = |brace| text.matches(brace).count();
    text.ends_with('\n')
        && text
            .lines()
            .next_back()
            .is_some_and(|line| line.starts_with("creation_time = ") || line.is_empty())
        && braces('{') == braces('}')
        && text.matches("\ncontents = ").count() == 1
}

/// Both ends of a physical volume as [`crate::samples`] reads them. Of a device with one metadata area only
/// the head is needed; what is data beyond the first MiB is left out.
fn recorded(scenario: &Path, pv: &str, head: &[u8]) -> Result<Vec<u8>> {
    let size = fs::read_to_string(scenario.join(format!("{pv}.size")))?;
    let (mib, sector) = size.trim().split_once(' ').context("size and sector")?;
    let bytes = mib.parse::<u64>()? << 20;
    let tail = fs::read(scenario.join(format!("{pv}.tail")))?;
    let mut out = format!("{BLOCKS_MARK} {bytes} {sector}\n").into_bytes();
    let one_mib = head.get(..1 << 20).context("the head has a MiB")?;
    let tail_mib = tail.get(tail.len() - (1 << 20)..).context("the tail has a MiB")?;
    let second_area = head.get(..4096).is_some_and(|label| has_second_area(label, bytes));
    add_blocks(&mut out, 0, one_mib);
    if second_area {
        add_blocks(&mut out, bytes - (1 << 20), tail_mib);
    }
    Ok(out)
}

/// Whether any eight bytes of the label name an offset in the last MiB of the device.
fn has_second_area(label: &[u8], bytes: u64) -> bool {
    label.chunks_exact(8).any(|field| {
        let value = field.iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
        (bytes - (1 << 20)..bytes).contains(&value)
    })
}

fn add_blocks(out: &mut Vec<u8>, base: u64, bytes: &[u8]) {
    for (offset, block) in (base..).step_by(BLOCK).zip(bytes.chunks_exact(BLOCK)) {
        if block.iter().any(|&byte| byte != 0) {
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(block);
        }
    }
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::{RING, ring_texts};

    fn area(size: u64, place: impl Fn(&mut [u8])) -> Vec<u8> {
        let mut head = vec![0; 16 << 10];
        head[4100..4105].copy_from_slice(b" LVM2");
        head[4128..4136].copy_from_slice(&size.to_le_bytes());
        place(&mut head);
        head
    }

    #[test]
    fn a_text_that_goes_round_the_end_is_found() {
        let text = b"vg {\nid = \"x\"\n}\ncontents = \"\"\ncreation_time = 1\n";
        let head = area(1536, |head| {
            head[RING..RING + 10].copy_from_slice(b"overwritte");
            let start = RING + 512;
            let mut long = text.to_vec();
            long.splice(14..14, b"description = \"".iter().copied().chain([b'y'; 500]).chain(*b"\"\n"));
            head[start..start + 512].copy_from_slice(&long[..512]);
            head[RING..RING + long.len() - 512].copy_from_slice(&long[512..]);
            head[RING + long.len() - 512] = 0;
        });
        assert_eq!(ring_texts(&head).len(), 1);
    }

    #[test]
    fn no_area_no_texts() {
        assert!(ring_texts(&vec![0; 16 << 10]).is_empty());
    }
}
