//! Tests of the model against texts that lvm2 2.03.16 wrote.

use super::{Discards, ModelError, PoolMessage, ReadError, SegmentKind, Stripe, Vg};
use crate::format::text::Document;
use base::bytes::shared::SharedBytes;
use base::ids::{LvName, Seqno, ThinId, TransactionId};
use base::units::{Extents, Sectors};

const DISK: &str = include_str!("../testdata/thin.disk");
const FILE: &str = include_str!("../testdata/thin.vg");

fn read(text: &str) -> Result<Vg, ModelError> {
    Vg::from_document(&Document::parse(text.as_bytes()).unwrap())
}

fn name(text: &str) -> LvName {
    LvName::new(text).unwrap()
}

#[test]
fn both_layouts_say_the_same() {
    assert_eq!(read(DISK).unwrap(), read(FILE).unwrap());
}

#[test]
fn a_volume_group_with_a_pool_is_read() {
    let vg = read(DISK).unwrap();
    assert_eq!((vg.name.as_str(), vg.seqno, vg.extent_size), ("vgt", Seqno(6), Sectors::new(8192)));
    assert_eq!(vg.status, ["RESIZEABLE", "READ", "WRITE"]);
    assert_eq!(vg.pvs.len(), 2);
    let pv = vg.pv("pv1").unwrap();
    assert_eq!((pv.pe_start, pv.pe_count), (Sectors::new(2048), Extents::new(49)));
    assert_eq!((pv.dev_size, pv.device_hint.as_deref()), (Some(Sectors::new(409_600)), Some("/dev/loop1")));
    let (pool_lv, pool) = vg.pools().next().unwrap();
    assert_eq!((pool.metadata.as_str(), pool.data.as_str()), ("pool_tmeta", "pool_tdata"));
    assert_eq!((pool.transaction_id, pool.chunk_size), (TransactionId(2), Sectors::new(128)));
    assert_eq!((pool.discards, pool.zero_new_blocks, pool.crop_metadata), (Discards::Passdown, true, None));
    let messages = [PoolMessage::Create(name("s1")), PoolMessage::Delete(ThinId::new(7).unwrap())];
    assert_eq!(pool.messages, messages);
    assert!(pool_lv.has_flag("ERROR_WHEN_FULL"));
    let thins: Vec<_> = vg.thins_of(&pool_lv.name).map(|(lv, thin)| (lv, thin.device_id.get())).collect();
    assert_eq!(
        thins.iter().map(|(lv, id)| (lv.name.as_str(), *id)).collect::<Vec<_>>(),
        [("t1", 1), ("s1", 2)]
    );
    let (t1, s1) = (thins[0].0, thins[1].0);
    assert_eq!(t1.tags, ["thinvol", "owner=vm-100"]);
    assert_eq!((t1.creation_time, t1.creation_host.as_deref()), (Some(1_795_413_635), Some("vm")));
    assert!(t1.is_writable() && t1.is_visible() && !s1.is_writable());
    assert_eq!(s1.thin().unwrap().origin, Some(name("t1")));
    let data = vg.lv(&name("pool_tdata")).unwrap();
    assert_eq!((data.segments.len(), data.extents()), (2, Some(Extents::new(10))));
    let SegmentKind::Striped(striped) = &vg.lv(&name("str")).unwrap().segments[0].kind else { panic!() };
    assert_eq!(striped.stripe_size, Some(Sectors::new(128)));
    let area = |area: &str, start| Stripe { area: area.into(), start: Extents::new(start) };
    assert_eq!(striped.stripes, [area("pv0", 4), area("pv1", 0)]);
}

#[test]
fn unknown_segments_are_opaque_with_their_references() {
    let raid = "type = \"raid1+NEW\"\ndevice_count = 2\nlog = \"t1\"\n\
        raids = [\n\"pool_tmeta\", \"pool_tdata\", \"pv0\"\n]";
    let text = DISK.replacen("type = \"striped\"\nstripe_count = 1\n\nstripes = [\n\"pv0\", 0\n]", raid, 1);
    let vg = read(&text).unwrap();
    let kind = &vg.lv(&name("lin")).unwrap().segments[0].kind;
    let references = ["t1", "pool_tmeta", "pool_tdata"].map(str::to_owned).to_vec();
    let (segtype, pvs) = ("raid1+NEW".into(), vec!["pv0".into()]);
    assert_eq!(*kind, SegmentKind::Opaque { segtype, references, pvs, mirror: None });
}

