//! The input of `thinvol batch`, all the way to the plan.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use cli::resolve::Resolver;
use cli::transaction::lines::Lines;
use lvm2::format::metadata::Metadata;
use thin::changes::Change;
use thin::internals::lower::lower;
use thin::internals::plan::{Message, Step};
use thin::internals::planner::plan;

use crate::large;

/// Volumes of the group that the requests are about.
const VOLUMES: u32 = 8;

static METADATA: LazyLock<Metadata> = LazyLock::new(|| large::metadata(VOLUMES));

/// Reads requests and plans them: whatever they are, the plan keeps what every plan must keep.
pub fn requests(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines = Lines::read(&text, &Resolver::over(""));
    let Some(of_ours) = lines.by_vg.get(&METADATA.vg.name) else { return };
    let all: Vec<Change> = of_ours.iter().map(|line| line.change.clone()).collect();
    // The first transaction of it.
    let first = all.chunk_by(|a, b| !a.is_by_itself() && !b.is_by_itself()).next();
    let mut changes = first.map(<[Change]>::to_vec).unwrap_or_default();
    let lowered = match lower(&METADATA.vg, &changes) {
        Ok(lowered) => lowered,
        Err(refusal) => {
            let refused = refusal.others.iter().chain([&refusal]);
            let refused: BTreeSet<usize> =
                refused.map(|one| one.request.expect("a refusal has its change")).collect();
            let mut place = 0..;
            changes.retain(|_| !refused.contains(&place.next().unwrap_or_default()));
            let Ok(lowered) = lower(&METADATA.vg, &changes) else { return };
            lowered
        }
    };
    assert_eq!(lowered.parts.len(), lowered.requests.len(), "each request has its change");
    assert!(lowered.parts.iter().all(|part| part.change < changes.len()), "a part of no change");
    let requests = lowered.requests;
    let observed = large::observed(&METADATA, requests.len());
    let plan = match plan(&METADATA, &observed, &requests) {
        Ok(plan) => plan,
        Err(refusal) => {
            let places = refusal.others.iter().chain([&refusal]).filter_map(|refusal| refusal.request);
            return assert!(
                places.into_iter().all(|place| place < requests.len()),
                "a refusal of no request"
            );
        }
    };
    let places = plan.outcomes.iter().map(|outcome| outcome.request);
    let of_pool = changes.iter().any(Change::is_by_itself);
    assert!(of_pool || places.clone().eq(0..requests.len()), "each request has its outcome");
    assert!(places.max().is_none_or(|last| last < requests.len()), "an outcome of no request");
    assert!(plan.commits() <= 2, "a batch takes more than two commits");
    let mut created = BTreeSet::new();
    let mut commits = 0;
    for planned in &plan.steps {
        match &planned.step {
            Step::Commit(commit) => {
                commits += 1;
                let metadata = Metadata::parse(&commit.text().expect("a planned text can be made"))
                    .expect("a planned text can be read");
                assert_eq!(metadata.vg.seqno.0, METADATA.vg.seqno.0 + commits);
            }
            Step::Send { sends } | Step::Freeze { sends, .. } => {
                for send in sends {
                    if let Message::CreateThin(id) | Message::CreateSnap { id, .. } = send.message {
                        assert!(created.insert(id), "thin id {id} is given twice");
                        let known = METADATA.vg.lvs.iter().filter_map(|lv| lv.thin());
                        assert!(known.map(|thin| thin.device_id).all(|known| known != id));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Every kind of line, alone and together.
pub fn seeds() -> Vec<Vec<u8>> {
    let lines = [
        r#"{"request":"create","pool":"pve/data","name":"vm-1-disk-0","size":"4G"}"#,
        r#"{"request":"create","pool":"pve/data","name":"n","size":8388608,"activate":false,"tags":["a","b"]}"#,
        r#"{"request":"snapshot","snapshot":"pve/vm-100-disk-0@s","writable":true}"#,
        r#"{"request":"clone","source":"pve/vm-100-disk-1","name":"c","activate":false}"#,
        r#"{"request":"clone","source":"pve/vm-100-disk-0@s","name":"d"}"#,
        r#"{"request":"remove","volume":"pve/vm-100-disk-2"}"#,
        r#"{"request":"activate","volume":"pve/vm-101-disk-0"}"#,
        r#"{"request":"deactivate","volume":"pve/vm-101-disk-1"}"#,
        r#"{"request":"pool_create","pool":"pve/new","size":"50%FREE","chunk_size":65536,"when_full":"error"}"#,
        r#"{"request":"pool_extend","pool":"pve/data","size":"+1G","metadata_size":"16M"}"#,
        r#"{"request":"pool_set","pool":"pve/data","overcommit":1.5,"reserve":"20G","extend_at":"none"}"#,
        r#"{"request":"pool_remove","pool":"pve/data","with_volumes":true}"#,
    ];
    let mut seeds: Vec<Vec<u8>> = lines.map(|line| line.as_bytes().to_vec()).to_vec();
    seeds.push(lines.join("\n").into_bytes());
    seeds
}
