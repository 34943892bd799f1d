//! An error and what caused it.

use std::error::Error;

/// An error with its causes, in one line.
pub fn in_words(error: &impl Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}
