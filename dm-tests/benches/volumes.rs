//! What a volume group of 5,000 volumes costs before anything is done with it: its text read, checked and written, and
//! plans for it. `cargo bench -p dm-benches`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dm_tests::large;
use dm_tests::world::asks::{activate, create, remove, snapshot};
use lvm2::format::check::check;
use lvm2::format::metadata::Metadata;
use lvm2::format::text::Document;
use lvm2::host::store::summary::summarize;
use thin::internals::planner::plan;
use thin::internals::request::Request;

const VOLUMES: u32 = 5000;

/// Requests of one batch.
const BATCH: u32 = 1000;

fn texts(criterion: &mut Criterion) {
    let metadata = large::metadata(VOLUMES);
    let text = metadata.disk_text();
    let mut group = criterion.benchmark_group("text of 5,000 volumes");
    group.bench_function("summary", |bench| bench.iter(|| summarize(black_box(&text))));
    group.bench_function("tree", |bench| bench.iter(|| Document::parse(black_box(&text))));
    group.bench_function("tree and model", |bench| bench.iter(|| Metadata::parse(black_box(&text))));
    group.bench_function("rules", |bench| bench.iter(|| check(black_box(&metadata.vg))));
    group.bench_function("emit", |bench| bench.iter(|| black_box(&metadata).to_disk()));
    let header = dm_tests::world::metadata_header();
    group.bench_function("emit for a file", |bench| {
        bench.iter(|| black_box(&metadata).to_backup_file("thinvol", &header));
    });
    group.finish();
}

fn plans(criterion: &mut Criterion) {
    let metadata = large::metadata(VOLUMES);
    let names: Vec<String> = (0..BATCH).map(|number| format!("new-{number}")).collect();
    let each = |request: fn(&str, u32) -> Request| -> Vec<Request> {
        names.iter().zip(0..).map(|(name, number)| request(name, number)).collect()
    };
    let asked: Vec<(&str, Vec<Request>)> = vec![
        ("one create", vec![create("new", true)]),
        ("one snapshot", vec![snapshot(&large::name(0), "new")]),
        ("1,000 creates", each(|name, _| create(name, false))),
        ("1,000 snapshots", each(|name, number| snapshot(&large::name(number), name))),
        ("1,000 removals", each(|_, number| remove(&large::name(number)))),
        ("1,000 activations", each(|_, number| activate(&large::name(number)))),
        ("activate all", vec![Request::ActivateAll { auto: false }]),
        ("deactivate all", vec![Request::DeactivateAll]),
    ];
    let mut group = criterion.benchmark_group("plan among 5,000 volumes");
    for (what, requests) in asked {
        let observed = large::observed(&metadata, requests.len());
        group.bench_function(what, |bench| {
            bench.iter(|| plan(&metadata, &observed, black_box(&requests)).expect("it can be planned"));
        });
    }
    group.finish();
}

criterion_group! {
    name = volumes;
    // A plan of a batch takes a second: ten samples tell what has to be told.
    config = Criterion::default().sample_size(10);
    targets = texts, plans
}
criterion_main!(volumes);
