//! The files the rules apply to.

use std::path::{Path, PathBuf};

use crate::code;

/// A file of the tree.
pub struct File {
    /// Path from the root of the tree.
    pub path: String,
    /// Its content.
    pub text: String,
    /// For Rust: the content with comments and literals blanked out, otherwise empty.
    pub code: String,
    /// For Rust: the same without the test module at its end; empty for files of tests.
    pub product: String,
}

impl File {
    /// A file of this path and content.
    pub fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { code::blank(text) } else { String::new() };
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        let product = if is_test { String::new() } else { code::without_test_module(&code) };
        File { path: path.to_owned(), text: text.to_owned(), code, product }
    }

    /// Whether this is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// A violation at a line (counted from 1).
    pub fn violation(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// Every text file of the tree that people write.
pub fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("dm-tests is in the workspace");
    let mut paths = Vec::new();
    collect(root, &mut paths);
    paths
        .iter()
        .filter_map(|path| {
            let name = path.strip_prefix(root).ok()?.to_str()?.to_owned();
            Some(File::new(&name, &std::fs::read_to_string(path).ok()?))
        })
        .collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        // What others made (build output, recorded data, licences, locks) follows no house rule.
        if ["target", ".git", "data", "corpus", "Cargo.lock"].contains(&name.as_str())
            || name.starts_with("LICENSE")
        {
            continue;
        }
        if path.is_dir() {
            collect(&path, into);
        } else if !name.ends_with(".snap") {
            into.push(path);
        }
    }
}
