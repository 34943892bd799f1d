//! Circles: modules beside each other use each other in one direction. A module is one with those inside it here: they
//! may know each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::paths;
use crate::tree::File;

/// Where there are circles: one thing in several files.
const KNOWN: &[&str] = &[
    "dm-tests::world::disks, dm-tests::world::machine, dm-tests::world::tape",
    "dm::sim::devices, dm::sim::pool, dm::sim::targets",
    "lvm2::format::text::document, lvm2::format::text::parse, lvm2::format::text::section",
];

/// Which modules use which.
type Uses = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

/// The circles besides those.
pub fn new(files: &[File]) -> Vec<String> {
    circles(files).into_iter().filter(|circle| !KNOWN.contains(&circle.as_str())).collect()
}

/// Those of the list that are there no longer: they are to be taken off it.
pub fn gone(files: &[File]) -> Vec<&'static str> {
    let there = circles(files);
    KNOWN.iter().copied().filter(|known| !there.iter().any(|circle| circle == known)).collect()
}

/// The modules that use each other in a circle, each circle in a line.
pub fn circles(files: &[File]) -> Vec<String> {
    let uses = uses(files);
    let reached: BTreeMap<_, _> = uses.keys().map(|module| (module, reachable(&uses, module))).collect();
    let mut found = BTreeSet::new();
    for (module, reaches) in &reached {
        if reaches.contains(*module) {
            let back = |other: &&Vec<String>| reached.get(other).is_some_and(|all| all.contains(*module));
            let circle: Vec<String> = reaches.iter().filter(back).map(|other| other.join("::")).collect();
            found.insert(circle.join(", "));
        }
    }
    found.into_iter().collect()
}

fn uses(files: &[File]) -> Uses {
    let modules: BTreeMap<Vec<String>, &File> =
        files.iter().filter_map(|file| Some((module(file)?, file))).collect();
    let folders =
        |module: &Vec<String>| (1..=module.len()).map(|length| module[..length].to_vec()).collect::<Vec<_>>();
    let there: BTreeSet<Vec<String>> = modules.keys().flat_map(folders).collect();
    let mut uses = Uses::new();
    for (module, file) in &modules {
        for (_, path) in paths::used(module, &file.product) {
            let known = (1..=path.len()).rev().map(|length| &path[..length]);
            let Some(used) = known.into_iter().find(|used| there.contains(*used)) else { continue };
            let common = module.iter().zip(used).take_while(|(one, other)| one == other).count();
            if (1..module.len()).contains(&common) && common < used.len() {
                uses.entry(module[..=common].to_vec()).or_default().insert(used[..=common].to_vec());
            }
        }
    }
    uses
}

/// The module of a file of a library, with its crate.
fn module(file: &File) -> Option<Vec<String>> {
    let of_crate = |name: &str| Some(format!("{name}/{}", file.path.strip_prefix(&format!("{name}/src/"))?));
    let path = file.path.strip_prefix("src/").map(str::to_owned);
    let path = path.or_else(|| of_crate("dm-tests")).or_else(|| of_crate("vm-harness"))?;
    (file.is_rust() && path.contains('/') && !path.contains("/bin/")).then(|| paths::module_of(&path))
}

fn reachable(uses: &Uses, from: &Vec<String>) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut left = vec![from];
    while let Some(module) = left.pop() {
        for used in uses.get(module).into_iter().flatten() {
            if found.insert(used.clone()) {
                left.push(used);
            }
        }
    }
    found
}
