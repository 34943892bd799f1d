use std::cell::RefCell;

use super::*;
use base::ids::{LvName, Seqno};
use thin::Plan;
use thin::changes::{Note, RemoveVolume, Volume, VolumeOrSnapshot};

/// An engine that writes down what it is asked, and fails for one VG in rehearsals or for real.
#[derive(Default)]
struct Recorder {
    fails_rehearsal: Option<&'static str>,
    fails: Option<&'static str>,
    dry_run: bool,
    log: RefCell<Vec<String>>,
}

impl Recorder {
    fn run(
        &self,
        word: &str,
        name: &VgName,
        changes: &[Change],
        fails: Option<&str>,
    ) -> Result<Report, CliError> {
        self.log.borrow_mut().push(format!("{word} {name} {}", changes.len()));
        if fails == Some(name.as_str()) {
            return Err(CliError::new(ErrorKind::Busy, format!("{name} is busy")));
        }
        Ok(report(name, changes))
    }
}

/// The report of changes that were made: of each, that its volume was removed.
pub(super) fn report(vg: &VgName, changes: &[Change]) -> Report {
    let lv = |change: &Change| match change {
        Change::Remove(RemoveVolume { volume: VolumeOrSnapshot::Volume(volume), .. }) => volume.lv.clone(),
        other => panic!("{other:?}"),
    };
    let done =
        changes.iter().enumerate().map(|(place, change)| Done::of(place, vg, lv(change), Effect::Removed));
    let mut report = Report::of(Plan::new(vg.clone(), Seqno(1)));
    report.done = done.collect();
    report.notes = vec![Note::Absent(Volume::new(vg.clone(), LvName::new("gone").unwrap()))];
    report.warnings = vec![format!("warning of {vg}")];
    report.recovered = vec!["leftovers".into()];
    report.executed = true;
    report.changes = 0..changes.len();
    report
}

impl Port for Recorder {
    fn plan(&self, vg: &VgName, changes: &[Change]) -> Result<Report, CliError> {
        let mut report = self.run("plan", vg, changes, self.fails_rehearsal)?;
        report.executed = false;
        Ok(report)
    }

    fn apply(&self, vg: &VgName, changes: &[Change]) -> Result<Report, Failed> {
        Ok(self.run("apply", vg, changes, self.fails)?)
    }
}

/// The removal of a volume.
pub(super) fn removal(vg: &str, lv: &str) -> Change {
    let volume = Volume::new(VgName::new(vg).unwrap(), LvName::new(lv).unwrap());
    RemoveVolume::new(VolumeOrSnapshot::Volume(volume)).into()
}

/// Removes `x` of each VG.
fn remove(port: &Recorder, vgs: &[&str]) -> Result<(Changes, Option<CliError>), CliError> {
    let mode = Mode { dry_run: port.dry_run, telling: Telling::Whole };
    carry_out(port, mode, Lines::of(vgs.iter().map(|vg| removal(vg, "x"))))
}

fn text(changes: &Changes) -> String {
    let mut out = Vec::new();
    changes.text(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn one_volume_group_is_changed_without_a_rehearsal() {
    let port = Recorder::default();
    let (changes, failure) = remove(&port, &["a", "a"]).unwrap();
    assert_eq!((*port.log.borrow()).as_slice(), ["apply a 2"]);
    assert!(failure.is_none());
    assert_eq!(text(&changes), "recovered: leftovers\nRemoved volume 'a/x'\nRemoved volume 'a/x'\n");
    let json = serde_json::to_value(&changes).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "executed": true,
            "transactions": [{
                "vg": "a",
                "done": [
                    {"display_name": "a/x", "volume": "a/x", "path": "/dev/a/x", "result": "removed"},
                    {"display_name": "a/x", "volume": "a/x", "path": "/dev/a/x", "result": "removed"},
                ],
                "recovered": ["leftovers"],
                "commits": 0,
                "ioctls": {},
                "suspended_us": null,
            }],
            "notes": ["volume 'a/gone' does not exist; nothing to remove"],
            "warnings": ["warning of a"],
        })
    );
}

#[test]
fn several_are_all_rehearsed_first_and_changed_in_order_of_their_names() {
    let port = Recorder::default();
    let (changes, _) = remove(&port, &["b", "a"]).unwrap();
    assert_eq!((*port.log.borrow()).as_slice(), ["plan a 1", "plan b 1", "apply a 1", "apply b 1"]);
    assert_eq!(changes.notes.len(), 2);
}

#[test]
fn a_refusal_in_rehearsal_changes_nothing() {
    let port = Recorder { fails_rehearsal: Some("b"), ..Recorder::default() };
    assert_eq!(remove(&port, &["a", "b"]).unwrap_err().code, ErrorKind::Busy);
    assert_eq!((*port.log.borrow()).as_slice(), ["plan a 1", "plan b 1"]);
}

#[test]
fn a_failure_behind_a_change_is_work_done_in_part() {
    let port = Recorder { fails: Some("b"), ..Recorder::default() };
    let (changes, failure) = remove(&port, &["a", "b", "c"]).unwrap();
    let failure = failure.unwrap();
    assert_eq!(
        (failure.code, failure.causes.as_slice()),
        (ErrorKind::Partial, ["b is busy".to_owned()].as_slice())
    );
    assert_eq!(
        failure.message,
        "volume group 'b' failed; those before it were changed as asked, those after it are as they were"
    );
    assert_eq!((*port.log.borrow())[3..], ["apply a 1", "apply b 1"]);
    let (_, failure) =
        remove(&Recorder { fails: Some("c"), ..Recorder::default() }, &["a", "b", "c"]).unwrap();
    assert_eq!(failure.unwrap().message, "volume group 'c' failed; those before it were changed as asked");
    assert_eq!(text(&changes), "recovered: leftovers\nRemoved volume 'a/x'\n");
    let first = Recorder { fails: Some("a"), ..Recorder::default() };
    assert_eq!(remove(&first, &["a", "b"]).unwrap_err().code, ErrorKind::Busy);
}

#[test]
fn a_dry_run_shows_the_plan() {
    let port = Recorder { dry_run: true, ..Recorder::default() };
    let (changes, _) = remove(&port, &["a", "b"]).unwrap();
    assert_eq!((*port.log.borrow()).as_slice(), ["plan a 1", "plan b 1"]);
    assert!(
        text(&changes).starts_with("to recover first: leftovers\nplan for volume group a, metadata 1:\n")
    );
    let json = serde_json::to_value(&changes).unwrap();
    assert_eq!((&json["executed"], &json["transactions"][1]["plan"]["vg"]), (&false.into(), &"b".into()));
}
