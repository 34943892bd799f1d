use std::cell::{Cell, RefCell};

use super::*;
use crate::transaction::Make;
use crate::transaction::tests::report;
use base::error_kind::ErrorKind;
use base::ids::LvName;
use thin::error::RefusedRequest;
use thin::lineage::fixture::vg;

/// An engine that refuses to remove volumes whose names begin with "busy", as one does: all of them at once.
#[derive(Default)]
struct Engine {
    /// A volume group that cannot be read.
    locked: Option<&'static str>,
    log: RefCell<Vec<String>>,
    mended: Cell<bool>,
}

impl Engine {
    fn run(&self, word: &str, name: &VgName, make: Make<'_>) -> Result<Report, CliError> {
        if self.locked == Some(name.as_str()) {
            return Err(CliError::new(ErrorKind::Busy, format!("{name} is locked")));
        }
        let requests = make(&Vg { name: name.clone(), ..vg(vec![]) })?;
        self.log.borrow_mut().push(format!("{word} {name} {}", requests.len()));
        let refused: Vec<RefusedRequest> = (0..)
            .zip(&requests)
            .filter_map(|(request, asked)| match asked {
                Request::Remove { name } if name.as_str().starts_with("busy") => Some(RefusedRequest {
                    request,
                    kind: ErrorKind::Busy,
                    message: format!("{name} is in use"),
                    hint: Some("by a mount".into()),
                }),
                _ => None,
            })
            .collect();
        let recovered = if self.mended.replace(true) { vec![] } else { vec!["leftovers".to_owned()] };
        if refused.is_empty() {
            return Ok(Report { recovered, ..report(name, requests.len()) });
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

impl Port for Engine {
    fn rehearse(&self, vg: &VgName, make: Make<'_>) -> Result<Report, CliError> {
        self.run("rehearse", vg, make)
    }

    fn change(&self, vg: &VgName, make: Make<'_>) -> Result<Report, CliError> {
        self.run("change", vg, make)
    }
}

/// Each line removes the volume it names, `<vg>/<lv>`; those called "none" do not exist, "-" is no request, and "needs"
/// something needs it to be among the lines.
fn run(engine: &Engine, text: &[&str], keep_going: bool) -> Result<(Changes, Option<CliError>), CliError> {
    let mut lines = Lines { by_vg: BTreeMap::new(), bad: BTreeMap::new(), names: BTreeMap::new() };
    for (number, text) in (1..).zip(text) {
        match text.split_once('/') {
            Some((vg, lv)) => {
                let needs = lv.strip_prefix("needs-").map(str::to_owned).into_iter().collect();
                lines.names.insert(number, LineVolumes { changes: vec![lv.to_owned()], needs });
                let of_vg: &mut Vec<_> = lines.by_vg.entry(VgName::new(vg).unwrap()).or_default();
                of_vg.push(Line { number, what: lv.to_owned() });
            }
            None => _ = lines.bad.insert(number, CliError::usage("not a request")),
        }
    }
    carry_out(engine, Mode { dry_run: false, keep_going }, lines, |_, lines| {
        let mut resolved = Resolved::default();
        for line in lines {
            let needed = line.what.strip_prefix("needs-");
            if line.what == "none" || needed.is_some_and(|lv| !lines.iter().any(|line| line.what == lv)) {
                resolved.bad.insert(line.number, CliError::new(ErrorKind::NotFound, "no such volume"));
                continue;
            }
            resolved.lines.push(line.number);
            resolved.wanted.push(LabelledRequest {
                request: Request::Remove { name: LvName::new(&line.what).unwrap() },
                display_name: line.what.clone(),
                done_message: format!("Removed '{}'", line.what),
            });
        }
        resolved
    })
}

#[test]
fn good_lines_are_one_transaction_and_each_has_its_result() {
    let engine = Engine::default();
    let (changes, failure) = run(&engine, &["a/x", "a/y"], false).unwrap();
    assert_eq!((failure, engine.log()), (None, vec!["change a 2".to_owned()]));
    let json = serde_json::to_value(&changes).unwrap();
    assert_eq!(json["transactions"][0]["done"][1]["line"], 2);
    assert_eq!(json["transactions"][0]["done"][1]["display_name"], "y");
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
            "line 3: no such volume",
            "line 4: busy1 is in use",
            "line 6: busy2 is in use"
        ]
    );
    assert!(engine.log().iter().all(|run| run.starts_with("rehearse")));
    let json = serde_json::to_value(&error).unwrap();
    assert_eq!(json["lines"][3]["line"], 6);
    assert_eq!((&json["lines"][3]["code"], &json["lines"][3]["hint"]), (&4.into(), &"by a mount".into()));
}

#[test]
fn what_the_first_attempt_did_not_meet_is_told_too() {
    let engine = Engine::default();
    let error = run(&engine, &["a/busy1", "a/none", "a/x"], false).unwrap_err();
    assert_eq!(error.causes, ["line 1: busy1 is in use", "line 2: no such volume"]);
    assert_eq!(engine.log(), ["rehearse a 2", "rehearse a 1"], "nothing was changed");
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
    assert_eq!(engine.log(), ["change a 4", "change a 2", "change b 0"]);
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
    let mut lines = Lines { by_vg: BTreeMap::new(), bad: BTreeMap::new(), names: BTreeMap::new() };
    let of_vg: &mut Vec<_> = lines.by_vg.entry(VgName::new("a").unwrap()).or_default();
    of_vg.extend((2..=5).map(|number| Line { number, what: () }));
    lines.bad.insert(1, CliError::usage("cut short"));
    let names = |changes: &[&str], needs: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        LineVolumes { changes: owned(changes), needs: owned(needs) }
    };
    let all = [names(&["a"], &[]), names(&["b", "a"], &[]), names(&["c"], &["t"]), names(&["d"], &["b"])];
    lines.names.extend((1..).zip(all.into_iter().chain([names(&["e"], &["t"])])));
    let mode = Mode { dry_run: false, keep_going: true };
    let (_, failure) = carry_out(&engine, mode, lines, |_, lines| Resolved {
        lines: lines.iter().map(|line| line.number).collect(),
        wanted: lines
            .iter()
            .map(|_| LabelledRequest {
                request: Request::Remove { name: LvName::new("x").unwrap() },
                display_name: String::new(),
                done_message: String::new(),
            })
            .collect(),
        bad: BTreeMap::new(),
    })
    .unwrap();
    let message =
        |line, first| format!("line {line}: it is about the same volume as line {first}, which is left out");
    assert_eq!(failure.unwrap().causes, ["line 1: cut short".to_owned(), message(2, 1), message(4, 2)]);
    assert_eq!(engine.log(), ["change a 2"], "only needing the same template is no reason");
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
    let vg = VgName::new("a").unwrap();
    let rounds = |lines: usize| {
        let lines = (1..=lines).map(|number| Line { number, what: () }).collect();
        let by_vg = BTreeMap::from([(vg.clone(), lines)]);
        let lines = Lines { by_vg, bad: BTreeMap::new(), names: BTreeMap::new() };
        let engine = Engine::default();
        let mode = Mode { dry_run: false, keep_going: true };
        let result = carry_out(&engine, mode, lines, |_, lines| Resolved {
            wanted: (0..lines.len())
                .map(|place| LabelledRequest {
                    request: Request::Remove {
                        name: LvName::new(if place == 0 { "busy" } else { "x" }).unwrap(),
                    },
                    display_name: String::new(),
                    done_message: String::new(),
                })
                .collect(),
            lines: lines.iter().map(|line| line.number).collect(),
            bad: BTreeMap::new(),
        });
        (engine.log().len(), result.unwrap_err())
    };
    let (attempts, error) = rounds(ROUNDS - 1);
    assert_eq!((attempts, error.code), (ROUNDS, ErrorKind::Busy), "the last attempt has nothing left to do");
    let (attempts, error) = rounds(ROUNDS + 5);
    assert_eq!(attempts, ROUNDS);
    assert!(error.lines.last().unwrap().why.message.contains("build on lines that are refused"));
}
