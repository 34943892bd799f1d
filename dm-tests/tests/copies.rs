//! Which states of a volume group are kept as files while changes are committed.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};

use base::ids::{ThinId, TransactionId, VgName};
use dm_tests::world::text::{POOL, fresh};
use dm_tests::world::{lv, metadata_header};
use lvm2::format::edit::Edit;
use lvm2::format::metadata::Metadata;
use lvm2::format::model::PoolMessage;
use lvm2::host::backup::{Backups, Notes, State};
use lvm2::host::conf::BackupConf;
use thin::internals::backup_store::BackupStore;
use thin::internals::plan::Commit;
use thin::internals::ports::{CommitFailure, MetadataStore};

/// Metadata areas that take so many commits.
struct Areas(Cell<usize>);

impl MetadataStore for Areas {
    fn commit(&mut self, _: &Commit) -> Result<Vec<String>, CommitFailure> {
        let failed = || CommitFailure {
            vg: VgName::new("pve").expect("a valid name"),
            nothing_changed: true,
            source: Box::new(io::Error::other("gone")),
        };
        self.0.set(self.0.get().checked_sub(1).ok_or_else(failed)?);
        Ok(Vec::new())
    }
}

/// A state after `before`: with a message, as in the middle of a transaction, or at rest.
fn next(before: &Metadata, id: u64, pending: bool) -> Metadata {
    let message = PoolMessage::Delete(ThinId::new(9).expect("a small id"));
    let messages = if pending { vec![message] } else { Vec::new() };
    let edits = [
        Edit::SetPoolTransaction { pool: lv(POOL), id: TransactionId(id) },
        Edit::SetPoolMessages { pool: lv(POOL), messages },
    ];
    before.apply(&edits, &metadata_header()).expect("the edits make sense")
}

/// As the planner makes it: work goes on from a state without messages only.
fn commit(state: &Metadata) -> Box<Commit> {
    if state.vg.pools().all(|(_, pool)| pool.messages.is_empty()) {
        return Commit::new(state.clone(), Vec::new());
    }
    Commit::of_text(state.vg.seqno, state.to_disk(), Vec::new())
}

fn conf(dir: &Path) -> BackupConf {
    BackupConf {
        backup: true,
        backup_dir: dir.join("backup"),
        archive: true,
        archive_dir: dir.join("archive"),
        retain_min: 10,
        retain_days: 30,
    }
}

/// The sequence numbers and descriptions of copies.
type Seen = Vec<(u32, String)>;

/// The copies in a folder.
fn copies(dir: PathBuf) -> Seen {
    let Ok(files) = std::fs::read_dir(dir) else { return Vec::new() };
    let copy = |file: io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(file.expect("an entry").path()).expect("a copy");
        let said = text.lines().find_map(|line| line.strip_prefix("description = "));
        let said = said.expect("a copy has a description").to_owned();
        (Metadata::parse(text.as_bytes()).expect("a copy is metadata").vg.seqno.0, said)
    };
    let mut copies: Seen = files.map(copy).collect();
    copies.sort();
    copies
}

/// Commits these states, of which the areas take `taken`; returns the copies before and after. A plan ends with each
/// state at rest.
fn kept(start: &Metadata, states: &[Metadata], taken: usize) -> (Seen, Seen) {
    let dir = tempfile::tempdir().expect("a folder");
    let backups = Backups::new(conf(dir.path()));
    let mut areas = Areas(Cell::new(taken));
    let mut kept = BackupStore::new(&mut areas, &backups, "thinvol free pve/x", metadata_header(), start);
    for (place, state) in states.iter().enumerate() {
        let commit = commit(state);
        assert_eq!(kept.commit(&commit).is_ok(), place < taken);
        if commit.metadata.is_some() && place < taken {
            kept.keep_copy();
            assert_eq!(
                copies(dir.path().join("backup")),
                [said(state.vg.seqno.0, "after")],
                "while udev works"
            );
        }
    }
    assert_eq!(kept.close(), Vec::<String>::new());
    (copies(dir.path().join("archive")), copies(dir.path().join("backup")))
}

fn said(seqno: u32, when: &str) -> (u32, String) {
    (seqno, format!("\"Created *{when}* executing 'thinvol free pve/x'\""))
}

fn start() -> (Metadata, u32) {
    let start = Metadata::parse(fresh(1, 1).as_bytes()).expect("a valid text");
    let seqno = start.vg.seqno.0;
    (start, seqno)
}

#[test]
fn a_transaction_is_archived_before_and_backed_up_after() {
    let (start, seqno) = start();
    let first = next(&start, 1, true);
    let second = next(&first, 1, false);
    let (archive, backup) = kept(&start, &[first, second], 2);
    assert_eq!(archive, [said(seqno, "before")]);
    assert_eq!(backup, [said(seqno + 2, "after")]);
}

