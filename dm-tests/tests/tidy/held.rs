//! What the documents claim is held by tests: a claim names them in a comment, `<!-- held by: suite::test, area::case
//! -->`, and each of them exists.

use crate::tree::File;

/// How the comment begins.
const MARK: &str = "<!-- held by: ";

/// The documents whose claims name their tests.
pub const DOCUMENTS: [&str; 2] = ["README.md", "docs/architecture.md"];

/// The tests that a document names.
pub fn named(text: &str) -> Vec<&str> {
    let comments = text.split(MARK).skip(1).filter_map(|rest| rest.split_once("-->"));
    comments.flat_map(|(names, _)| names.split(',')).map(str::trim).collect()
}

/// Those of them that no file has: neither as a case of that name, nor as a test function in a module called so.
pub fn missing<'a>(text: &'a str, files: &[File]) -> Vec<&'a str> {
    let exists = |name: &&str| {
        let (place, test) = name.rsplit_once("::").unwrap_or(("", name));
        let folder = place.rsplit("::").next().unwrap_or_default();
        files.iter().filter(|file| file.is_rust()).any(|file| {
            let is_case = file.text.contains(&format!("\"{name}\""));
            let of_module = file.path.split(['/', '.']).any(|part| part == folder);
            is_case || of_module && file.text.contains(&format!("fn {test}("))
        })
    };
    named(text).into_iter().filter(|name| !exists(name)).collect()
}
