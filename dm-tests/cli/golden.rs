//! Files that hold what is expected.

use std::fs;

use crate::terminal::repository;

/// Compares a text with a file of the repository, or rewrites the file if `THINVOL_BLESS` is set.
pub fn check(path: &str, actual: &str) {
    let file = repository().join(path);
    if std::env::var_os("THINVOL_BLESS").is_some() {
        fs::create_dir_all(file.parent().expect("it is in a folder")).expect("the folder can be made");
        fs::write(&file, actual).expect("the file can be written");
        return;
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    if let Some((number, (old, new))) = first_difference(&expected, actual) {
        panic!(
            "{path} is stale at line {number}:\n  is:        {old}\n  should be: {new}\n\
             'THINVOL_BLESS=1 cargo test --test cli' rewrites it; look at the change before you commit it"
        );
    }
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

#[test]
fn a_difference_is_found_wherever_it_is() {
    assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
    assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some((2, ("b", "c"))));
    assert_eq!(first_difference("a\n", "a\nb\n"), Some((2, ("", "b"))));
    assert_eq!(first_difference("a", "a\n"), Some((2, ("(the end)", ""))));
}
