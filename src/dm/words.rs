//! The space-separated words of table and status lines, read one by one with their place.

use thiserror::Error;

/// Why a line the kernel reported could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{line} '{text}': word {place} should be {expected}, but {found}")]
pub struct LineError {
    /// What kind of line it is, such as `thin-pool status`.
    pub line: &'static str,
    /// The line.
    pub text: String,
    /// Which word, counted from 1.
    pub place: usize,
    /// What it should be.
    pub expected: &'static str,
    /// What it is: `the line ends`, or `it is '…'` with a reason.
    pub found: String,
}

/// The words of one line, with a cursor.
pub(super) struct Words<'a> {
    line: &'static str,
    text: &'a str,
    rest: std::str::SplitAsciiWhitespace<'a>,
    place: usize,
    last: Option<&'a str>,
}

impl<'a> Words<'a> {
    /// Starts before the first word of `text`, a line of the kind `line`.
    pub(super) fn new(line: &'static str, text: &'a str) -> Self {
        Self { line, text, rest: text.split_ascii_whitespace(), place: 0, last: None }
    }

    /// The next word, if there is one.
    pub(super) fn next(&mut self) -> Option<&'a str> {
        self.place += 1;
        self.last = self.rest.next();
        self.last
    }

    /// The next word, which must be there.
    pub(super) fn need(&mut self, expected: &'static str) -> Result<&'a str, LineError> {
        self.next().ok_or_else(|| self.error(expected))
    }

    /// The next word, which must be there and parse.
    pub(super) fn parse<T: std::str::FromStr>(&mut self, expected: &'static str) -> Result<T, LineError> {
        self.need(expected)?.parse().map_err(|_| self.error(expected))
    }

    /// The next word, which must be two numbers with a slash between.
    pub(super) fn pair(&mut self, expected: &'static str) -> Result<(u64, u64), LineError> {
        let (left, right) = self.need(expected)?.split_once('/').ok_or_else(|| self.error(expected))?;
        match (left.parse(), right.parse()) {
            (Ok(left), Ok(right)) => Ok((left, right)),
            _ => Err(self.error(expected)),
        }
    }

    /// Makes sure that no word is left.
    pub(super) fn end(&mut self) -> Result<(), LineError> {
        match self.next() {
            None => Ok(()),
            Some(_) => Err(self.error("absent")),
        }
    }

    /// That the last word asked for is not as `expected`.
    pub(super) fn error(&self, expected: &'static str) -> LineError {
        let found = self.last.map_or_else(|| "the line ends".to_owned(), |word| format!("it is '{word}'"));
        LineError { line: self.line, text: self.text.to_owned(), place: self.place, expected, found }
    }
}