#[test]
fn the_next_text_is_read_as_if_nothing_were_known() {
    let raid = "type = \"raid1+NEW\"\nraids = [\n\"pool_tmeta\", \"else\"\n]";
    let before = DISK.replacen("type = \"striped\"\nstripe_count = 1\n\nstripes = [\n\"pv0\", 0\n]", raid, 1);
    let text = |text: String| SharedBytes::from(text.into_bytes());
    let (_, vg) = Vg::from_text(text(before.clone()), None).unwrap();
    // A volume gets another name, a size, nothing; another goes; and one becomes one that an unknown segment speaks of.
    let gone = between(&before, "\nt1 {", "\ns1 {");
    for (from, to) in [
        ("\nt1 {", "\nelse {"),
        ("device_id = 1\n", "device_id = 9\n"),
        ("seqno = 6", "seqno = 7"),
        (gone.as_str(), ""),
    ] {
        let next = before.replacen(from, to, 1);
        let (doc, read) = Vg::from_text(text(next.clone()), Some(&vg)).unwrap();
        assert_eq!(read, Vg::from_document(&Document::parse(next.as_bytes()).unwrap()).unwrap(), "{to}");
        assert_eq!(doc.to_bytes(), next.as_bytes());
        assert_ne!(read, vg, "{to}");
    }
    let broken = before.replacen("device_id = 1\n", "", 1);
    let alone = Vg::from_document(&Document::parse(broken.as_bytes()).unwrap()).unwrap_err();
    assert_eq!(Vg::from_text(text(broken), Some(&vg)).unwrap_err(), ReadError::Model(alone));
}

/// From the first mark to before the second.
fn between(text: &str, from: &str, to: &str) -> String {
    let start = text.find(from).expect("the text has the mark");
    let end = start + text[start..].find(to).expect("the text has the other mark");
    text[start..end].to_owned()
}

#[test]
fn cropped_pools_are_pools() {
    let text = DISK.replace("\"thin-pool\"", "\"thin-pool+CROP_METADATA\"");
    let text = text.replace("zero_new_blocks = 1", "crop_metadata = 1");
    let vg = read(&text).unwrap();
    let (_, pool) = vg.pools().next().unwrap();
    assert_eq!((pool.crop_metadata, pool.zero_new_blocks), (Some(true), false));
}

#[test]
fn what_cannot_be_read_is_named() {
    let cases = [
        (
            "Text Format",
            "Other Format",
            "contents are 'Other Format Volume Group', not 'Text Format Volume Group'",
        ),
        ("\nversion = 1", "\nversion = 2", "the text is not LVM2 metadata: its format version is 2, not 1"),
        ("\nversion = 1", "", "the text is not LVM2 metadata: version (line 1): it is missing"),
        (
            "device_id = 1\n",
            "device_id = 16777216\n",
            "the metadata of the volume group cannot be read: \
             vgt/logical_volumes/t1/segment1/device_id (line 99): \
             thin device id '16777216' is not valid: it is above 16777215",
        ),
        (
            "delete = 7",
            "trim = 7",
            "/pool/segment1/message2 (line 146): a message of a pool holds either create or delete",
        ),
        ("segment_count = 2", "segment_count = 3", "/segment_count (line 175): it says 3, but there are 2"),
        (
            "\"pv0\", 4,\n\"pv1\", 0",
            "\"pv0\", 4",
            "/stripes (line 76): it does not hold one name and one extent for each stripe",
        ),
        ("\"passdown\"", "\"maybe\"", "/discards (line 140): 'maybe' is no way to treat discards"),
        ("seqno = 6", "seqno = 4294967296", "vgt/seqno (line 3): 4294967296 needs more than 32 bits"),
        ("max_pv = 0", "max_lv = 1", "vgt/max_lv (line 8): it is given twice"),
        (
            "s1 {",
            "s/1 {",
            "/s/1 (line 103): logical volume name 's/1' is not valid: '/' is not among a-z A-Z 0-9 . _ + -",
        ),
    ];
    for (from, to, message) in cases {
        assert!(DISK.contains(from), "{from}");
        let error = read(&DISK.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.ends_with(message), "{error}");
    }
}
