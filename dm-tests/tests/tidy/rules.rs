//! Rules about single files.

use crate::code;
use crate::tree::File;

const MAX_FILE_LINES: usize = 500;
const MAX_LINE_CHARS: usize = 120;
const MAX_FUNCTION_LINES: usize = 70;

/// The one file outside src/sys that may hold unsafe code: loop devices by ioctl.
const UNSAFE_TEST_FILE: &str = "dm-tests/src/loopdev.rs";

/// The file that opens private modules as a whole.
const DOOR: &str = "src/thin/internals.rs";

/// Files that are too long to be read.
pub fn long_files(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    if !file.is_rust() || lines <= MAX_FILE_LINES {
        return Vec::new();
    }
    vec![file.violation(lines, &format!("{lines} lines, at most {MAX_FILE_LINES} are allowed"))]
}

/// Lines that do not fit a screen.
pub fn long_lines(file: &File) -> Vec<String> {
    if !file.is_rust() {
        return Vec::new();
    }
    let long = |(_, line): &(usize, &str)| line.chars().count() > MAX_LINE_CHARS;
    file.text
        .lines()
        .enumerate()
        .filter(long)
        .map(|(number, line)| file.violation(number + 1, &format!("{} characters", line.chars().count())))
        .collect()
}

/// Functions that do not fit a screen.
pub fn long_functions(file: &File) -> Vec<String> {
    code::functions(&file.code)
        .into_iter()
        .filter(|(.., lines)| *lines > MAX_FUNCTION_LINES)
        .map(|(line, name, lines)| file.violation(line, &format!("fn {name} has {lines} lines")))
        .collect()
}

/// Unsafe code where it does not belong.
pub fn stray_unsafe(file: &File) -> Vec<String> {
    let may = file.path.starts_with("src/sys/") && !file.path.starts_with("src/sys/io/");
    if may || file.path == UNSAFE_TEST_FILE {
        return Vec::new();
    }
    find_words(file, &file.code, &["unsafe"], "outside src/sys")
}

/// Anything but declarations in a `mod.rs`.
pub fn logic_in_mod_rs(file: &File) -> Vec<String> {
    if !(file.path.ends_with("/mod.rs") || file.path.starts_with("src/") && file.path.ends_with("/lib.rs")) {
        return Vec::new();
    }
    let mut violations = Vec::new();
    let mut statement = String::new();
    for (number, line) in file.code.lines().enumerate() {
        let line = line.trim();
        if line.starts_with("#[") || line.starts_with("#!") {
            continue;
        }
        statement.push_str(line);
        if !statement.is_empty() && !is_part_of_declaration(&statement) {
            violations.push(file.violation(number + 1, "mod.rs only declares modules and what they export"));
        }
        if statement.ends_with(';') || !is_part_of_declaration(&statement) {
            statement.clear();
        }
    }
    violations
}

fn is_part_of_declaration(statement: &str) -> bool {
    let rest = match statement.strip_prefix("pub") {
        Some(rest) => rest.trim_start_matches(|c| c != ' ').trim_start(),
        None => statement,
    };
    statement.is_empty() || rest.starts_with("mod ") && !rest.contains('{') || rest.starts_with("use ")
}

/// What may not be in a finished tree.
pub fn unfinished(file: &File) -> Vec<String> {
    let macros = [concat!("to", "do!"), concat!("unimpl", "emented!"), concat!("allow(dead", "_code)")];
    let mut violations = find_words(file, &file.code, &macros, "is for unfinished work");
    violations.extend(find_words(
        file,
        &file.text,
        &[concat!("FIX", "ME"), concat!("XX", "X")],
        "is for notes",
    ));
    violations
}

/// Glob imports, which hide where a name comes from. Tests may take all of what they test.
pub fn glob_imports(file: &File) -> Vec<String> {
    if file.path.ends_with("/tests.rs") || file.path == DOOR {
        return Vec::new();
    }
    let glob = |line: &str| line.contains("::*") && !line.contains("super::*");
    let lines = file.code.lines().enumerate().filter(|(_, line)| glob(line));
    lines.map(|(number, _)| file.violation(number + 1, "imports by glob")).collect()
}

/// Words about the place where the work is done, which mean nothing to a reader.
pub fn foreign_words(file: &File) -> Vec<String> {
    let words = [
        concat!("/wo", "rk/"),
        concat!(" sha", "red/"),
        concat!("`sha", "red/"),
        concat!("reference/", "lvm2"),
        concat!("reference/", "crates"),
        concat!("reference/", "proxmox"),
        concat!("deb", "ian.org"),
        concat!("crates", ".io/api"),
        concat!("BRIEF", ".md"),
    ];
    // The first line of such a file says by an address which format it has.
    let text = match file.path.ends_with("debian/copyright") {
        true => file.text.split_once('\n').map_or("", |(_, rest)| rest),
        false => &file.text,
    };
    let mut violations = find_words(file, text, &words, "is not the project's");
    let issue = concat!("is", "sue ");
    for (number, line) in file.text.lines().enumerate() {
        let numbered = line.match_indices(issue).any(|(at, _)| {
            let next = line[at + issue.len()..].chars().next();
            next.is_some_and(|c| c.is_ascii_digit() || c == '#')
        });
        if numbered {
            violations.push(file.violation(number + 1, "names a task, not a reason"));
        }
    }
    violations
}

/// Whole-word occurrences of `words` in `text`.
fn find_words(file: &File, text: &str, words: &[&str], what: &str) -> Vec<String> {
    let mut violations = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for word in words {
            let whole = line.match_indices(word).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = line[at + word.len()..].chars().next();
                let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                let edge = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric());
                !(joins(before) && edge(word.chars().next())
                    || joins(after) && edge(word.chars().next_back()))
            });
            if whole {
                violations.push(file.violation(number + 1, &format!("{} {what}", word.trim())));
            }
        }
    }
    violations
}