/// What a crash left is a state somebody may want back, and so is what recovery made of it. It does not matter that
/// nothing is committed after that: the request was refused.
#[test]
fn recovery_keeps_the_state_it_found_and_the_one_it_made() {
    let (start, seqno) = start();
    let found = next(&start, 1, true);
    let mended = next(&found, 1, false);
    let (archive, backup) = kept(&found, std::slice::from_ref(&mended), 1);
    assert_eq!(archive, [said(seqno + 1, "before")]);
    assert_eq!(backup, [said(seqno + 2, "after")]);
    let first = next(&mended, 2, true);
    let second = next(&first, 2, false);
    let (archive, backup) = kept(&found, &[mended, first, second], 3);
    assert_eq!(archive, [said(seqno + 1, "before"), said(seqno + 2, "before")]);
    assert_eq!(backup, [said(seqno + 4, "after")]);
}

#[test]
fn a_commit_that_fails_leaves_the_backup_of_the_last_that_did_not() {
    let (start, seqno) = start();
    let first = next(&start, 1, true);
    let second = next(&first, 1, false);
    let (_, backup) = kept(&start, &[first.clone(), second.clone()], 1);
    assert_eq!(backup, [said(seqno + 1, "after")]);
    let (archive, backup) = kept(&start, &[first, second], 0);
    assert_eq!((archive.len(), backup), (2, Vec::new()));
}

/// The copy before the second change is made from the one after the first, if that is still what it was.
#[test]
fn a_copy_from_the_one_before_says_the_same() {
    let (start, _) = start();
    let archived = |noted: bool, between: &dyn Fn(&Path, &Metadata)| {
        let dir = tempfile::tempdir().expect("a folder");
        let backups = Backups::new(conf(dir.path()));
        let notes = Notes::new(&dir.path().join("run"), "this build");
        let backups = if noted { backups.noted(notes) } else { backups };
        let (mut state, mut id) = (start.clone(), 1);
        for command in ["thinvol free pve/x", "thinvol alloc pve/data 1 '' 1G"] {
            let mut areas = Areas(Cell::new(2));
            let mut kept = BackupStore::new(&mut areas, &backups, command, metadata_header(), &state);
            let pending = next(&state, id, true);
            let after = next(&pending, id, false);
            kept.commit(&commit(&pending)).expect("there is room");
            kept.commit(&commit(&after)).expect("there is room");
            assert_eq!(kept.close(), Vec::<String>::new());
            (state, id) = (after, id + 1);
            between(&dir.path().join("backup/pve"), &state);
        }
        let files = std::fs::read_dir(dir.path().join("archive")).expect("a folder");
        let text = |file: io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(file.expect("an entry").path()).expect("a copy")
        };
        let mut texts: Vec<String> = files.map(text).collect();
        texts.sort();
        texts
    };
    let anew = archived(false, &|_, _| {});
    assert_eq!(archived(true, &|_, _| {}), anew);
    let spoil = |backup: &Path, _: &Metadata| {
        let text = std::fs::read_to_string(backup).expect("a copy").replace("extent_size", "extent_sise");
        std::fs::write(backup, text).expect("it can be written");
    };
    assert_eq!(archived(true, &spoil), anew);
    // As another comment in the file shows, it is taken as it is where the note says so.
    let marked = archived(true, &|backup, state| {
        let text = std::fs::read_to_string(backup).expect("a copy");
        let body = text.find("pve {").expect("a group");
        let text = text.replace("# Hint only", "# HINT ONLY");
        std::fs::write(backup, &text).expect("it can be written");
        let run = backup.parent().and_then(Path::parent).expect("a folder").join("run");
        let text_of_state = state.disk_text();
        let noted = State { vg: state.vg.id, seqno: state.vg.seqno, text: &text_of_state };
        Notes::new(&run, "this build").set(&noted, text.as_bytes(), body);
    });
    assert_eq!(marked.iter().filter(|text| text.contains("# HINT ONLY")).count(), 1);
}

#[test]
fn a_copy_that_cannot_be_kept_is_a_warning() {
    let (start, _) = start();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("archive"), "in the way").unwrap();
    let backups = Backups::new(conf(dir.path()));
    let mut areas = Areas(Cell::new(1));
    let mut kept = BackupStore::new(&mut areas, &backups, "thinvol free pve/x", metadata_header(), &start);
    kept.commit(&commit(&next(&start, 1, false))).unwrap();
    let warnings = kept.close();
    assert!(
        matches!(warnings.as_slice(), [one] if one.contains("no copy of the metadata was kept")),
        "{warnings:?}"
    );
}
