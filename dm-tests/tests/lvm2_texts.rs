//! Every metadata text that lvm2 was recorded writing: given back byte for byte, understood, free of
//! violations, and laid out as lvm2 does.

use std::collections::HashMap;

use dm_tests::samples::{Text, text_container, texts};
use lvm2::format::check::check;
use lvm2::format::edit::{Edit, MetadataHeader};
use lvm2::format::metadata::Metadata;
use lvm2::format::text::Document;

/// Reads the recorded texts and runs `test` on each; lists all failures.
fn each(test: impl Fn(&Text<'_>) -> Result<(), String>) {
    let container = text_container().expect("the texts are recorded");
    let texts = texts(&container).expect("the container is whole");
    assert!(texts.len() > 300, "only {} texts are recorded", texts.len());
    let failures: Vec<String> =
        texts.iter().filter_map(|text| test(text).err().map(|why| format!("{}: {why}", text.name))).collect();
    assert!(failures.is_empty(), "{} of {} texts:\n{}", failures.len(), texts.len(), failures.join("\n"));
}

fn parse(text: &str) -> Result<Metadata, String> {
    Metadata::parse(text.as_bytes())
        .map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))
}

/// The part that describes the volume group, without the header around it.
fn body(text: &str) -> &str {
    let text = text.split("\n# Generated").next().unwrap_or(text);
    let header = text.starts_with('#').then(|| text.find("\n\n").and_then(|_| text.find(" {\n"))).flatten();
    let start = header.map_or(0, |brace| text[..brace].rfind('\n').map_or(0, |line| line + 1));
    text[start..].trim_end()
}

fn metadata_header() -> MetadataHeader {
    MetadataHeader {
        description: "test".into(),
        host: "host".into(),
        uname: "Linux".into(),
        time: 1,
        time_text: "now".into(),
    }
}

#[test]
fn every_text_comes_back_byte_for_byte() {
    each(|text| {
        for nuls in 0..2 {
            let bytes = [text.text.as_bytes(), &vec![0; nuls]].concat();
            let doc = Document::parse(&bytes).map_err(|error| error.to_string())?;
            if doc.to_bytes() != bytes {
                return Err("it differs".into());
            }
        }
        Ok(())
    });
}

#[test]
fn every_text_is_understood_and_keeps_the_rules() {
    each(|text| match check(&parse(text.text)?.vg).as_slice() {
        [] => Ok(()),
        broken => Err(broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    });
}

/// The first lines in which two bodies differ.
fn same(made: &[u8], wanted: &str) -> Result<(), String> {
    let made = String::from_utf8_lossy(made);
    let (made, wanted) = (body(made.trim_end_matches('\0')), body(wanted));
    if made == wanted {
        return Ok(());
    }
    let differs = made.lines().zip(wanted.lines()).enumerate().find(|(_, (made, wanted))| made != wanted);
    Err(format!("{} and {} bytes, first difference: {differs:?}", made.len(), wanted.len()))
}

#[test]
fn layouts_are_exchanged_as_lvm2_does() {
    let container = text_container().unwrap();
    let texts = texts(&container).unwrap();
    // The same state of the same group, as lvm2 put it on disk and into a file.
    let mut on_disk = HashMap::new();
    for text in texts.iter().filter(|text| text.name.contains("/disk/")) {
        let metadata = parse(text.text).unwrap();
        on_disk.insert((metadata.vg.id, metadata.vg.seqno), (text, metadata));
    }
    let compared = std::cell::Cell::new(0);
    each(|file| {
        if file.name.contains("/disk/") {
            return Ok(());
        }
        let metadata = parse(file.text)?;
        same(&metadata.to_backup_file("x", &metadata_header()), file.text)?;
        let state = (metadata.vg.id, metadata.vg.seqno);
        let Some((disk, other)) = on_disk.get(&state).filter(|(_, other)| other.vg == metadata.vg) else {
            return Ok(());
        };
        compared.set(compared.get() + 1);
        same(&other.to_backup_file("x", &metadata_header()), file.text)?;
        // lvm2 indents the settings of a cache on disk, which a file does not tell from its own indentation.
        same(&metadata.to_disk(), &disk.text.replace("\n\t", "\n"))
    });
    assert!(compared.get() > 100, "only {} states are recorded in both layouts", compared.get());
}

#[test]
fn a_change_touches_only_its_own_lines() {
    each(|text| {
        let metadata = parse(text.text)?;
        let Some(lv) = metadata.vg.lvs.iter().find(|lv| lv.is_visible()) else { return Ok(()) };
        let tag = |tag: &str| tag.to_owned();
        let add = Edit::AddTag { lv: lv.name.clone(), tag: tag("added") };
        let del = Edit::DelTag { lv: lv.name.clone(), tag: tag("added") };
        let apply = |metadata: &Metadata, edit| {
            metadata.apply(&[edit], &metadata_header()).map_err(|error| error.to_string())
        };
        let added = apply(&metadata, add)?;
        let back = apply(&added, del)?;
        let lines = |metadata: &Metadata| {
            let text = String::from_utf8(metadata.doc.to_bytes()).unwrap_or_default();
            body(&text).lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let (old, new) = (lines(&metadata), lines(&added));
        let changed = new.iter().filter(|line| !old.contains(line)).count();
        if changed != 2 || new.len() - old.len() > 1 {
            return Err(format!(
                "{changed} lines are new: {:?}",
                new.iter().find(|line| !old.contains(line))
            ));
        }
        let seqno = |line: &&String| !line.trim_start().starts_with("seqno = ");
        if lines(&back).iter().filter(seqno).ne(old.iter().filter(seqno)) {
            return Err("removing the tag does not give the old text back".into());
        }
        Ok(())
    });
}
