//! The input of `thinvol batch`, all the way to the plan.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use cli::resolve::Resolver;
use cli::transaction::lines::Lines;
use lvm2::format::metadata::Metadata;
use thin::changes::{Change, lower};
use thin::plan::{Message, Step};
use thin::planner::plan;

use crate::large;

/// Volumes of the group that the requests are about.
const VOLUMES: u32 = 8;

static METADATA: LazyLock<Metadata> = LazyLock::new(|| large::metadata(VOLUMES));

/// Reads requests and plans them: whatever they are, the plan keeps what every plan must keep.
pub fn requests(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines = Lines::read(&text, &Resolver::over(""));
    let Some(of_ours) = lines.by_vg.get(&METADATA.vg.name) else { return };
    let mut changes: Vec<Change> = of_ours.iter().map(|line| line.change.clone()).collect();
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
    assert!(places.eq(0..requests.len()), "each request has its outcome");
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
    ];
    let mut seeds: Vec<Vec<u8>> = lines.map(|line| line.as_bytes().to_vec()).to_vec();
    seeds.push(lines.join("\n").into_bytes());
    seeds
}
