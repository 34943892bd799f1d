//! Circles between the modules of a crate: one module uses another that, perhaps by way of others, uses it.

use std::collections::{BTreeMap, BTreeSet};

use crate::map;
use crate::paths;
use crate::tree::File;

/// The crates whose modules use each other in one direction only.
pub const CRATES: &[&str] = &["base", "sys", "dm", "config", "lvm2", "iscsi", "thin"];

/// Which modules of some crates use which others.
pub fn uses(files: &[File], crates: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let modules = map::present(files);
    let module = |path: &[String]| {
        (2..=3).rev().find_map(|length| modules.get(&path.get(..length)?.join("::"))).cloned()
    };
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/") && file.is_rust()) {
        let path = paths::module_of(&file.path);
        let Some(user) = module(&path).filter(|_| crates.contains(&path[0].as_str())) else { continue };
        let used = paths::used(&path, &file.product).into_iter().filter_map(|(_, used)| module(&used));
        uses.entry(user.clone()).or_default().extend(used.filter(|used| *used != user));
    }
    uses
}

/// The shortest way from each module back to itself, if there is one.
pub fn circles(uses: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut found: BTreeMap<BTreeSet<&str>, String> = BTreeMap::new();
    for start in uses.keys() {
        if let Some(way) = way_back(uses, start) {
            found.entry(way.iter().copied().collect()).or_insert_with(|| way.join(" uses "));
        }
    }
    found.into_values().collect()
}

fn way_back<'a>(uses: &'a BTreeMap<String, BTreeSet<String>>, start: &'a str) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![start]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in way.last().and_then(|last| uses.get(*last)).into_iter().flatten() {
                let way: Vec<&str> = way.iter().copied().chain([next.as_str()]).collect();
                if next == start {
                    return Some(way);
                }
                if seen.insert(next.as_str()) {
                    longer.push(way);
                }
            }
        }
        ways = longer;
    }
    None
}
