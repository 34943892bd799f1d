//! The house rules that no compiler checks: layering, purity, sizes, words. Each rule is a function from a
//! file to its violations, and is shown to fail on a bad example before it is trusted on the tree.

mod adding;
mod circles;
mod code;
mod held;
mod layers;
mod map;
mod paths;
mod prose;
mod rules;
mod tree;

use tree::File;

type Rule = fn(&File) -> Vec<String>;

/// Applies a rule to every file of the tree.
fn holds(rule: Rule) {
    let files = tree::files();
    assert!(files.len() > 20, "the tree was not found");
    let violations: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

/// Shows that a rule finds something wrong in a file of this name and content.
fn fails(rule: Rule, path: &str, text: &str) {
    assert!(!rule(&File::new(path, text)).is_empty(), "the rule accepts {path}: {text}");
}

/// Shows that a rule finds nothing wrong.
fn accepts(rule: Rule, path: &str, text: &str) {
    assert_eq!(rule(&File::new(path, text)), Vec::<String>::new());
}

#[test]
fn a_module_uses_lower_layers_only() {
    fails(layers::upward_uses, "src/lvm2/format/text/parse.rs", "use crate::host::scan;");
    fails(
        layers::upward_uses,
        "src/thin/request.rs",
        "use crate::{refusal::Refusal, planner::{admit, order}};",
    );
    fails(layers::upward_uses, "src/base/units.rs", "fn f() -> crate::ids::DevNo { 1 }");
    fails(layers::upward_uses, "src/lvm2/format/label/parse.rs", "use super::super::model::Vg;");
    fails(layers::upward_uses, "src/lvm2/format/nonsense.rs", "");
    accepts(
        layers::upward_uses,
        "src/lvm2/format/model.rs",
        "use crate::format::text::Document;\n// crate::host is above",
    );
    accepts(layers::upward_uses, "src/base/units.rs", "#[cfg(test)]\nmod tests {\n use crate::ids;\n}\n");
    holds(layers::upward_uses);
}

#[test]
fn modules_of_a_crate_form_no_circles() {
    let file = File::new;
    let circle = [file("src/a/x.rs", "use crate::y::Y;"), file("src/a/y/z.rs", "use super::super::x::X;")];
    assert_eq!(circles::circles(&circle), ["a::x, a::y"]);
    let longer = [
        file("dm-tests/src/x.rs", "use crate::y;"),
        file("dm-tests/src/y.rs", "fn f() { crate::z::g() }"),
        file("dm-tests/src/z.rs", "use super::{x, w};"),
        file("dm-tests/src/w.rs", "use crate::x;"),
    ];
    assert_eq!(circles::circles(&longer), ["dm-tests::w, dm-tests::x, dm-tests::y, dm-tests::z"]);
    let none = [
        file("src/a/lib.rs", "pub mod x; use x::X;"),
        file("src/a/x.rs", "mod y; use crate::A; use y::Y;\n#[cfg(test)]\nmod tests {\n use crate::z;\n}\n"),
        file("src/a/x/y.rs", "use super::X;"),
        file("src/a/z.rs", "use crate::x::y::Y;"),
    ];
    assert_eq!(circles::circles(&none), [""; 0]);
    assert!(!circles::gone(&none).is_empty(), "a circle that is listed and not there is seen");
    let files = tree::files();
    let (new, gone) = (circles::new(&files), circles::gone(&files));
    assert!(new.is_empty(), "modules that use each other: {}", new.join("; "));
    assert!(gone.is_empty(), "listed, but not there any more: {}", gone.join("; "));
}

#[test]
fn pure_layers_touch_nothing() {
    fails(layers::impure_uses, "src/lvm2/format/model.rs", "fn f() { std::fs::read(p); }");
    fails(layers::impure_uses, "src/thin/plan.rs", "use std::time::SystemTime;");
    accepts(layers::impure_uses, "src/lvm2/host/lock.rs", "use std::fs::File;");
    holds(layers::impure_uses);
}

#[test]
fn the_library_never_prints() {
    fails(layers::prints, "src/lvm2/host/lock.rs", "fn f() { eprintln!(); }");
    accepts(layers::prints, "src/cli/lib.rs", "fn f() { println!(); }");
    holds(layers::prints);
}

#[test]
fn files_have_at_most_500_lines() {
    fails(rules::long_files, "src/a.rs", &"\n".repeat(501));
    holds(rules::long_files);
}

#[test]
fn lines_fit_a_screen() {
    fails(rules::long_lines, "src/a.rs", &"x".repeat(121));
    accepts(rules::long_lines, "src/a.rs", &"ü".repeat(120));
    holds(rules::long_lines);
}

#[test]
fn functions_have_at_most_70_lines() {
    let body = |lines: usize| format!("fn f() {{\n{}}}\n", "// {\n".repeat(lines));
    fails(rules::long_functions, "src/a.rs", &body(69));
    accepts(rules::long_functions, "src/a.rs", &body(68));
    holds(rules::long_functions);
}

#[test]
fn unsafe_code_is_in_sys_only() {
    fails(rules::stray_unsafe, "src/sys/io/block.rs", "fn f() { unsafe { g() } }");
    accepts(
        rules::stray_unsafe,
        "src/sys/io/block.rs",
        "// unsafe\nconst X: &str = \"unsafe\"; #![deny(unsafe_code)]",
    );
    accepts(rules::stray_unsafe, "src/sys/dm.rs", "fn f() { unsafe { g() } }");
    holds(rules::stray_unsafe);
}

#[test]
fn mod_rs_only_declares() {
    fails(rules::logic_in_mod_rs, "src/lvm2/host/mod.rs", "//! Docs.\npub mod a;\nfn f() {}\n");
    accepts(
        rules::logic_in_mod_rs,
        "src/lvm2/host/mod.rs",
        "//! Docs.\n#[cfg(test)]\nmod t;\npub use a::{\n    B,\n    C,\n};\n",
    );
    holds(rules::logic_in_mod_rs);
}

#[test]
fn nothing_is_left_unfinished() {
    fails(rules::unfinished, "src/a.rs", concat!("fn f() { to", "do!() }"));
    fails(rules::unfinished, "src/a.rs", concat!("// FIX", "ME"));
    fails(rules::unfinished, "src/a.rs", concat!("#[allow(dead", "_code)]"));
    holds(rules::unfinished);
}

#[test]
fn nothing_is_imported_by_glob() {
    fails(rules::glob_imports, "src/a.rs", "use crate::ids::*;");
    accepts(rules::glob_imports, "src/a.rs", "use super::*;");
    holds(rules::glob_imports);
}

#[test]
fn the_repository_speaks_of_the_project_alone() {
    fails(rules::foreign_words, "README.md", concat!("see /wo", "rk/main"));
    fails(rules::foreign_words, "src/a.rs", concat!("// as is", "sue 3 says"));
    fails(rules::foreign_words, "x.toml", concat!("deb.deb", "ian.org"));
    holds(rules::foreign_words);
}

#[test]
fn what_is_added_goes_into_the_files_that_the_page_names() {
    let tree = [File::new("src/a.rs", "pub enum A {}")];
    let page = |most: usize, row: &str| format!("# Page\n\n## A thing\n\nAt most {most} files.\n\n{row}\n");
    assert_eq!(adding::wrong(&page(1, "| `src/a.rs` | `pub enum A` | a variant |"), &tree), [""; 0]);
    for (most, row) in [
        (1, "| `src/b.rs` | `pub enum A` | not there |"),
        (1, "| `src/a.rs` | `pub enum B` | has no such thing |"),
        (0, "| `src/a.rs` | `pub enum A` | too many |"),
        (1, "no row"),
    ] {
        assert_eq!(adding::wrong(&page(most, row), &tree).len(), 1, "{row}");
    }
    let files = tree::files();
    let page = files.iter().find(|file| file.path == adding::PAGE).expect("there is a page");
    let wrong = adding::wrong(&page.text, &files);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sentences_are_plain() {
    fails(prose::riddles, "src/a.rs", "/// A commit of which nobody\n/// knows what it did.");
    fails(prose::riddles, "README.md", "a crash: what became of it");
    fails(prose::riddles, "src/a.rs", "/// What `thinvol alloc` takes.");
    accepts(prose::riddles, "src/a.rs", "/// A commit whose outcome is unknown.");
    holds(prose::riddles);
}

#[test]
fn crates_whose_source_must_be_named_are_named() {
    let files = tree::files();
    let text = |path: &str| {
        let file = files.iter().find(|file| file.path == path);
        file.map(|file| file.text.clone()).unwrap_or_else(|| panic!("there is no {path}"))
    };
    let (rules, notice) = (text("deny.toml"), text("NOTICE"));
    let allowed = rules.lines().filter(|line| line.contains("MPL-2.0") && line.contains("crate ="));
    let crates: Vec<&str> = allowed.filter_map(|line| line.split('"').nth(1)).collect();
    assert!(!crates.is_empty(), "deny.toml has exceptions");
    for name in crates {
        let named = |line: &str| line.split_whitespace().next() == Some(name) && line.contains("https://");
        assert!(notice.lines().any(named), "NOTICE does not say where the source of {name} is");
    }
}

/// What the lines of the source are called on the machine that builds a release is nobody's business.
#[test]
fn releases_have_no_debug_information() {
    let manifest = tree::files().into_iter().find(|file| file.path == "Cargo.toml").expect("a workspace");
    let (_, after) = manifest.text.split_once("[profile.release]\n").expect("it says how a release is built");
    let profile = after.split("\n[").next().unwrap_or_default();
    for setting in ["debug = false", "strip = \"debuginfo\""] {
        assert!(profile.lines().any(|line| line == setting), "no '{setting}' in {profile}");
    }
}

#[test]
fn the_map_shows_the_tree() {
    let page = "## Map\n| `a` | `x`, `y::{b, c}` | |\n|   | `z` | |\n## Invariants\n| `q` | `r` | |\n";
    assert_eq!(map::mapped(page).into_iter().collect::<Vec<_>>(), ["a::x", "a::y::b", "a::y::c", "a::z"]);
    let files = tree::files();
    let page = files.iter().find(|file| file.path == "docs/architecture.md").expect("there is a map");
    let (mapped, present) = (map::mapped(&page.text), map::present(&files));
    let missing: Vec<_> = present.difference(&mapped).collect();
    let gone: Vec<_> = mapped.difference(&present).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in the map: {missing:?}; not in the tree: {gone:?}");
}

#[test]
fn claims_name_tests_that_exist() {
    let test =
        File::new("dm-tests/tests/crash.rs", "#[test]\nfn all_is_well() {}\nCase { name: \"area::case\" }");
    let text = "so <!-- held by: crash::all_is_well, area::case -->, so <!-- held by: crash::gone, x::all_is_well -->";
    assert_eq!(held::missing(text, &[test]), ["crash::gone", "x::all_is_well"]);
    let files = tree::files();
    for document in held::DOCUMENTS {
        let file = files.iter().find(|file| file.path == document).expect("the document is there");
        assert!(held::named(&file.text).len() >= 8, "{document} names too few tests");
        assert_eq!(held::missing(&file.text, &files), Vec::<&str>::new(), "named in {document}");
    }
}
