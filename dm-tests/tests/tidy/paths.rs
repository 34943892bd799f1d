//! Which modules of the crate a file uses: every `crate::…` and `super::…` path, groups in braces included.

/// The module a source file is, with its crate: `src/lvm2/format/text.rs` is `["lvm2", "format", "text"]`.
pub fn module_of(path: &str) -> Vec<String> {
    let path = path.strip_prefix("src/").unwrap_or(path);
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").or_else(|| path.strip_suffix("/lib")).unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

/// The paths used in blanked code of `module`, each with its line, as absolute module paths.
pub fn used(module: &[String], code: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for (number, at, keyword) in keywords(code) {
        let rest = &code[at..];
        let (base, rest) = if keyword == "crate" {
            (module[..1].to_vec(), &rest["crate".len()..])
        } else {
            climb(module, rest)
        };
        let mut cursor = rest;
        let mut paths = Vec::new();
        tree(&mut cursor, &base, &mut paths);
        found.extend(paths.into_iter().map(|path| (number, path)));
    }
    found
}

/// Line, offset and keyword wherever a path may start.
fn keywords(code: &str) -> Vec<(usize, usize, &'static str)> {
    let mut found = Vec::new();
    for keyword in ["crate", "super"] {
        for (at, _) in code.match_indices(&format!("{keyword}::")) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            // `$crate::`, `my_crate::` and the second of `super::super::` are not starts.
            if !(before.is_alphanumeric() || "_$:".contains(before)) {
                found.push((code[..at].matches('\n').count() + 1, at, keyword));
            }
        }
    }
    found
}

/// Resolves a chain of `super`; returns the module it leads to and what follows.
fn climb<'a>(module: &[String], mut rest: &'a str) -> (Vec<String>, &'a str) {
    let mut base = module.to_vec();
    while let Some(after) = rest.strip_prefix("super") {
        base.pop();
        rest = after;
        match after.strip_prefix("::") {
            Some(next) if next.starts_with("super") => rest = next,
            _ => break,
        }
    }
    (base, rest)
}

/// Reads `::name::{a, b::c}` and the like from `rest`.
fn tree(rest: &mut &str, base: &[String], into: &mut Vec<Vec<String>>) {
    let mut path = base.to_vec();
    while let Some(after) = rest.trim_start().strip_prefix("::") {
        let after = after.trim_start();
        if let Some(mut inside) = after.strip_prefix('{') {
            group(&mut inside, &path, into);
            *rest = inside;
            return;
        }
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        *rest = &after[name.len()..];
        if name.is_empty() {
            break;
        }
        path.push(name);
    }
    into.push(path);
}

fn group(rest: &mut &str, base: &[String], into: &mut Vec<Vec<String>>) {
    loop {
        let trimmed = rest.trim_start_matches([' ', '\n', ',']);
        if let Some(after) = trimmed.strip_prefix('}') {
            *rest = after;
            return;
        }
        let name: String = trimmed.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        *rest = &trimmed[name.len()..];
        let mut path = base.to_vec();
        if name.is_empty() {
            // `*`, or text that is not a path: skip one character so that this ends.
            *rest = trimmed.get(1..).unwrap_or("");
        } else if name != "self" {
            path.push(name);
        }
        tree(rest, &path, into);
        let alias = rest.trim_start();
        if let Some(after) = alias.strip_prefix("as ") {
            *rest = after.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        }
        if rest.is_empty() {
            return;
        }
    }
}

#[test]
fn groups_and_supers_are_resolved() {
    let module = module_of("src/lvm2/text/parse.rs");
    let code = "use crate::{a::{self, B}, c as d};\nuse super::super::mda::Ring; fn f() -> crate::x::Y {}";
    let mut paths: Vec<String> =
        used(&module, code).iter().map(|(line, path)| format!("{line} {}", path.join("."))).collect();
    paths.sort();
    assert_eq!(paths, ["1 lvm2.a", "1 lvm2.a.B", "1 lvm2.c", "2 lvm2.mda.Ring", "2 lvm2.x.Y"]);
}
