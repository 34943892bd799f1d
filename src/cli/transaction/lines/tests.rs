use super::*;
use crate::resolve::Resolver;
use base::error_kind::ErrorKind;
use thin::changes::{CreateVolume, NewName};

fn read(text: &str) -> Result<Change, CliError> {
    parse(text)?.resolve(&Resolver::over("lvmthin: st\n\tvgname pve\n\tthinpool data\n\n"))
}

#[test]
fn a_line_is_a_change() {
    let Change::Create(CreateVolume {
        pool,
        name: NewName::Given(name),
        size,
        activate,
        autoactivate,
        tags,
        ..
    }) = read(r#"{"request":"create","pool":"pve/data","name":"any.name+1","size":"8G"}"#).unwrap()
    else {
        panic!("not a create")
    };
    assert_eq!((pool.to_string().as_str(), name.as_str()), ("pve/data", "any.name+1"));
    assert_eq!((size.get(), activate, autoactivate, tags.len()), (8 << 21, true, false, 0));
    let vg = |text: &str| read(text).unwrap().vg().to_string();
    assert_eq!(vg(r#"{"request":"snapshot","snapshot":"a/b@c","writable":true}"#), "a");
    assert_eq!(vg(r#"{"request":"clone","source":"d/b@c","name":"x","activate":false}"#), "d");
    assert_eq!(vg(r#"{"request":"remove","volume":"e/b@c"}"#), "e");
    assert_eq!(vg(r#"{"request":"deactivate","volume":"f/b"}"#), "f");
    assert!(matches!(
        read(r#"{"request":"create","pool":"pve/data","name":"n","size":1}"#),
        Ok(Change::Create(create)) if create.size.get() == 1
    ));
}

/// What only the command line asks for is no part of a line.
#[test]
fn a_line_is_written_again_as_it_was_read() {
    for text in [
        r#"{"request":"create","pool":"st","name":"n","size":"8G","activate":true,"autoactivate":false,"tags":[]}"#,
        r#"{"request":"remove","volume":"st:vm-1-d@s","snapshots":null,"force":false}"#,
        r#"{"request":"activate","volume":"pve/x"}"#,
    ] {
        assert_eq!(serde_json::to_string(&parse(text).unwrap()).unwrap(), text);
    }
    for text in [
        r#"{"request":"remove","volume":"a/b","if_exists":true}"#,
        r#"{"request":"create","pool":"a/b","name":"x","size":1,"zero":true}"#,
        r#"{"request":"activate","volume":"a/b","auto":true}"#,
    ] {
        assert!(parse(text).unwrap_err().message.starts_with("not a request: unknown field"), "{text}");
    }
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

#[test]
fn lines_are_counted_from_one_and_empty_ones_skipped() {
    let lines = Lines::read("{\n\n[]\n", &Resolver::over(""));
    assert_eq!(lines.bad.keys().collect::<Vec<_>>(), [&1, &3]);
}
