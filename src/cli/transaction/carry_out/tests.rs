use std::cell::{Cell, RefCell};

use super::*;
use crate::transaction::tests::{removal, report};
use thin::RefusedChange;
use thin::changes::{RemoveVolume, VolumeOrSnapshot};

/// An engine that refuses to remove volumes whose names begin with "busy", all of them at once, and before that, as an
/// engine does, those called "none", which do not exist, and "needs-x" where `x` is not among the volumes.
#[derive(Default)]
struct Engine {
    /// A volume group that cannot be read.
    locked: Option<&'static str>,
    /// Whether of what is refused only the first is told.
    first_only: bool,
    log: RefCell<Vec<String>>,
    mended: Cell<bool>,
}

impl Engine {
    fn run(&self, word: &str, name: &VgName, changes: &[Change]) -> Result<Report, CliError> {
        if self.locked == Some(name.as_str()) {
            return Err(CliError::new(ErrorKind::Busy, format!("{name} is locked")));
        }
        self.log.borrow_mut().push(format!("{word} {name} {}", changes.len()));
        let names: Vec<&str> = changes.iter().map(lv).collect();
        let is_missing = |lv: &&str| {
            *lv == "none" || lv.strip_prefix("needs-").is_some_and(|needed| !names.contains(&needed))
        };
        let refuse = |is: &dyn Fn(&&str) -> bool, kind, why: &str| -> Vec<RefusedChange> {
            let refused = names.iter().enumerate().filter(|(_, lv)| is(lv));
            let told = refused.map(|(place, lv)| {
                let mut refused = RefusedChange::new(place, kind, format!("{lv} {why}"));
                refused.hint = Some("by a mount".into());
                refused
            });
            told.take(if self.first_only { 1 } else { usize::MAX }).collect()
        };
        let mut refused = refuse(&is_missing, ErrorKind::NotFound, "does not exist");
        let mut recovered = Vec::new();
        if refused.is_empty() {
            recovered.extend((!self.mended.replace(true)).then(|| "leftovers".to_owned()));
            refused = refuse(&|lv| lv.starts_with("busy"), ErrorKind::Busy, "is in use");
        }
        if refused.is_empty() {
            let mut report = report(name, changes);
            report.recovered = recovered;
            return Ok(report);
        }
        let mut error = CliError::new(ErrorKind::Busy, "the first is in use");
        error.aside.recovered = recovered;
        error.aside.refused = refused;
        Err(error)
    }

    fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }
}

fn lv(change: &Change) -> &str {
    match change {
        Change::Remove(RemoveVolume { volume: VolumeOrSnapshot::Volume(volume), .. }) => volume.lv.as_str(),
        other => panic!("{other:?}"),
    }
}

impl Port for Engine {
    fn plan(&self, vg: &VgName, changes: &[Change]) -> Result<Report, CliError> {
        self.run("plan", vg, changes)
    }

    fn apply(&self, vg: &VgName, changes: &[Change]) -> Result<Report, Failed> {
        Ok(self.run("apply", vg, changes)?)
    }
}

fn concerns(changes: &[&str], needs: &[&str]) -> Concerns {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut concerns = Concerns::default();
    (concerns.changes, concerns.needs) = (owned(changes), owned(needs));
    concerns
}

/// Each line removes the volume it names, `<vg>/<lv>`; "-" is no request.
fn lines(text: &[&str]) -> Lines {
    let mut lines = Lines::default();
    for (place, text) in (1..).zip(text) {
        match text.split_once('/') {
            Some((vg, lv)) => {
                let needs: Vec<&str> = lv.strip_prefix("needs-").into_iter().collect();
                lines.concerns.insert(place, concerns(&[lv], &needs));
                let of_vg: &mut Vec<_> = lines.by_vg.entry(VgName::new(vg).unwrap()).or_default();
                of_vg.push(Line { place, number: Some(place), change: removal(vg, lv) });
            }
            None => _ = lines.bad.insert(place, CliError::usage("not a request")),
        }
    }
    lines
}

fn mode(keep_going: bool) -> Mode {
    Mode { dry_run: false, telling: Telling::ByLine { keep_going } }
}

fn run(engine: &Engine, text: &[&str], keep_going: bool) -> Result<(Changes, Option<CliError>), CliError> {
    carry_out(engine, mode(keep_going), lines(text))
}

#[test]
fn good_lines_are_one_transaction_and_each_has_its_result() {
    let engine = Engine::default();
    let (changes, failure) = run(&engine, &["a/x", "a/y"], false).unwrap();
    assert_eq!((failure, engine.log()), (None, vec!["apply a 2".to_owned()]));
    let json = serde_json::to_value(&changes).unwrap();
    assert_eq!(json["transactions"][0]["done"][1]["line"], 2);
    assert_eq!(json["transactions"][0]["done"][1]["display_name"], "a/y");
    assert_eq!(json.get("failed"), None);
}

