use proptest::prelude::*;

use super::Record;
use crate::format::model::Vg;
use crate::format::text::Document;

const RECORD: &str = "t1 {\nid = \"03TMeQ-gzkk-z0cw-Rwpi-DdDB-1sru-ehx7l2\"\n\
    status = [\"READ\", \"WRITE\", \"VISIBLE\"]\nflags = [\"ACTIVATION_SKIP\", \"NOAUTOACTIVATE\"]\n\
    tags = [\"pve-vm-100\", \"a:b#c\"]\ncreation_time = 1795413600\ncreation_host = \"node 1\"\n\
    segment_count = 1\n\nsegment1 {\nstart_extent = 0\nextent_count = 25\n\ntype = \"thin\"\n\
    thin_pool = \"pool\"\ntransaction_id = 6\ndevice_id = 2\norigin = \"t0\"\n}\n}";

fn text(volumes: &str) -> String {
    format!(
        "vg {{\nid = \"16a7eP-6C9P-Yu6p-6F6V-aMIU-FkOx-4UcgFG\"\nseqno = 6\nstatus = [\"READ\"]\nextent_size = 8192\n\
         physical_volumes {{\n}}\nlogical_volumes {{\n\n{volumes}\n}}\n}}\n\
         contents = \"Text Format Volume Group\"\nversion = 1\n"
    )
}

/// What the tree says of a text is what the records say.
fn both_ways_agree(text: &str) {
    let tree = Document::parse(text.as_bytes());
    let quick = Vg::from_text(text.as_bytes().into(), None);
    match tree {
        Ok(tree) => {
            let slow = Vg::from_document(&tree).ok();
            assert_eq!(quick.as_ref().ok().map(|(_, vg)| vg), slow.as_ref(), "{text}");
            if let Ok((doc, _)) = quick {
                assert_eq!(doc.to_bytes(), text.as_bytes());
            }
        }
        Err(error) => assert_eq!(quick.unwrap_err().to_string(), error.to_string(), "{text}"),
    }
}

#[test]
fn a_record_says_what_the_tree_says() {
    let plain = RECORD.replace("\norigin = \"t0\"", "").replace("\ntags = [\"pve-vm-100\", \"a:b#c\"]", "");
    let hidden = RECORD.replace(", \"VISIBLE\"", "").replace("\"ACTIVATION_SKIP\", \"NOAUTOACTIVATE\"", "");
    for record in [RECORD, &plain, &hidden] {
        let found = Record::at(record.as_bytes(), 0).expect("it is a record");
        assert_eq!(found.taken().end, record.len());
        both_ways_agree(&text(record));
        let vg = Vg::from_text(text(record).as_bytes().into(), None).unwrap().1;
        assert_eq!((vg.lvs.len(), vg.lvs.others().count()), (1, 0), "{record}");
        let (glance, lv) = (vg.lvs.glances().next().unwrap(), &vg.lvs[0]);
        let thin = lv.thin().unwrap();
        assert_eq!((glance.name(), glance.id(), glance.extents()), (lv.name.as_str(), lv.id, lv.extents()));
        let seen = glance.thin().unwrap();
        assert_eq!((seen.pool(), seen.device_id), (thin.pool.as_str(), thin.device_id));
        assert_eq!(seen.origin(), thin.origin.as_ref().map(|origin| origin.as_str()));
        assert_eq!(glance.is_visible(), lv.is_visible());
        assert!(lv.tags.iter().all(|tag| glance.has_tag(|have| have == tag)));
    }
}

#[test]
fn what_is_written_otherwise_is_no_record() {
    let cases = [
        ("device_id = 2", "device_id = 0"),
        ("device_id = 2", "device_id = 02"),
        ("device_id = 2", "device_id = 16777216"),
        ("extent_count = 25", "extent_count = 0"),
        ("extent_count = 25", "extent_count = 4294967296"),
        ("segment_count = 1", "segment_count = 2"),
        ("\"READ\", \"WRITE\"", "\"WRITE\", \"READ\""),
        ("a:b#c", "a b"),
        ("a:b#c", "-a"),
        ("node 1", "node\\1"),
        ("t1 {", "-t1 {"),
        ("t1 {", ".. {"),
        ("t1 {", "t1 { # mine"),
        ("origin = \"t0\"", "external_origin = \"t0\""),
        ("origin = \"t0\"", "origin = \"t0\"\nmerge = \"t0\""),
        ("03TMeQ-gzkk", "03TMeQgzkk-"),
        ("\n}\n}", "\n}\nmore = 1\n}"),
    ];
    for (from, to) in cases {
        let changed = RECORD.replacen(from, to, 1);
        assert_ne!(changed, RECORD);
        assert_eq!(Record::at(changed.as_bytes(), 0), None, "{to}");
        both_ways_agree(&text(&changed));
    }
}

proptest! {
    /// Whatever bytes of it change.
    #[test]
    fn a_changed_record_says_what_the_tree_says(
        changes in prop::collection::vec((0..RECORD.len(), "[ -~\n]{0,3}", 0..3_usize), 1..4),
    ) {
        let mut record = RECORD.to_owned();
        for (at, with, cut) in changes {
            let at = at.min(record.len());
            record.replace_range(at..(at + cut).min(record.len()), &with);
        }
        both_ways_agree(&text(&record));
        both_ways_agree(&text(&format!("{RECORD}\n\n{record}")));
    }
}
