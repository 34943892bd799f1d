use super::*;
use crate::cli::errors::Code;
use crate::cli::fixture::view;
use crate::thin::lineage::fixture::lv;

fn read(text: &str) -> Result<What, CliError> {
    What::of(Line::parse(text)?, &Resolver::over(""))
}

#[test]
fn a_line_is_a_request() {
    let What::Create { storage, name, size, activate, autoactivate, tags } =
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
        Ok(What::Create { size, .. }) if size.get() == 1
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
        (r#"{"request":"create","pool":"a/b","name":"x","size":-8}"#, "not a request: data did not match"),
        (r#"{"request":"create","pool":"a/b","name":"x y","size":8}"#, "logical volume name 'x y'"),
        (
            r#"{"request":"create","pool":"a/b","name":"snapshot1","size":8}"#,
            "logical volume name 'snapshot1'",
        ),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.message.starts_with(why), "{text}: {}", error.message);
        assert_eq!(error.code, Code::Usage);
    }
}

fn asked(lines: &str) -> Result<Vec<Request>, CliError> {
    let view = view(vec![
        lv(1, "a", None, vec![]),
        lv(2, "a_b", None, vec![]),
        lv(3, "snap_a_b_c", Some("a_b"), vec![]),
    ]);
    let wishes: Vec<Wish> =
        (1..).zip(lines.lines()).map(|(line, text)| Wish { line, what: read(text).unwrap() }).collect();
    ask(&view.vg, &wishes).map(|ask| ask.wanted.into_iter().map(|wanted| wanted.request).collect())
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
    assert_eq!(asked(r#"{"request":"remove","volume":"pve/x"}"#).unwrap_err().code, Code::NotFound);
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
