use super::*;
use crate::fixture::view;
use base::error_kind::ErrorKind;
use thin::lineage::fixture::lv;

fn read(text: &str) -> Result<RequestKind, CliError> {
    RequestKind::of(Written::parse(text)?, &Resolver::over("lvmthin: st\n\tvgname pve\n\tthinpool data\n\n"))
}

#[test]
fn a_line_is_a_request() {
    let RequestKind::Create { storage, name, size, activate, autoactivate, tags } =
        read(r#"{"request":"create","pool":"pve/data","name":"any.name+1","size":"8G"}"#).unwrap()
    else {
        panic!("not a create")
    };
    assert_eq!((storage.to_string().as_str(), name.as_str()), ("pve/data", "any.name+1"));
    assert_eq!((size.get(), activate, autoactivate, tags.len()), (8 << 21, true, false, 0));
    let vg = |text: &str| read(text).unwrap().vg().to_string();
    assert_eq!(vg(r#"{"request":"snapshot","snapshot":"a/b@c","writable":true}"#), "a");
    assert_eq!(vg(r#"{"request":"clone","source":"d/b@c","name":"x","activate":false}"#), "d");
    assert_eq!(vg(r#"{"request":"remove","volume":"e/b@c"}"#), "e");
    assert_eq!(vg(r#"{"request":"deactivate","volume":"f/b"}"#), "f");
    assert!(matches!(
        read(r#"{"request":"create","pool":"pve/data","name":"n","size":1}"#),
        Ok(RequestKind::Create { size, .. }) if size.get() == 1
    ));
}

#[test]
fn what_is_no_request_says_why() {
    for (text, why) in [
        ("{", "not a request: EOF while parsing an object at column 1"),
        ("[]", "not a request: missing field `request` at column 2"),
        (r#"{"request":"shrink"}"#, "not a request: unknown variant `shrink`"),
        (r#"{"request":"remove","volume":"a/b","froce":true}"#, "not a request: unknown field `froce`"),
        (r#"{"request":"resize","volume":"a/b","size":"+"}"#, "the size \"\" has no unit"),
        (r#"{"request":"modify","volume":"a/b","write":1}"#, "not a request: unknown field `write`"),
        (r#"{"request":"rename","volume":"a/b","name":"x@y"}"#, "logical volume name 'x@y'"),
        (r#"{"request":"rollback","snapshot":"a/b"}"#, "'a/b' names no snapshot"),
        (r#"{"request":"remove"}"#, "not a request: missing field `volume`"),
        (r#"{"request":"remove","volume":"b"}"#, "'b' is not a volume"),
        (r#"{"request":"create","pool":"a/b","name":"x","size":"8"}"#, "the size \"8\" has no unit"),
        (
            r#"{"request":"create","pool":"a/b","name":"x","size":-8}"#,
            "not a request: invalid type: integer `-8`, expected a size: bytes as a whole number",
        ),
        (r#"{"request":"create","pool":"a/b","name":"x y","size":8}"#, "logical volume name 'x y'"),
        (
            r#"{"request":"create","pool":"a/b","name":"snapshot1","size":8}"#,
            "logical volume name 'snapshot1'",
        ),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.message.starts_with(why), "{text}: {}", error.message);
        assert_eq!(error.code, ErrorKind::Usage);
    }
}

fn resolved(text: &str) -> Resolved {
    let view = view(vec![
        lv(1, "a", None, vec![]),
        lv(2, "a_b", None, vec![]),
        lv(3, "snap_a_b_c", Some("a_b"), vec![]),
        lv(4, "vm-100-disk-0", None, vec![]),
        lv(5, "snap_vm-100-disk-0_s", Some("vm-100-disk-0"), vec![]),
    ]);
    let lines: Vec<Line<BatchRequest>> = (1..)
        .zip(text.lines())
        .map(|(number, text)| Line { number, what: BatchRequest(read(text).unwrap()) })
        .collect();
    resolve(&view.vg, &lines.iter().collect::<Vec<_>>())
}

/// The requests, or the first line that is wrong.
fn asked(text: &str) -> Result<Vec<Request>, CliError> {
    let Resolved { wanted, mut bad, .. } = resolved(text);
    match bad.pop_first() {
        Some((line, error)) => Err(CliError { message: format!("line {line}: {}", error.message), ..error }),
        None => Ok(wanted.into_iter().map(|wanted| wanted.request).collect()),
    }
}

fn origin_of(request: &Request) -> Option<&str> {
    match request {
        Request::Snapshot { origin, .. } => Some(origin.as_str()),
        _ => None,
    }
}

#[test]
fn lines_may_build_on_what_earlier_lines_make() {
    let requests = asked(
        r#"{"request":"create","pool":"pve/data","name":"new","size":"1G"}
{"request":"snapshot","snapshot":"pve/a@now"}
{"request":"clone","source":"pve/a@now","name":"copy"}
{"request":"clone","source":"pve/a_b@c","name":"other"}
{"request":"remove","volume":"pve/a_b@c"}
{"request":"activate","volume":"pve/new"}"#,
    )
    .unwrap();
    assert_eq!(origin_of(&requests[1]), Some("a"));
    assert_eq!(origin_of(&requests[2]), Some("snap_a_now"));
    assert_eq!(origin_of(&requests[3]), Some("snap_a_b_c"));
    assert_eq!(requests[4], Request::Remove { name: LvName::new("snap_a_b_c").unwrap() });
    assert!(matches!(&requests[5], Request::Activate { name, .. } if name.as_str() == "new"));
}

#[test]
fn a_snapshot_made_by_the_batch_is_not_taken_for_one_of_another_volume() {
    let error = asked(
        r#"{"request":"snapshot","snapshot":"pve/a_b@d"}
{"request":"clone","source":"pve/a@b_d","name":"copy"}"#,
    )
    .unwrap_err();
    assert_eq!(error.message, "line 2: volume 'a' has no snapshot 'b_d'");
    let error = asked(r#"{"request":"remove","volume":"pve/a@b_c"}"#).unwrap_err();
    assert_eq!(error.message, "line 1: volume 'a' has no snapshot 'b_c'");
    assert!(error.hint.unwrap().contains("'pve/snap_a_b_c' has the name of one"));
    assert_eq!(asked(r#"{"request":"remove","volume":"pve/x"}"#).unwrap_err().code, ErrorKind::NotFound);
}

#[test]
fn a_name_means_what_has_it_by_then() {
    let requests = asked(
        r#"{"request":"rename","volume":"pve/a_b","name":"z"}
{"request":"rollback","snapshot":"pve/z@c"}
{"request":"rename","volume":"pve/a","name":"a_b"}
{"request":"resize","volume":"pve/a_b","size":"+1G"}
{"request":"clone","source":"pve/z@c","name":"a"}"#,
    )
    .unwrap();
    let renamed = |from: &str, to: &str| Request::Rename { name: name(from), to: name(to) };
    assert_eq!(requests[0], renamed("a_b", "z"));
    assert_eq!(requests[1], renamed("snap_a_b_c", "snap_z_c"));
    assert_eq!(requests[2], Request::Rollback { name: name("z"), to: name("snap_z_c") });
    assert_eq!(requests[3], renamed("a", "a_b"));
    assert!(matches!(&requests[4], Request::Resize { name, size: NewSize::By(_), shrink: false }
        if name.as_str() == "a_b"));
    assert_eq!(origin_of(&requests[5]), Some("snap_z_c"));
    let gone = asked(
        r#"{"request":"rename","volume":"pve/a","name":"z"}
{"request":"resize","volume":"pve/a","size":"1G"}"#,
    );
    assert_eq!(gone.unwrap_err().message, "line 2: volume 'pve/a' does not exist");
}

fn name(text: &str) -> LvName {
    LvName::new(text).unwrap()
}

#[test]
fn all_lines_that_are_wrong_are_found_and_the_others_are_resolved() {
    let text = [
        r#"{"request":"resize","volume":"pve/x","size":"1G"}"#,
        r#"{"request":"rename","volume":"pve/a_b","name":"z"}"#,
        r#"{"request":"resize","volume":"pve/a_b","size":"1G"}"#,
        r#"{"request":"activate","volume":"pve/z"}"#,
    ];
    let resolved = resolved(&text.join("\n"));
    let bad: Vec<(usize, &str)> =
        resolved.bad.iter().map(|(line, error)| (*line, error.message.as_str())).collect();
    assert_eq!(bad, [(1, "volume 'pve/x' does not exist"), (3, "volume 'pve/a_b' does not exist")]);
    assert_eq!(resolved.lines, [2, 2, 4], "the snapshot follows its volume's name");
    let lines = lines("{\n\n[]\n", &Resolver::over(""));
    assert_eq!(lines.bad.keys().collect::<Vec<_>>(), [&1, &3]);
}

#[test]
fn snapshots_of_a_volume_that_a_storage_names_go_with_it_once() {
    let disk = || Request::Remove { name: name("vm-100-disk-0") };
    let snap = || Request::Remove { name: name("snap_vm-100-disk-0_s") };
    let removed = |volume: &str| format!(r#"{{"request":"remove","volume":"{volume}"}}"#);
    assert_eq!(asked(&removed("st:vm-100-disk-0")).unwrap(), [disk(), snap()]);
    assert_eq!(asked(&removed("pve/vm-100-disk-0")).unwrap(), [disk()]);
    let both = [removed("st:vm-100-disk-0@s"), removed("st:vm-100-disk-0")].join("\n");
    assert_eq!(asked(&both).unwrap(), [snap(), disk()]);
}
