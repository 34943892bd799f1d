//! The page that says how to add a thing, against the tree: each file that it names is there and has what it is named
//! for, and there are not more of them than the page promises.

use crate::tree::File;

/// The page.
pub const PAGE: &str = "docs/adding.md";

/// What is wrong with a page, given the files there are.
pub fn wrong(page: &str, files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    for section in page.split("\n## ").skip(1) {
        let title = section.lines().next().unwrap_or_default();
        let rows: Vec<(&str, &str)> = section.lines().filter_map(row).collect();
        match bound(section) {
            None => wrong.push(format!("'{title}' does not say 'At most <n> files'")),
            Some(most) if rows.is_empty() || rows.len() > most => {
                wrong.push(format!("'{title}' names {} files, at most {most}", rows.len()));
            }
            Some(_) => {}
        }
        for (path, marker) in rows {
            match files.iter().find(|file| file.path == path) {
                None => wrong.push(format!("'{title}': there is no {path}")),
                Some(file) if !file.text.contains(marker) => {
                    wrong.push(format!("'{title}': {path} does not contain '{marker}'"));
                }
                Some(_) => {}
            }
        }
    }
    wrong
}

/// A row of a table: "| `path` | `marker` | what to do |".
fn row(line: &str) -> Option<(&str, &str)> {
    let mut cells = line.strip_prefix("| `")?.split("` | `");
    let path = cells.next()?;
    let marker = cells.next()?.split("` |").next()?;
    Some((path, marker))
}

/// The number in "At most <n> files".
fn bound(section: &str) -> Option<usize> {
    section.split("At most ").nth(1)?.split(' ').next()?.parse().ok()
}
