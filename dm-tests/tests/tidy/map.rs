//! The map of docs/architecture.md against the tree: each module of each crate stands in it, and nothing else does.

use std::collections::BTreeSet;

use crate::tree::File;

/// Folders of a crate that only group modules: the map names what is in them.
const GROUPS: [&str; 5] = ["sys::io", "lvm2::format", "lvm2::host", "iscsi::protocol", "iscsi::host"];

/// The modules that the map names, as `crate::module`.
pub fn mapped(page: &str) -> BTreeSet<String> {
    let rows =
        page.lines().skip_while(|line| *line != "## Map").take_while(|line| !line.starts_with("## Inv"));
    let mut names = BTreeSet::new();
    let mut of_crate = String::new();
    for row in rows.filter(|row| row.starts_with('|')) {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let (Some(first), Some(modules)) = (cells.next(), cells.next()) else { continue };
        if let Some(name) = quoted(first).next() {
            of_crate = name.to_owned();
        }
        names.extend(quoted(modules).flat_map(expanded).map(|name| format!("{of_crate}::{name}")));
    }
    names
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// `a::{b, c}` is `a::b` and `a::c`.
fn expanded(name: &str) -> Vec<String> {
    match name.split_once("::{") {
        None => vec![name.to_owned()],
        Some((group, members)) => {
            let members = members.trim_end_matches('}').split(',');
            members.map(|member| format!("{group}::{}", member.trim())).collect()
        }
    }
}

/// The modules that the tree has.
pub fn present(files: &[File]) -> BTreeSet<String> {
    let sources = files.iter().filter_map(|file| file.path.strip_prefix("src/")?.strip_suffix(".rs"));
    let named = sources.filter_map(|path| {
        let parts: Vec<&str> = path.split('/').collect();
        let [of_crate, first, rest @ ..] = parts.as_slice() else { return None };
        let module = format!("{of_crate}::{first}");
        let grouped = GROUPS.contains(&module.as_str());
        match rest.first() {
            _ if *first == "lib" => None,
            Some(inner) if grouped => (*inner != "mod").then(|| format!("{module}::{inner}")),
            _ => Some(module),
        }
    });
    named.collect()
}
