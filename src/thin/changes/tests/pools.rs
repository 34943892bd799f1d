use super::*;
use crate::pool_rules::{Rule, RuleKind};
use crate::request::{GrowPool, NewPool, RemovePool, SetPool};
use base::units::Bytes;
use lvm2::format::model::Discards;

fn asked(line: &str) -> Request {
    lowered(&vg(vec![]), line).unwrap().pop().unwrap()
}

#[test]
fn lines_of_pools_say_what_the_options_say() {
    let gib = Sectors::new(2 << 20);
    let least = NewPool {
        name: name("new"),
        data: Space::To(gib),
        metadata: None,
        chunk: None,
        stripes: 1,
        stripe_size: None,
        discards: None,
        zero: None,
        error_when_full: None,
        on: vec![],
        activate: true,
    };
    let line = r#"{"request":"pool_create","pool":"pve/new","size":"1G"}"#;
    assert_eq!(asked(line), Request::CreatePool(least.clone()));
    let line = r#"{"request":"pool_create","pool":"pve/new","size":"80%FREE","metadata_size":"1G","chunk_size":65536,
        "stripes":2,"stripe_size":"64K","discards":"nopassdown","zero":false,"when_full":"error",
        "pv":["/dev/sd1","/dev/sd17"],"activate":false}"#;
    let most = NewPool {
        data: Space::FreePercent(80),
        metadata: Some(gib),
        chunk: Some(Sectors::new(128)),
        stripes: 2,
        stripe_size: Some(Sectors::new(128)),
        discards: Some(Discards::NoPassdown),
        zero: Some(false),
        error_when_full: Some(true),
        on: vec![DevNo { major: 8, minor: 1 }, DevNo { major: 8, minor: 17 }],
        activate: false,
        ..least
    };
    assert_eq!(asked(&line.replace('\n', "")), Request::CreatePool(most));
    let line = r#"{"request":"pool_extend","pool":"pve/data","size":"+1G","metadata_size":1073741824}"#;
    let (data, metadata) = (Some(Space::By(gib)), Some(Space::To(gib)));
    assert_eq!(asked(line), Request::GrowPool(GrowPool { pool: name("data"), data, metadata, on: vec![] }));
    let line = r#"{"request":"pool_set","pool":"pve/data","zero":true,"when_full":"queue","overcommit":1.5,
        "reserve":"1G","extend_at":"80%","extend_by":"none"}"#;
    let rules = vec![
        RuleChange::Set(Rule::parse(RuleKind::Overcommit, "1.5").unwrap()),
        RuleChange::Set(Rule::Reserve(Bytes::new(1 << 30))),
        RuleChange::Set(Rule::ExtendAt(80)),
        RuleChange::Clear(RuleKind::ExtendBy),
    ];
    let (zero, error_when_full) = (Some(true), Some(false));
    let set = SetPool { pool: name("data"), discards: None, zero, error_when_full, rules };
    assert_eq!(asked(&line.replace('\n', "")), Request::SetPool(set));
    let line = r#"{"request":"pool_remove","pool":"pve/data","with_volumes":true}"#;
    assert_eq!(asked(line), Request::RemovePool(RemovePool { pool: name("data"), with_volumes: true }));
}

#[test]
fn lines_of_pools_that_say_too_little_or_too_much_are_refused() {
    for line in [
        r#"{"request":"pool_create","pool":"pve/new"}"#,
        r#"{"request":"pool_create","pool":"pve/new","size":"1G","chunks":1}"#,
        r#"{"request":"pool_set","pool":"pve/data","discards":"no_passdown"}"#,
        r#"{"request":"pool_set","pool":"pve/data","overcommit":true}"#,
        r#"{"request":"pool_remove","pool":"pve/data","force":true}"#,
    ] {
        assert!(serde_json::from_str::<Change<Written>>(line).is_err(), "{line}");
    }
    for (line, why) in [
        (r#"{"request":"pool_extend","pool":"pve/data"}"#, "a pool is extended by a size"),
        (r#"{"request":"pool_set","pool":"pve/data"}"#, "nothing is said of how pool 'pve/data' is to work"),
        (r#"{"request":"pool_set","pool":"pve/data","reserve":"20"}"#, "has no unit"),
        (r#"{"request":"pool_set","pool":"pve/data","extend_at":40}"#, "extend-at '40': write a number"),
        (r#"{"request":"pool_create","pool":"pve/new","size":"120%FREE"}"#, "no share of what is free"),
    ] {
        let written = serde_json::from_str::<Change<Written>>(line).unwrap();
        let refusal = written.resolve(&Here).unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::Usage, "{line}");
        assert!(refusal.message.contains(why), "{refusal}");
    }
}

#[test]
fn a_change_of_a_pool_is_a_transaction_of_its_own() {
    let of_pool = changes(r#"{"request":"pool_remove","pool":"pve/data"}"#);
    let of_volume = changes(r#"{"request":"remove","volume":"pve/a"}"#);
    assert!(of_pool[0].is_by_itself() && !of_volume[0].is_by_itself());
    assert_eq!(of_pool[0].concerns().changed_pool.as_deref(), Some("data"));
}
