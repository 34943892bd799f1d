//! LVM's text format: metadata texts, and the configuration and files like it.

use std::path::Path;

use base::units::size::{Unit, parse_size};
use lvm2::format::check::{check, flaws};
use lvm2::format::metadata::Metadata;
use lvm2::format::model::Vg;
use lvm2::format::text::Document;
use lvm2::host::conf::LvmConf;
use lvm2::host::devices::used_file::UsedDevices;
use lvm2::host::hints::Hints;
use lvm2::host::store::summary::summarize;

use crate::samples;
use crate::world::metadata_header;
use crate::world::text::fresh;

/// A metadata text: given back byte for byte; if it is a volume group that keeps the rules, changed and read again.
pub fn metadata(bytes: &[u8]) {
    let tree = Document::parse(bytes);
    let summary = summarize(&bytes.into());
    let Ok(tree) = tree else {
        assert!(summary.is_err(), "a summary of a text that cannot be read");
        return;
    };
    assert!(tree.to_bytes() == bytes, "an unchanged text came out changed");
    let metadata = Metadata::parse(bytes);
    let read = Vg::from_document(&tree).ok();
    assert_eq!(metadata.as_ref().ok().map(|metadata| &metadata.vg), read.as_ref(), "two ways to read differ");
    let (Ok(metadata), Some(mut read)) = (metadata, read) else { return };
    // Where all volumes are read, all rules are gone through.
    read.lvs = read.lvs.iter().cloned().collect::<Vec<_>>().into();
    assert_eq!((check(&metadata.vg), flaws(&metadata.vg)), (check(&read), flaws(&read)));
    if let Ok((_, summary)) = summary {
        assert_eq!((&summary.name, summary.seqno), (&metadata.vg.name, metadata.vg.seqno));
    }
    if !check(&metadata.vg).is_empty() {
        return;
    }
    let on_disk = Metadata::parse(&metadata.to_disk()).expect("what is written can be read");
    assert_eq!(on_disk.vg, metadata.vg, "the text for a metadata area says something else");
    let file = metadata.to_backup_file("thinvol", &metadata_header());
    let file = Metadata::parse(&file).expect("a backup can be read");
    assert_eq!(file.vg, metadata.vg, "the text for a file says something else");
    let Ok(next) = metadata.apply(&[], &metadata_header()) else { return };
    assert_eq!(next.vg.lvs, metadata.vg.lvs, "a commit without changes changes a volume");
    if let Ok(takes_back) = metadata.taking_back(&metadata_header()) {
        let text = takes_back.text().expect("what takes a commit back can be made");
        assert_eq!(text.len(), takes_back.length);
        let back = Metadata::parse(&text).expect("what takes a commit back can be read");
        assert_eq!((back.vg.seqno, &back.vg.lvs), (takes_back.seqno, &metadata.vg.lvs));
    }
}

/// Texts that lvm2 wrote, the smaller ones, and a fresh volume group.
///
/// # Panics
/// If the recorded texts cannot be read.
pub fn seeds() -> Vec<Vec<u8>> {
    let container = samples::text_container().expect("the texts are part of the source");
    let texts = samples::texts(&container).expect("the texts can be taken apart");
    let small = texts.iter().filter(|text| text.text.len() < 6000).step_by(7);
    let mut seeds: Vec<Vec<u8>> = small.map(|text| text.text.as_bytes().to_vec()).collect();
    seeds.push(fresh(2, 2).into_bytes());
    seeds
}

/// `lvm.conf`, the devices file, the hints, a size: small texts by people and by lvm2.
pub fn conf(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(conf) = LvmConf::load(Path::new("/nonexistent"), Some(&text)) {
        // The same text says the same twice.
        assert_eq!(LvmConf::load(Path::new("/nonexistent"), Some(&text)).ok(), Some(conf));
    }
    UsedDevices::parse(&text);
    Hints::parse(&text);
    if let Ok(size) = parse_size(&text, Unit::Mebi) {
        let again = parse_size(&size.get().to_string(), Unit::Byte);
        assert_eq!(again.ok(), Some(size), "a size in bytes is read as another");
    }
}

/// One of each.
pub fn conf_seeds() -> Vec<Vec<u8>> {
    [
        "devices {\n\tfilter = [ \"a|^/dev/sd.*|\", \"r|.*|\" ]\n\tscan_lvs = 0\n\ttypes = [ \"fd\", 16 ]\n}\n\
         global { thin_check_options = [ \"-q\", \"--clear-needs-check-flag\" ] umask = 077 }\n\
         activation/thin_pool_autoextend_threshold = 70\nbackup { retain_days = 30 }\n",
        "# LVM uses devices listed in this file.\nVERSION=1.1.4\n\
         IDTYPE=sys_wwid IDNAME=t10.x DEVNAME=/dev/sda PVID=abcdefghijklmnopqrstuvwxyz012345 PART=1\n",
        "hints_version: 2.1\nglobal_filter:a|.*|\nfilter:a|.*|\nscan_lvs:0\ndevices_file:.\ndevs_hash: 123 4\n\
         scan:/dev/sda pvid:abcdefghijklmnopqrstuvwxyz012345 devn:8:0 vg:pve\n",
        "12.5G",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
