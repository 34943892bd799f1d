//! One command among many volumes, without a machine: what a profiler is pointed at.
//!
//!     one_change text 5000 >text          writes a volume group's text
//!     valgrind --tool=callgrind one_change create text

use std::io::Write;
use std::sync::Arc;

use dm_tests::large;
use dm_tests::world::asks::{create, remove, snapshot};
use lvm2::format::metadata::Metadata;
use lvm2::host::store::summary::{TextPool, summarize_start};
use thin::internals::plan::Step;
use thin::internals::planner::plan;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, subject] = arguments.as_slice() else { return };
    if what == "text" {
        let volumes = subject.parse().expect("a number of volumes");
        let text = large::metadata(volumes).to_disk();
        std::io::stdout().write_all(&text).expect("standard output takes it");
        return;
    }
    let text = std::fs::read(subject).expect("a file with a text");
    let copy = TextPool::default().take(text).expect("a text of a group");
    let metadata =
        Arc::new(Metadata::of_parsed(copy.parsed.as_ref().expect("it was read")).expect("the text is valid"));
    assert!(metadata.violations().is_empty() && metadata.flaws().is_empty());
    let request = match what.as_str() {
        "create" => create("new", true),
        "snapshot" => snapshot(&large::name(0), "new"),
        "remove" => remove(&large::name(0)),
        _ => return,
    };
    let observed = large::observed_few(1);
    let plan = plan(&metadata, &observed, &[request]).expect("it can be planned");
    let header = dm_tests::world::metadata_header();
    let mut written = metadata.to_backup_file("thinvol", &header).len();
    for planned in &plan.steps {
        let Step::Commit(commit) = &planned.step else { continue };
        let text = commit.text().expect("it can be made");
        summarize_start(&text).expect("a text of a group");
        written += text.len() + usize::try_from(base::bytes::crc::lvm(&text) & 1).expect("a bit");
        if let Some(metadata) = &commit.metadata {
            written += metadata.to_backup_file("thinvol", &header).len();
        }
    }
    println!("{written} bytes");
}
