//! Changes sorted by volume group, with the lines they come from.

use std::collections::BTreeMap;

use super::by_vg;
use crate::errors::{BadLine, CliError};
use base::ids::VgName;
use thin::changes::{Change, Resolve, Written};
use thin::internals::concerns::Concerns;

/// A change and where it comes from.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its place among all, from 1 in the order given.
    pub place: usize,
    /// The number of its line, from 1, if it comes from one.
    pub number: Option<usize>,
    /// What it asks for.
    pub change: Change,
}

/// All changes of an input.
#[derive(Debug, Default)]
pub struct Lines {
    /// Those that could be read, in order, by volume group.
    pub by_vg: BTreeMap<VgName, Vec<Line>>,
    /// Those that could not, by place.
    pub bad: BTreeMap<usize, CliError>,
    /// What each is about.
    pub concerns: BTreeMap<usize, Concerns>,
}

impl Lines {
    /// Changes that come from no lines.
    pub fn of(changes: impl IntoIterator<Item = Change>) -> Self {
        let lines = (1..)
            .zip(changes)
            .map(|(place, change)| (change.vg().clone(), Line { place, number: None, change }));
        Self { by_vg: by_vg(lines), ..Self::default() }
    }

    /// Reads the lines of a text, one JSON object on each that is not empty.
    pub fn read<R: Resolve<Error = CliError>>(text: &str, resolver: &R) -> Self {
        let mut good = Vec::new();
        let mut lines = Self::default();
        for (number, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            let written = parse(text);
            let concerns = written.as_ref().map_or_else(|_| Concerns::of_unreadable(text), Change::concerns);
            lines.concerns.insert(number, concerns);
            match written.and_then(|change| change.resolve(resolver)) {
                Ok(change) => {
                    let line = Line { place: number, number: Some(number), change };
                    good.push((line.change.vg().clone(), line));
                }
                Err(error) => _ = lines.bad.insert(number, error),
            }
        }
        lines.by_vg = by_vg(good);
        lines
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.bad.len() + self.by_vg.values().map(Vec::len).sum::<usize>()
    }

    /// Whether some could not be read.
    pub fn has_bad(&self) -> bool {
        !self.bad.is_empty()
    }

    /// The error of those that could not.
    pub fn error(&self) -> CliError {
        CliError::of_lines(told(&self.bad), self.count())
    }
}

/// Reads a change.
///
/// # Errors
/// If it is none.
fn parse(text: &str) -> Result<Change<Written>, CliError> {
    serde_json::from_str(text).map_err(|error| {
        // The parser counts lines from the start of this one.
        let error = error.to_string().replace(" at line 1 column ", " at column ");
        CliError::usage(format!("not a request: {error}"))
            .hint("'thinvol batch --help' shows how requests are written")
    })
}

/// Lines that are refused, as they are told.
pub(super) fn told(bad: &BTreeMap<usize, CliError>) -> Vec<BadLine> {
    bad.iter().map(|(line, why)| BadLine { line: *line, why: why.clone() }).collect()
}

#[cfg(test)]
mod tests;