#[test]
fn all_bad_lines_are_told_at_once_and_nothing_is_changed() {
    let text = ["a/x", "-", "a/none", "b/busy1", "b/y", "b/busy2"];
    let engine = Engine::default();
    let error = run(&engine, &text, false).unwrap_err();
    assert_eq!(error.message, "4 of 6 requests are refused; nothing was changed");
    assert_eq!(error.code, ErrorKind::Refused);
    assert_eq!(
        error.causes,
        [
            "line 2: not a request",
            "line 3: none does not exist",
            "line 4: busy1 is in use",
            "line 6: busy2 is in use"
        ]
    );
    assert!(engine.log().iter().all(|run| run.starts_with("plan")));
    let json = serde_json::to_value(&error).unwrap();
    assert_eq!(json["lines"][3]["line"], 6);
    assert_eq!((&json["lines"][3]["code"], &json["lines"][3]["hint"]), (&4.into(), &"by a mount".into()));
}

#[test]
fn what_the_first_attempt_did_not_meet_is_told_too() {
    let engine = Engine::default();
    let error = run(&engine, &["a/busy1", "a/none", "a/x"], false).unwrap_err();
    assert_eq!(error.causes, ["line 1: busy1 is in use", "line 2: none does not exist"]);
    assert_eq!(engine.log(), ["apply a 3", "plan a 2", "plan a 1"], "the first was refused whole");
    let one = run(&Engine::default(), &["a/x", "a/busy1"], false).unwrap_err();
    assert_eq!((one.message.as_str(), one.code), ("line 2: busy1 is in use", ErrorKind::Busy));
    assert_eq!((one.hint.as_deref(), one.lines.len()), (Some("by a mount"), 0));
    assert_eq!(one.aside.recovered, ["leftovers"], "what was mended is told with the refusal");
}

