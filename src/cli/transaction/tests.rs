use std::cell::RefCell;

use super::*;
use base::error_kind::ErrorKind;
use base::ids::{LvName, Seqno};
use thin::engine::Done;
use thin::lineage::fixture::vg;
use thin::plan::Plan;

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
        make: Make<'_>,
        fails: Option<&str>,
    ) -> Result<Report, CliError> {
        let requests = make(&Vg { name: name.clone(), ..vg(vec![]) })?;
        self.log.borrow_mut().push(format!("{word} {name} {}", requests.len()));
        if fails == Some(name.as_str()) {
            return Err(CliError::new(ErrorKind::Busy, format!("{name} is busy")));
        }
        Ok(Report { executed: !self.dry_run, ..report(name, requests.len().min(1)) })
    }
}

/// The report of a change that was made: of each request, that `x` was removed.
pub(super) fn report(vg: &VgName, requests: usize) -> Report {
    let done = |request| Done {
        request,
        name: LvName::new("x").unwrap(),
        uuid: None,
        path: PathBuf::from(format!("/dev/{vg}/x")),
        what: "removed".into(),
    };
    Report {
        plan: Plan::new(vg.clone(), Seqno(1)),
        done: (0..requests).map(done).collect(),
        warnings: vec![format!("warning of {vg}")],
        left: Vec::new(),
        recovered: vec!["leftovers".into()],
        executed: true,
        suspended_us: None,
        ioctls: BTreeMap::new(),
    }
}

impl Port for Recorder {
    fn rehearse(&self, vg: &VgName, make: Make<'_>) -> Result<Report, CliError> {
        self.run("rehearse", vg, make, self.fails_rehearsal)
    }

    fn change(&self, vg: &VgName, make: Make<'_>) -> Result<Report, CliError> {
        self.run("change", vg, make, self.fails)
    }
}

/// Removes `x` of each VG; of a VG called `none` there is nothing to remove.
fn remove(port: &Recorder, vgs: &[&str]) -> Result<(Changes, Option<CliError>), CliError> {
    let wishes = by_vg(vgs.iter().map(|vg| {
        let vg = VgName::new(vg).unwrap();
        (vg.clone(), vg)
    }));
    carry_out(port, port.dry_run, wishes, |_, vgs| {
        let vgs = vgs.iter().filter(|vg| vg.as_str() != "none");
        let wanted = vgs.map(|vg| LabelledRequest {
            request: Request::Remove { name: LvName::new("x").unwrap() },
            display_name: format!("{vg}/x"),
            done_message: format!("Removed volume '{vg}/x'"),
        });
        Ok(ChangeSet { wanted: wanted.collect(), notes: vec!["a note".into()] })
    })
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
    assert_eq!((*port.log.borrow()).as_slice(), ["change a 2"]);
    assert!(failure.is_none());
    assert_eq!(text(&changes), "recovered: leftovers\nRemoved volume 'a/x'\nRemoved volume 'a/x'\n");
    let json = serde_json::to_value(&changes).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "executed": true,
            "transactions": [{
                "vg": "a",
                "done": [{"display_name": "a/x", "volume": "a/x", "path": "/dev/a/x", "what": "removed"}],
                "recovered": ["leftovers"],
                "commits": 0,
                "ioctls": {},
                "suspended_us": null,
            }],
            "notes": ["a note"],
            "warnings": ["warning of a"],
        })
    );
}

#[test]
fn several_are_all_rehearsed_first_and_changed_in_order_of_their_names() {
    let port = Recorder::default();
    let (changes, _) = remove(&port, &["b", "a", "none"]).unwrap();
    assert_eq!(
        (*port.log.borrow()).as_slice(),
        ["rehearse a 1", "rehearse b 1", "rehearse none 0", "change a 1", "change b 1", "change none 0"]
    );
    assert_eq!(changes.notes.len(), 3);
}

#[test]
fn a_refusal_in_rehearsal_changes_nothing() {
    let port = Recorder { fails_rehearsal: Some("b"), ..Recorder::default() };
    assert_eq!(remove(&port, &["a", "b"]).unwrap_err().code, ErrorKind::Busy);
    assert_eq!((*port.log.borrow()).as_slice(), ["rehearse a 1", "rehearse b 1"]);
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
    assert_eq!(text(&changes), "recovered: leftovers\nRemoved volume 'a/x'\n");
    let first = Recorder { fails: Some("a"), ..Recorder::default() };
    assert_eq!(remove(&first, &["a", "b"]).unwrap_err().code, ErrorKind::Busy);
}

#[test]
fn a_dry_run_shows_the_plan() {
    let port = Recorder { dry_run: true, ..Recorder::default() };
    let (changes, _) = remove(&port, &["a", "b"]).unwrap();
    assert_eq!((*port.log.borrow()).as_slice(), ["change a 1", "change b 1"]);
    assert!(
        text(&changes).starts_with("to recover first: leftovers\nplan for volume group a, metadata 1:\n")
    );
    let json = serde_json::to_value(&changes).unwrap();
    assert_eq!((&json["executed"], &json["transactions"][1]["plan"]["vg"]), (&false.into(), &"b".into()));
}
