//! Files with expected output.

use std::fs;
use std::path::Path;

/// If this variable is set, files that differ are rewritten. The test still fails: the difference is to be read first,
/// and no run may pass by writing what it is compared with.
pub const BLESS: &str = "THINVOL_BLESS";

/// Compares a text with a file.
///
/// # Errors
/// The place where they differ, or that the file was rewritten.
pub fn check(file: &Path, actual: &str) -> Result<(), String> {
    check_or_write(file, actual, std::env::var_os(BLESS).is_some())
}

fn check_or_write(file: &Path, actual: &str, writes: bool) -> Result<(), String> {
    let expected = fs::read_to_string(file).unwrap_or_default();
    let Some((number, (old, new))) = first_difference(&expected, actual) else { return Ok(()) };
    let name = file.display();
    if !writes {
        return Err(format!(
            "{name} is stale at line {number}:\n  is:        {old}\n  should be: {new}\n\
             with {BLESS}=1 the test writes it anew; read the change before you commit it"
        ));
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(file, actual));
    Err(match written {
        Ok(()) => format!(
            "{name} was written anew, since {BLESS} is set: read the change, and run the test without"
        ),
        Err(error) => format!("{name} cannot be written: {error}"),
    })
}

/// Compares several texts with their files.
///
/// # Errors
/// All differences.
pub fn check_all<'a>(files: impl IntoIterator<Item = (&'a Path, &'a str)>) -> Result<(), String> {
    let wrong: Vec<String> = files.into_iter().filter_map(|(file, text)| check(file, text).err()).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn first_difference<'a>(expected: &'a str, actual: &'a str) -> Option<(usize, (&'a str, &'a str))> {
    let mut expected = expected.split('\n');
    let mut actual = actual.split('\n');
    let lines = std::iter::from_fn(|| match (expected.next(), actual.next()) {
        (None, None) => None,
        (old, new) => Some((old.unwrap_or("(the end)"), new.unwrap_or("(the end)"))),
    });
    (1..).zip(lines).find(|(_, (old, new))| old != new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_found_wherever_it_is() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some((2, ("b", "c"))));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some((2, ("", "b"))));
        assert_eq!(first_difference("a", "a\n"), Some((2, ("(the end)", ""))));
    }

    #[test]
    fn a_test_that_writes_fails_and_the_next_one_passes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/golden.txt");
        let told = check_or_write(&file, "a\n", false).unwrap_err();
        assert!(told.contains("is stale at line 1") && !file.exists(), "{told}");
        let told = check_or_write(&file, "a\n", true).unwrap_err();
        assert!(told.contains("was written anew"), "{told}");
        for writes in [true, false] {
            check_or_write(&file, "a\n", writes).unwrap();
        }
        assert!(
            check_all([(file.as_path(), "a\n")]).is_ok() && check_all([(file.as_path(), "b\n")]).is_err()
        );
    }
}