#[test]
fn with_keep_going_the_good_lines_are_one_transaction_and_the_bad_ones_are_told() {
    let text = ["a/x", "-", "a/busy1", "a/needs-busy1", "b/none", "a/needs-x"];
    let engine = Engine::default();
    let (changes, failure) = run(&engine, &text, true).unwrap();
    let failure = failure.unwrap();
    assert_eq!(failure.code, ErrorKind::Partial);
    assert_eq!(failure.message, "4 of 6 requests are left out; the others were carried out");
    assert_eq!(failure.causes.len(), 4);
    assert_eq!(engine.log(), ["apply a 4", "apply a 2", "apply b 1", "apply b 0"]);
    let json = serde_json::to_value(&changes).unwrap();
    let numbers = |of: &serde_json::Value| -> Vec<u64> {
        of.as_array().unwrap().iter().map(|item| item["line"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(&json["transactions"][0]["done"]), [1, 6]);
    assert_eq!(json["transactions"][0]["recovered"], serde_json::json!(["leftovers"]));
    assert_eq!(numbers(&json["failed"]), [2, 3, 4, 5]);
    assert_eq!(json["failed"][2]["message"], "it is about the same volume as line 3, which is left out");
}

/// Line 2 could be carried out, but it was written to come after line 1, and line 4 after line 2.
#[test]
fn with_keep_going_nothing_is_done_to_a_volume_whose_earlier_line_is_left_out() {
    let engine = Engine::default();
    let mut lines = lines(&["-", "a/b", "a/c", "a/d", "a/e"]);
    lines.bad.insert(1, CliError::usage("cut short"));
    let all = [
        concerns(&["a"], &[]),
        concerns(&["b", "a"], &[]),
        concerns(&["c"], &["t"]),
        concerns(&["d"], &["b"]),
        concerns(&["e"], &["t"]),
    ];
    lines.concerns = (1..).zip(all).collect();
    let (_, failure) = carry_out(&engine, mode(true), lines).unwrap();
    let message =
        |line, first| format!("line {line}: it is about the same volume as line {first}, which is left out");
    assert_eq!(failure.unwrap().causes, ["line 1: cut short".to_owned(), message(2, 1), message(4, 2)]);
    assert_eq!(engine.log(), ["apply a 2"], "only needing the same template is no reason");
}

/// A line that names what is not there takes those after it about the same volume with it.
#[test]
fn with_keep_going_a_line_that_cannot_be_resolved_is_left_out_with_what_follows() {
    let engine = Engine::default();
    let mut lines = lines(&["a/none", "a/b", "a/c"]);
    lines.concerns.insert(2, concerns(&["b"], &["none"]));
    let (_, failure) = carry_out(&engine, mode(true), lines).unwrap();
    assert_eq!(
        failure.unwrap().causes,
        ["line 1: none does not exist", "line 2: it is about the same volume as line 1, which is left out"]
    );
    assert_eq!(engine.log(), ["apply a 3", "apply a 1"]);
}

#[test]
fn with_keep_going_a_volume_group_that_fails_leaves_the_others() {
    let engine = Engine { locked: Some("a"), ..Engine::default() };
    let (changes, failure) = run(&engine, &["a/x", "b/y"], true).unwrap();
    assert_eq!(failure.unwrap().causes, ["line 1: a is locked"]);
    assert_eq!(serde_json::to_value(&changes).unwrap()["transactions"][0]["vg"], "b");
    let all = run(&engine, &["a/x", "a/y"], true).unwrap_err();
    assert_eq!((all.code, all.causes.len()), (ErrorKind::Busy, 2));
    let alone = run(&engine, &["a/x", "a/y"], false).unwrap_err();
    assert_eq!((alone.message.as_str(), alone.lines.len()), ("a is locked", 0));
}

/// Of what is left each attempt refuses the first line only.
#[test]
fn lines_that_build_on_each_other_without_end_are_given_up() {
    let rounds = |count: usize| {
        let text: Vec<String> = (1..=count).map(|place| format!("a/busy{place}")).collect();
        let engine = Engine { first_only: true, ..Engine::default() };
        let result = run(&engine, &text.iter().map(String::as_str).collect::<Vec<_>>(), true);
        (engine.log().len(), result.unwrap_err())
    };
    let (attempts, error) = rounds(ROUNDS - 1);
    assert_eq!((attempts, error.code), (ROUNDS, ErrorKind::Busy), "the last attempt has nothing left to do");
    let (attempts, error) = rounds(ROUNDS + 5);
    assert_eq!(attempts, ROUNDS);
    assert!(error.lines.last().unwrap().why.message.contains("build on lines that are refused"));
}

/// An engine that does the first change, and fails at what comes after it.
struct Midway;

impl Port for Midway {
    fn plan(&self, vg: &VgName, changes: &[Change]) -> Result<Report, CliError> {
        Ok(report(vg, changes))
    }

    fn apply(&self, vg: &VgName, changes: &[Change]) -> Result<Report, Failed> {
        Err(Failed {
            done: vec![report(vg, &changes[..1])],
            error: Box::new(CliError::new(ErrorKind::Partial, "the second fails")),
        })
    }
}

#[test]
fn transactions_before_one_that_fails_are_told() {
    let (changes, failure) = carry_out(&Midway, mode(false), lines(&["pve/a", "pve/b"])).unwrap();
    let failure = failure.unwrap();
    assert_eq!((failure.code, failure.message.as_str()), (ErrorKind::Partial, "the second fails"));
    assert_eq!(changes.transactions.len(), 1);
    assert_eq!(changes.transactions[0].done[0].line, Some(1));
    let (changes, failure) = carry_out(&Midway, mode(false), lines(&["pve/a", "x/b"])).unwrap();
    let failure = failure.unwrap();
    assert_eq!(failure.message, "volume group 'pve' failed half way, those after it are as they were");
    assert_eq!(changes.transactions.len(), 1);
    let (changes, failure) = carry_out(&Midway, mode(true), lines(&["pve/a", "pve/b"])).unwrap();
    assert_eq!(changes.transactions[0].done.len(), 1);
    assert_eq!(changes.failed.iter().map(|bad| bad.line).collect::<Vec<_>>(), [2]);
    assert_eq!(failure.unwrap().code, ErrorKind::Partial);
}

#[test]
fn what_is_about_a_pool_that_is_left_out_is_left_out() {
    let engine = Engine::default();
    let mut lines = lines(&["pve/busy", "pve/a", "pve/b"]);
    let of_pool = |changed: bool| {
        let mut concerns = Concerns::default();
        let pool = if changed { &mut concerns.changed_pool } else { &mut concerns.pool };
        *pool = Some("data".into());
        concerns
    };
    lines.concerns.insert(1, of_pool(true));
    lines.concerns.insert(2, of_pool(false));
    let (changes, _) = carry_out(&engine, mode(true), lines).unwrap();
    let failed: Vec<_> = changes.failed.iter().map(|bad| (bad.line, bad.why.message.as_str())).collect();
    let second = (2, "it is about the same pool as line 1, which is left out");
    assert_eq!(failed, [(1, "busy is in use"), second]);
}
