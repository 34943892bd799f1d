use std::path::Path;
use std::sync::Arc;

use super::*;
use lvm2::format::metadata::Metadata;
use sys::io::mem::disk::{MemDisk, Timeline};
use sys::io::mem::image::Image;

/// Blocks of each of two disks; an extent is one block.
const BLOCKS: usize = 8;

/// A group of two physical volumes whose data starts at once, and a pool whose metadata consists of `segment`.
fn vg(segment: &str) -> Vg {
    let uuid = |letter: &str| {
        let [six, four] = [6, 4].map(|count| letter.repeat(count));
        format!("{six}-{four}-{four}-{four}-{four}-{four}-{six}")
    };
    let pv = |number: usize, letter: &str| {
        format!(
            "pv{number} {{\nid = \"{}\"\nstatus = []\npe_start = 0\npe_count = {BLOCKS}\n}}\n",
            uuid(letter)
        )
    };
    let lv = |name: &str, letter: &str, segment: &str| {
        format!(
            "{name} {{\nid = \"{}\"\nstatus = [\"READ\", \"WRITE\"]\nsegment_count = 1\nsegment1 {{\nstart_extent = 0\n\
             extent_count = 4\n{segment}\n}}\n}}\n",
            uuid(letter)
        )
    };
    let linear = |on: &str| format!("type = \"striped\"\nstripe_count = 1\nstripes = [\"{on}\", 2]");
    let text = format!(
        "contents = \"Text Format Volume Group\"\nversion = 1\npve {{\nid = \"{}\"\nseqno = 1\nstatus = [\"READ\"]\n\
         extent_size = 8\nphysical_volumes {{\n{}{}}}\nlogical_volumes {{\n{}{}{}{}}}\n}}\n",
        uuid("v"),
        pv(0, "a"),
        pv(1, "b"),
        lv(
            "data",
            "c",
            "type = \"thin-pool\"\nmetadata = \"meta\"\npool = \"meta\"\ntransaction_id = 1\nchunk_size = 128"
        ),
        lv("meta", "d", segment),
        lv("left", "e", &linear("pv0")),
        lv("right", "f", &linear("pv1")),
    );
    Metadata::parse(text.as_bytes()).unwrap().vg
}

/// The disks `0` and `1`.
#[derive(Debug)]
struct Two([Arc<MemDisk>; 2]);

impl Disks for Two {
    fn open(&self, path: &Path, _: Access) -> io::Result<Box<dyn BlockDev>> {
        let number: usize = path.to_str().and_then(|path| path.parse().ok()).expect("a disk of this test");
        Ok(Box::new(Arc::clone(&self.0[number])))
    }
}

/// The first byte of each of the metadata's four blocks. Blocks of the first disk hold 1 to 8, of the second 11 to 18,
/// unless they are said to be the same.
fn read(segment: &str, same: bool, present: usize) -> Result<Vec<u8>, PoolReadError> {
    let vg = vg(segment);
    let disk = |number: usize| -> Arc<MemDisk> {
        let first = if same { 1 } else { 1 + 10 * u8::try_from(number).unwrap() };
        let bytes =
            (0..u8::try_from(BLOCKS).unwrap()).flat_map(|block| [first + block; BLOCK_BYTES]).collect();
        Arc::new(MemDisk::from_image("disk", Image::new(bytes, 512), Timeline::default()))
    };
    let disks = Two([disk(0), disk(1)]);
    let number = |place: usize| DevNo { major: 8, minor: u32::try_from(place).unwrap() };
    let paths = [0, 1].map(|place: usize| (PathBuf::from(place.to_string()), number(place)));
    let pvs = vg.pvs.iter().take(present).enumerate().map(|(place, pv)| (pv.id, number(place))).collect();
    let reader = DiskReader { pvs, paths: &paths, disks: &disks };
    let (_, pool) = vg.pools().next().unwrap();
    let mut extents = reader.extents(&vg, pool)?;
    (0..4).map(|block| Ok(extents.read_block(block).map_err(|error| unread("a block", &error))?[0])).collect()
}

const STRIPED: &str =
    "type = \"striped\"\nstripe_count = 2\nstripe_size = 8\nstripes = [\"pv0\", 0, \"pv1\", 3]";
const MIRROR: &str = "type = \"raid1\"\ndevice_count = 2\nregion_size = 128\n\
                      raids = [\"left\", \"left\", \"right\", \"right\"]";

#[test]
fn stripes_are_read_in_turn() {
    assert_eq!(read(STRIPED, false, 2), Ok(vec![1, 14, 2, 15]));
}

#[test]
fn a_mirror_is_believed_where_its_copies_agree() {
    assert_eq!(read(MIRROR, true, 2), Ok(vec![3, 4, 5, 6]));
    assert!(matches!(read(MIRROR, false, 2), Err(PoolReadError::OutOfReach(why)) if why.contains("differ")));
}

#[test]
fn what_cannot_be_read_while_stopped_is_not_damaged() {
    let raid5 = MIRROR.replace("raid1", "raid5_ls");
    assert!(matches!(read(&raid5, true, 2), Err(PoolReadError::OutOfReach(why)) if why.contains("raid5_ls")));
    let rebuilt = format!("{MIRROR}\nmin_recovery_rate = 1");
    assert!(matches!(read(&rebuilt, true, 2), Err(PoolReadError::OutOfReach(_))), "a word that is not known");
    let on_lv = STRIPED.replace("pv1", "left");
    assert!(matches!(read(&on_lv, true, 2), Err(PoolReadError::OutOfReach(why)) if why.contains("left")));
    assert!(matches!(read(STRIPED, true, 1), Err(PoolReadError::Failed(why)) if why.contains("missing")));
}
